"""Search terms for filenames, descriptions and tags, kept with an image by a trigger"""

import re

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

# Parts of bracket expressions.
CLASSES = {
    "combining": r"\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f",
    "separators": r"\x01-\x2f\x3a-\x40\x5b-\x60\x7b-\xbf\u2000-\u206f\u3001-\u3003\u3008-\u3020",
    "blanks": r"\x01-\x20",
    "unspaced": (
        r"\u3005\u3040-\u30ff\u3100-\u318f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7ff\U00020000-\U0003ffff"
    ),
}

# Compatible forms become usual ones and accents are removed. What remains is composed again, so that a syllable of
# Hangul is one character.
FOLD_SEARCH = r"""
CREATE FUNCTION fold_search(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN pg_catalog.lower(pg_catalog.normalize(
  pg_catalog.regexp_replace(pg_catalog.normalize(value, 'NFKD'), '[<combining>]', '', 'g'), 'NFC'
) COLLATE pg_catalog.pg_c_utf8)
"""
# The team (`@`), trigrams, bigrams of what is written without spaces, and one and two characters at the beginning of
# each word (`^`).
SEARCH_TERMS = r"""
CREATE FUNCTION search_terms(team_id uuid, filename text, description text, tags text[]) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000 AS $$
DECLARE
  folded text := public.fold_search(
    pg_catalog.concat_ws(E'\n', filename, description, pg_catalog.array_to_string(tags, E'\n')));
  terms text[] := ARRAY[pg_catalog.concat('@', team_id)];
  run text;
BEGIN
  FOR run IN SELECT r[1] FROM pg_catalog.regexp_matches(folded, '[^<blanks><unspaced>]{3,}', 'g') AS r LOOP
    FOR n IN 1..pg_catalog.length(run) - 2 LOOP
      terms := pg_catalog.array_append(terms, pg_catalog.substr(run, n, 3));
    END LOOP;
  END LOOP;
  FOR run IN SELECT r[1] FROM pg_catalog.regexp_matches(folded, '[<unspaced>]{2,}', 'g') AS r LOOP
    FOR n IN 1..pg_catalog.length(run) - 1 LOOP
      terms := pg_catalog.array_append(terms, pg_catalog.substr(run, n, 2));
    END LOOP;
  END LOOP;
  FOR run IN SELECT r[1] FROM pg_catalog.regexp_matches(folded, '[^<separators>]+', 'g') AS r LOOP
    terms := pg_catalog.array_cat(terms, ARRAY[
      pg_catalog.concat('^', pg_catalog.substr(run, 1, 1)), pg_catalog.concat('^', pg_catalog.substr(run, 1, 2))]);
  END LOOP;
  RETURN terms;
END
$$
"""
# Once for an image, when its processing ends, and not with each step of an upload.
SET_SEARCH_TERMS = """
CREATE FUNCTION set_search_terms() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.search_terms IS NOT NULL
    AND (OLD.filename, OLD.description, OLD.tags) IS NOT DISTINCT FROM (NEW.filename, NEW.description, NEW.tags)
  THEN
    RETURN NEW;
  END IF;
  NEW.search_terms := CASE WHEN NEW.status IN ('ready', 'failed')
    THEN public.search_terms(NEW.team_id, NEW.filename, NEW.description, NEW.tags) END;
  RETURN NEW;
END
$$
"""
TRIGGER = """
CREATE TRIGGER image_search_terms BEFORE INSERT OR UPDATE OF status, filename, description, tags ON image
FOR EACH ROW EXECUTE FUNCTION set_search_terms()
"""


def upgrade() -> None:
    op.add_column("image", sa.Column("search_terms", postgresql.ARRAY(sa.Text())))
    for statement in (FOLD_SEARCH, SEARCH_TERMS, SET_SEARCH_TERMS, TRIGGER):
        op.execute(re.sub("<([a-z]+)>", lambda part: CLASSES[part[1]], statement))
    op.execute("GRANT UPDATE (search_terms) ON image TO image_tasks")


def downgrade() -> None:
    op.execute("DROP TRIGGER image_search_terms ON image")
    op.drop_column("image", "search_terms")
    for function in ("set_search_terms", "search_terms", "fold_search"):
        op.execute(f"DROP FUNCTION {function}")

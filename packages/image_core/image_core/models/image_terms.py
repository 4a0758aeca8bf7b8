"""Search terms for images' metadata: one database function, with an index on it."""

from sqlalchemy import DDL

IMAGE_TERMS = r"""
CREATE FUNCTION image_terms(team_id uuid, metadata jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 10000 AS $$
SELECT array_agg(term) FROM (
  SELECT '@' || team_id::text AS term
  UNION ALL
  SELECT name || kind || prefix FROM (
    SELECT key AS name, jsonb_typeof(value) AS type, value #>> '{}' AS text FROM jsonb_each(metadata)
  ) AS field, LATERAL (
    SELECT '?' AS kind, '' AS prefix
    UNION ALL SELECT '=', left(text, 64)
    UNION ALL SELECT '^', left(text, n) FROM unnest(ARRAY[1, 3]) AS n WHERE type = 'string'
    UNION ALL
    SELECT CASE WHEN type = 'string' THEN '~' WHEN text LIKE '-%' THEN '<' ELSE '+' END
      || least(length(digits), 17) || ':', left(digits, n)
    FROM (
      SELECT CASE
        WHEN type = 'number' THEN trunc(abs(text::numeric))::text
        WHEN type = 'string' AND text ~ '^\d{4}-\d{2}-\d{2}$' THEN replace(text, '-', '')
      END AS digits
    ) AS number, generate_series(0, CASE WHEN length(digits) <= 16 THEN length(digits) ELSE 0 END) AS n
  ) AS part
) AS terms
$$
"""
"""The prefixes of terms: existence (`?`), text (`=`), beginnings of the text (`^`), and for numbers (`+`, `<` below
zero) and dates (`~`) the number of digits with each of their prefixes, so that a range needs few terms. A term may
match more than the filter asks for, so queries also compare the values.
"""

create_image_terms = DDL(IMAGE_TERMS.replace("%", "%%"))  # type: ignore[no-untyped-call]

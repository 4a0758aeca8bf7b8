"""Delivery: visibility, keys that sign addresses, presets of teams, renditions, and a role that serves them"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

ROLE = "image_delivery"
TABLES = ("delivery_key", "preset", "rendition", "delivery_usage")
RIGHTS = {
    "image_api": {
        "image": "UPDATE (visibility, delivery_epoch)",
        "delivery_key": (
            "SELECT, INSERT (id, team_id, name), UPDATE (name, state, verifying_at, retired_at, updated_at)"
        ),
        "preset": "SELECT, INSERT, UPDATE, DELETE",
        "rendition": "SELECT",
        "delivery_usage": "SELECT",
    },
    "image_processor": {
        "preset": "SELECT",
        "rendition": "SELECT, INSERT, DELETE, UPDATE (eager, last_used_on)",
    },
    "image_tasks": {
        "preset": "SELECT, UPDATE (remake_before)",
        "derivative": "SELECT",
        "rendition": "SELECT, DELETE",
        "delivery_usage": "SELECT, DELETE, UPDATE (warned_at)",
    },
    ROLE: {
        "SCHEMA public": "USAGE",
        "alembic_version": "SELECT",
        "team": "SELECT (id, default_visibility, deleting_at)",
        "image": (
            "SELECT (id, team_id, status, failure_code, failure_message, filename, content_type, format, object_name,"
            " generation, size_bytes, sha256, width, height, frames, facts, visibility, delivery_epoch, deleted_at,"
            " purge_marked_at, ready_at)"
        ),
        "derivative": "SELECT",
        "preset": "SELECT",
        "delivery_key": "SELECT (id, team_id, number, state, created_at)",
        "rendition": "SELECT, INSERT, DELETE, UPDATE (last_used_on)",
        "discarded_object": "SELECT, INSERT, DELETE",
        "delivery_usage": (
            "SELECT, INSERT (team_id, day, requests, bytes, exact_makes, open_makes),"
            " UPDATE (requests, bytes, exact_makes, open_makes)"
        ),
    },
}
RANDOM_NUMBER = "floor(random() * 2147483647)::bigint + 1"

# A trigger, so that a team created by the previous release can sign addresses too. Runs as the owner: services may not
# write numbers.
FIRST_KEY_FUNCTION = """
CREATE FUNCTION add_first_delivery_key() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    LOOP
        INSERT INTO delivery_key (id, team_id) VALUES (gen_random_uuid(), NEW.id) ON CONFLICT (number) DO NOTHING;
        EXIT WHEN FOUND;
    END LOOP;
    RETURN NULL;
END
$$
"""
FIRST_KEYS = """
DO $$
DECLARE
    owner_id uuid;
BEGIN
    FOR owner_id IN SELECT id FROM team LOOP
        LOOP
            INSERT INTO delivery_key (id, team_id) VALUES (gen_random_uuid(), owner_id) ON CONFLICT (number) DO NOTHING;
            EXIT WHEN FOUND;
        END LOOP;
    END LOOP;
END
$$
"""


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    default = None if nullable else sa.text("now()")
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def _counter(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)


def _team_of(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f(f"fk_{table}_team_id"), ondelete="CASCADE")


def _change_tables() -> None:
    op.add_column("image", sa.Column("visibility", sa.Text()))
    op.add_column("image", sa.Column("delivery_epoch", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.create_check_constraint(op.f("ck_image_visibility"), "image", "visibility IN ('private', 'public')")
    op.add_column(
        "team", sa.Column("default_visibility", sa.Text(), server_default=sa.text("'private'"), nullable=False)
    )
    op.create_check_constraint(
        op.f("ck_team_default_visibility"), "team", "default_visibility IN ('private', 'public')"
    )
    op.add_column("derivative", sa.Column("spec_hash", sa.LargeBinary()))
    op.create_check_constraint(op.f("ck_derivative_spec_hash_length"), "derivative", "octet_length(spec_hash) = 16")


def _create_keys() -> None:
    op.create_table(
        "delivery_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), server_default=sa.text(RANDOM_NUMBER), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("state", sa.Text(), server_default=sa.text("'active'"), nullable=False),
        _time("verifying_at"),
        _time("retired_at"),
        _time("created_at", nullable=False),
        _time("updated_at", nullable=False),
        sa.CheckConstraint("number BETWEEN 1 AND 9999999999", name=op.f("ck_delivery_key_number_digits")),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 120", name=op.f("ck_delivery_key_name_length")),
        sa.CheckConstraint("state IN ('active', 'verifying', 'retired')", name=op.f("ck_delivery_key_state")),
        sa.CheckConstraint(
            "(state = 'active') = (verifying_at IS NULL)", name=op.f("ck_delivery_key_verifying_when_not_active")
        ),
        sa.CheckConstraint(
            "(state = 'retired') = (retired_at IS NOT NULL)", name=op.f("ck_delivery_key_retired_has_time")
        ),
        _team_of("delivery_key"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_key")),
        sa.UniqueConstraint("number", name=op.f("uq_delivery_key_number")),
    )
    op.create_index(
        "ix_delivery_key_team_id", "delivery_key", ["team_id", sa.text("created_at DESC"), sa.text("id DESC")]
    )


def _create_presets() -> None:
    op.create_table(
        "preset",
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer()),
        sa.Column("height", sa.Integer()),
        sa.Column("fit", sa.Text(), server_default=sa.text("'inside'"), nullable=False),
        sa.Column("gravity", sa.Text(), server_default=sa.text("'ce'"), nullable=False),
        sa.Column("quality", sa.SmallInteger(), server_default=sa.text("80"), nullable=False),
        sa.Column("formats", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{webp}'"), nullable=False),
        sa.Column("background", sa.Text()),
        sa.Column("animated", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("metadata", sa.Text(), server_default=sa.text("'none'"), nullable=False),
        sa.Column("open", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("eager", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("remake_before", sa.Uuid()),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        _time("created_at", nullable=False),
        _time("updated_at", nullable=False),
        sa.CheckConstraint(
            "name ~ '^[a-z][a-z0-9]*(-[a-z0-9]+)*$' AND char_length(name) <= 32", name=op.f("ck_preset_name_spelling")
        ),
        sa.CheckConstraint("width BETWEEN 1 AND 4096 AND height BETWEEN 1 AND 4096", name=op.f("ck_preset_sides")),
        sa.CheckConstraint("fit IN ('inside', 'cover', 'pad')", name=op.f("ck_preset_fit")),
        sa.CheckConstraint(
            "num_nonnulls(width, height) >= CASE WHEN fit = 'inside' THEN 1 ELSE 2 END",
            name=op.f("ck_preset_fit_has_sides"),
        ),
        sa.CheckConstraint("gravity ~ '^(ce|at|fo|x[0-9]{1,4}y[0-9]{1,4})$'", name=op.f("ck_preset_gravity")),
        sa.CheckConstraint("quality BETWEEN 1 AND 100", name=op.f("ck_preset_quality")),
        sa.CheckConstraint(
            "cardinality(formats) > 0 AND formats <@ ARRAY['webp', 'avif', 'jpeg', 'png']",
            name=op.f("ck_preset_formats"),
        ),
        sa.CheckConstraint("background ~ '^[0-9a-f]{6}$'", name=op.f("ck_preset_background")),
        sa.CheckConstraint("metadata IN ('none', 'copyright')", name=op.f("ck_preset_metadata")),
        _team_of("preset"),
        sa.PrimaryKeyConstraint("team_id", "name", name=op.f("pk_preset")),
    )
    op.create_index(
        "ix_preset_remake_before", "preset", ["team_id"], postgresql_where=sa.text("remake_before IS NOT NULL")
    )


def _create_renditions() -> None:
    op.create_table(
        "rendition",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("spec_hash", sa.LargeBinary(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("preset", sa.Text()),
        sa.Column("object_name", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("eager", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("last_used_on", sa.Date(), server_default=sa.text("CURRENT_DATE"), nullable=False),
        _time("created_at", nullable=False),
        sa.CheckConstraint("octet_length(spec_hash) = 16", name=op.f("ck_rendition_spec_hash_length")),
        sa.CheckConstraint("format IN ('webp', 'avif', 'jpeg', 'png')", name=op.f("ck_rendition_format")),
        sa.CheckConstraint("width > 0 AND height > 0 AND frames > 0", name=op.f("ck_rendition_dimensions_positive")),
        sa.CheckConstraint("size_bytes > 0", name=op.f("ck_rendition_size_bytes_positive")),
        sa.CheckConstraint("octet_length(sha256) = 32", name=op.f("ck_rendition_sha256_length")),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_rendition_image_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rendition")),
        sa.UniqueConstraint("object_name", name=op.f("uq_rendition_object_name")),
    )
    op.create_index(
        "uq_rendition_image_id_generation_spec_hash_format",
        "rendition",
        ["image_id", "generation", "spec_hash", "format"],
        unique=True,
    )
    op.create_index("ix_rendition_team_id", "rendition", ["team_id"])
    op.create_index("ix_rendition_last_used_on", "rendition", ["last_used_on"], postgresql_where=sa.text("NOT eager"))


def _create_usage() -> None:
    op.create_table(
        "delivery_usage",
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        _counter("requests"),
        _counter("bytes"),
        _counter("exact_makes"),
        _counter("open_makes"),
        _time("warned_at"),
        sa.CheckConstraint(
            "requests >= 0 AND bytes >= 0 AND exact_makes >= 0 AND open_makes >= 0",
            name=op.f("ck_delivery_usage_not_negative"),
        ),
        _team_of("delivery_usage"),
        sa.PrimaryKeyConstraint("team_id", "day", name=op.f("pk_delivery_usage")),
    )
    op.create_index("ix_delivery_usage_day", "delivery_usage", ["day"])


def _grant() -> None:
    # Roles belong to the server, so another database may have made it already.
    op.execute(
        f"DO $$ BEGIN CREATE ROLE {ROLE} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    )
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} OWNER TO image_migrator")
    for role, rights in RIGHTS.items():
        for what, granted in rights.items():
            op.execute(f"GRANT {granted} ON {what} TO {role}")


def _give_teams_keys() -> None:
    op.execute(FIRST_KEY_FUNCTION)
    op.execute("ALTER FUNCTION add_first_delivery_key OWNER TO image_migrator")
    op.execute("REVOKE EXECUTE ON FUNCTION add_first_delivery_key FROM PUBLIC")
    # Concurrent inserts into `team` wait for the lock of CREATE TRIGGER, so no team is left without a key.
    op.execute(
        "CREATE TRIGGER first_delivery_key AFTER INSERT ON team FOR EACH ROW EXECUTE FUNCTION add_first_delivery_key()"
    )
    op.execute(FIRST_KEYS)


def upgrade() -> None:
    _change_tables()
    _create_keys()
    _create_presets()
    _create_renditions()
    _create_usage()
    _grant()
    _give_teams_keys()


def downgrade() -> None:
    op.execute("DROP TRIGGER first_delivery_key ON team")
    op.execute("DROP FUNCTION add_first_delivery_key")
    for what in ("SCHEMA public", "alembic_version", "discarded_object", "derivative"):
        op.execute(f"REVOKE ALL ON {what} FROM {ROLE}")
    op.execute("REVOKE SELECT ON derivative FROM image_tasks")
    for table in reversed(TABLES):
        op.drop_table(table)
    for table in ("image", "team"):
        columns = RIGHTS[ROLE][table].removeprefix("SELECT ")
        op.execute(f"REVOKE SELECT {columns} ON {table} FROM {ROLE}")
    op.drop_column("derivative", "spec_hash")
    op.drop_column("team", "default_visibility")
    op.drop_column("image", "delivery_epoch")
    op.drop_column("image", "visibility")

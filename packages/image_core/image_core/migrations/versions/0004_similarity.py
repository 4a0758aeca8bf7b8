"""Images that look alike"""

import sqlalchemy as sa
from alembic import op

from image_core.models import HalfVector

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


RIGHTS = {
    "image_api": {
        "image_vector": "SELECT",
        "near_duplicate": "SELECT",
        "duplicate_decision": "SELECT, INSERT, DELETE",
    },
    "image_processor": {
        "image_vector": "SELECT, INSERT, UPDATE (vector, created_at)",
        "image_hash": "SELECT, INSERT, DELETE",
        "near_duplicate": "SELECT, INSERT, DELETE",
    },
}
TABLES = ("image_vector", "image_hash", "near_duplicate", "duplicate_decision")


def _of_image(table: str, column: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}")
    return sa.ForeignKeyConstraint([column], ["image.id"], name=name, ondelete="CASCADE")


def _create_vectors() -> None:
    op.create_table(
        "image_vector",
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("vector", HalfVector(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(r"model ~ '^[a-z0-9][a-z0-9._-]{0,99}$'", name=op.f("ck_image_vector_model_name")),
        _of_image("image_vector", "image_id"),
        sa.PrimaryKeyConstraint("image_id", "model", name=op.f("pk_image_vector")),
    )
    op.create_index("ix_image_vector_team_id", "image_vector", ["team_id", "model"])
    op.create_index(
        "ix_image_vector_descriptor",
        "image_vector",
        [sa.literal_column("(vector::halfvec(96))").label("descriptor")],
        postgresql_using="hnsw",
        postgresql_ops={"descriptor": "halfvec_cosine_ops"},
        postgresql_with={"m": "16", "ef_construction": "200"},
        postgresql_where=sa.text("model = 'descriptor-1'"),
    )


def _create_hashes() -> None:
    op.create_table(
        "image_hash",
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.BigInteger(), nullable=False),
        _of_image("image_hash", "image_id"),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_image_hash")),
    )
    for number, shift in enumerate((48, 32, 16, 0)):
        band = sa.text(f"((hash >> {shift}) & 65535)")
        op.create_index(f"ix_image_hash_band_{number}", "image_hash", ["team_id", band])


def _create_pairs() -> None:
    op.create_table(
        "near_duplicate",
        sa.Column("image_id_a", sa.Uuid(), nullable=False),
        sa.Column("image_id_b", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("distance", sa.SmallInteger(), nullable=False),
        sa.CheckConstraint("image_id_a < image_id_b", name=op.f("ck_near_duplicate_ordered")),
        sa.CheckConstraint("distance BETWEEN 0 AND 7", name=op.f("ck_near_duplicate_distance_range")),
        _of_image("near_duplicate", "image_id_a"),
        _of_image("near_duplicate", "image_id_b"),
        sa.PrimaryKeyConstraint("image_id_a", "image_id_b", name=op.f("pk_near_duplicate")),
    )
    op.create_index("ix_near_duplicate_team_id", "near_duplicate", ["team_id", "image_id_b"])
    op.create_index("ix_near_duplicate_image_id_b", "near_duplicate", ["image_id_b"])
    op.create_table(
        "duplicate_decision",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("image_id_a", sa.Uuid(), nullable=False),
        sa.Column("image_id_b", sa.Uuid(), nullable=False),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("image_id_a < image_id_b", name=op.f("ck_duplicate_decision_ordered")),
        _of_image("duplicate_decision", "image_id_a"),
        _of_image("duplicate_decision", "image_id_b"),
        sa.ForeignKeyConstraint(
            ["decided_by"], ["user.id"], name=op.f("fk_duplicate_decision_decided_by"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_duplicate_decision")),
    )
    op.create_index(
        "uq_duplicate_decision_image_id_a_image_id_b", "duplicate_decision", ["image_id_a", "image_id_b"], unique=True
    )
    op.create_index("ix_duplicate_decision_image_id_b", "duplicate_decision", ["image_id_b"])
    op.create_index(
        "ix_duplicate_decision_team_id",
        "duplicate_decision",
        ["team_id", sa.text("created_at DESC"), sa.text("id DESC")],
    )
    op.create_index("ix_duplicate_decision_decided_by", "duplicate_decision", ["decided_by"])


def upgrade() -> None:
    # Where whoever migrates may not make an extension, it is there already, and this does nothing.
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    _create_vectors()
    _create_hashes()
    _create_pairs()
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} OWNER TO image_migrator")
    for role, rights in RIGHTS.items():
        for table, granted in rights.items():
            op.execute(f"GRANT {granted} ON {table} TO {role}")


def downgrade() -> None:
    # The extension stays: it may not have been made here, and others may use it.
    for table in reversed(TABLES):
        op.drop_table(table)

"""When and where a photograph was taken, in columns of the image"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

COLUMNS = ("taken_at", "taken_at_source", "taken_local", "location_cell")
CHECKS = {
    "taken_at_source": "taken_at_source IN ('exif', 'gps', 'camera-clock', 'unknown')",
    "taken_at_has_local": "num_nulls(taken_at, taken_local) IN (0, 2)",
}


def upgrade() -> None:
    op.add_column("image", sa.Column("taken_at", sa.DateTime(timezone=True)))
    op.add_column("image", sa.Column("taken_at_source", sa.Text()))
    op.add_column("image", sa.Column("taken_local", sa.DateTime()))
    op.add_column("image", sa.Column("location_cell", sa.BigInteger()))
    for name, condition in CHECKS.items():
        # Validated by the next revision: that reads every row, which must not happen under this lock.
        op.execute(f"ALTER TABLE image ADD CONSTRAINT ck_image_{name} CHECK ({condition}) NOT VALID")
    for role in ("image_processor", "image_tasks"):
        op.execute(f"GRANT UPDATE ({', '.join(COLUMNS)}) ON image TO {role}")


def downgrade() -> None:
    for name in CHECKS:
        op.drop_constraint(op.f(f"ck_image_{name}"), "image", type_="check")
    for column in COLUMNS:
        op.drop_column("image", column)

"""What people say of an image: description, alternative text, rating and focal point"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "description": sa.Text(),
    "alt_text": sa.Text(),
    "alt_text_language": sa.Text(),
    "rating": sa.SmallInteger(),
    "focal_x": sa.SmallInteger(),
    "focal_y": sa.SmallInteger(),
}
CHECKS = {
    "description_length": "char_length(description) BETWEEN 1 AND 2000",
    "alt_text_length": "char_length(alt_text) BETWEEN 1 AND 2000",
    "alt_text_has_language": "num_nulls(alt_text, alt_text_language) IN (0, 2)",
    "rating": "rating BETWEEN 0 AND 5",
    "focal_point": "focal_x BETWEEN 0 AND 1000 AND focal_y BETWEEN 0 AND 1000",
    "focal_point_is_whole": "num_nulls(focal_x, focal_y) IN (0, 2)",
}


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.add_column("image", sa.Column(name, kind))
    for name, condition in CHECKS.items():
        # Validated by the next revision: that reads every row, which must not happen under this lock.
        op.execute(f"ALTER TABLE image ADD CONSTRAINT ck_image_{name} CHECK ({condition}) NOT VALID")
    op.execute(f"GRANT UPDATE ({', '.join(COLUMNS)}) ON image TO image_api")
    op.execute("GRANT SELECT (focal_x, focal_y) ON image TO image_delivery")


def downgrade() -> None:
    for name in CHECKS:
        op.drop_constraint(op.f(f"ck_image_{name}"), "image", type_="check")
    for column in COLUMNS:
        op.drop_column("image", column)

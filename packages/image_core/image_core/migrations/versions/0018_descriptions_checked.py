"""Validate what was said of images without holding up writes"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

CHECKS = (
    "description_length", "alt_text_length", "alt_text_has_language", "rating", "focal_point", "focal_point_is_whole",
)  # fmt: skip


def upgrade() -> None:
    for name in CHECKS:
        op.execute(f"ALTER TABLE image VALIDATE CONSTRAINT ck_image_{name}")


def downgrade() -> None:
    """A constraint that is valid stays so."""

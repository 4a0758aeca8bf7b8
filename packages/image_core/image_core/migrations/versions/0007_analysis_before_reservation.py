"""An analysis may name its reservation before that is there, so that it is inserted before the account is locked"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ALTER = "ALTER TABLE analysis ALTER CONSTRAINT fk_analysis_reservation_id"


def upgrade() -> None:
    op.execute(f"{_ALTER} DEFERRABLE INITIALLY DEFERRED")


def downgrade() -> None:
    op.execute(f"{_ALTER} NOT DEFERRABLE")

"""The topic of nudges to image-tasks"""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def _set_topics(names: str) -> None:
    op.drop_constraint(op.f("ck_event_topic"), "event", type_="check")
    op.create_check_constraint("topic", "event", f"topic IN ({names})")


def upgrade() -> None:
    _set_topics("'uploads', 'events', 'analyses', 'renditions', 'tasks'")


def downgrade() -> None:
    op.execute("DELETE FROM event WHERE topic = 'tasks'")
    _set_topics("'uploads', 'events', 'analyses', 'renditions'")

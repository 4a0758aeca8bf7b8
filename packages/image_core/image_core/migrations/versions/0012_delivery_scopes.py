"""The scopes of delivery for users who could already change the team's images, and for admins"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# Users whose scopes an admin has narrowed keep them, and so does every key with scopes of its own.
GRANTS = {
    "delivery:manage": "role = 'member' AND 'images:write' = ANY (scopes) OR role = 'admin' AND 'admin' = ANY (scopes)",
    "delivery:keys": "role = 'admin' AND 'admin' = ANY (scopes)",
}


def upgrade() -> None:
    for scope, condition in GRANTS.items():
        op.execute(
            f"""UPDATE "user" SET scopes = array_append(scopes, '{scope}'), revision = revision + 1,"""
            f""" updated_at = now() WHERE ({condition}) AND NOT '{scope}' = ANY (scopes)"""
        )


def downgrade() -> None:
    for scope in GRANTS:
        op.execute(f"""UPDATE "user" SET scopes = array_remove(scopes, '{scope}') WHERE '{scope}' = ANY (scopes)""")

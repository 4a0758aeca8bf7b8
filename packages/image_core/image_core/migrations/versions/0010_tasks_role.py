"""A role of its own for housekeeping, which leaves the processor"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

ROLE = "image_tasks"
RIGHTS = {
    "alembic_version": "SELECT",
    "team": "SELECT",
    '"user"': "SELECT (id, team_id, disabled_at, deleting_at)",
    "image": (
        "SELECT, DELETE, UPDATE (status, failure_code, failure_message, duplicate_of, claim_token, lease_expires_at,"
        " attempts, revision, deadline_at, queued_at, first_claimed_at, deleted_at, purge_marked_at, uploaded_by,"
        " updated_at)"
    ),
    "discarded_object": "SELECT, INSERT, DELETE, UPDATE (attempts, remove_after)",
    "event": "SELECT, INSERT, DELETE, UPDATE (published_at, attempts)",
    "analysis": (
        "SELECT, DELETE, UPDATE (status, failure_code, failure_message, claim_token, lease_expires_at, queued_at,"
        " requested_by, updated_at)"
    ),
    "duplicate_decision": "SELECT (id, decided_by), UPDATE (decided_by)",
    # Warns of keys that expire soon; never sees what proves a key.
    "credential": (
        "SELECT (id, user_id, name, public_id, expires_at, revoked_at, expiry_warnings), UPDATE (expiry_warnings)"
    ),
    "credit_account": "SELECT, UPDATE (balance, next_refill_at, updated_at)",
    "credit_reservation": "SELECT, UPDATE (status, settled_at)",
    "credit_entry": "SELECT, INSERT",
    "storage_usage": "SELECT, UPDATE (low_told_at)",
    "idempotency_key": "SELECT (expires_at), DELETE",
    "invitation": "SELECT (expires_at), DELETE",
    "password_reset": "SELECT (expires_at), DELETE",
    "session": "SELECT (expires_at), DELETE",
    "sign_in_delay": "SELECT (last_failed_at), DELETE",
    "audit_event": (
        "SELECT, INSERT (id, team_id, actor_user_id, credential_id, session_id, action, target_type, target_id, before,"
        " after, request_id, address)"
    ),
    "SEQUENCE audit_event_position_seq": "USAGE, SELECT",
    "audit_seal": "SELECT, INSERT",
    "FUNCTION remove_marked_user(uuid)": "EXECUTE",
    "FUNCTION remove_marked_team(uuid)": "EXECUTE",
    "FUNCTION forget_ledger(uuid, integer)": "EXECUTE",
    "SCHEMA public": "USAGE",
}


def upgrade() -> None:
    # Roles belong to the server, so another database may have made it already.
    op.execute(
        f"DO $$ BEGIN CREATE ROLE {ROLE} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    )
    for what, granted in RIGHTS.items():
        op.execute(f"GRANT {granted} ON {what} TO {ROLE}")


def downgrade() -> None:
    for what in RIGHTS:
        op.execute(f"REVOKE ALL ON {what} FROM {ROLE}")

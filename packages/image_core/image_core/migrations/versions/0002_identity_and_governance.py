"""People, credentials, quotas, idempotency keys and declared metadata"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


NEXT_POSITION = """
CASE
    WHEN (pg_current_xact_id() IS NOT NULL) THEN nextval('audit_event_position_seq'::regclass)
    ELSE NULL::bigint
END"""


def _change_audit_log() -> None:
    op.create_table(
        "audit_checkpoint",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("last_position", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("octet_length(hash) = 32", name=op.f("ck_audit_checkpoint_hash_length")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_checkpoint")),
    )
    op.create_table(
        "audit_seal",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=False),
        sa.Column("after_position", sa.BigInteger(), nullable=False),
        sa.Column("last_position", sa.BigInteger(), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("rows_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "octet_length(previous_hash) = 32 AND octet_length(rows_hash) = 32 AND octet_length(hash) = 32",
            name=op.f("ck_audit_seal_hash_lengths"),
        ),
        sa.CheckConstraint("after_position < last_position AND row_count > 0", name=op.f("ck_audit_seal_not_empty")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_seal")),
    )
    op.add_column("audit_event", sa.Column("session_id", sa.Uuid(), nullable=True))
    op.execute("CREATE SEQUENCE audit_event_position_seq")
    op.execute("ALTER SEQUENCE audit_event_position_seq OWNER TO image_migrator")
    op.add_column(
        "audit_event",
        sa.Column("position", sa.BigInteger(), server_default=sa.text(NEXT_POSITION), nullable=False),
    )
    op.execute("ALTER SEQUENCE audit_event_position_seq OWNED BY audit_event.position")
    op.create_unique_constraint(op.f("uq_audit_event_position"), "audit_event", ["position"])
    newest_first: list[Any] = [sa.literal_column("created_at DESC"), sa.literal_column("id DESC")]
    op.create_index("ix_audit_event_created_at", "audit_event", newest_first, unique=False)
    op.create_index("ix_audit_event_actor_user_id", "audit_event", ["actor_user_id", *newest_first], unique=False)
    op.create_index("ix_audit_event_request_id", "audit_event", ["request_id"], unique=False)


def _close_audit_log() -> None:
    """Refuses every change of what is written, the owner's too, but for the removal that retention announces."""
    op.execute(
        """CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF TG_OP = 'DELETE' AND current_setting('image_manager.audit_prune', true) = 'on' THEN
                RETURN NULL;
            END IF;
            RAISE EXCEPTION 'The audit log can only be added to.' USING ERRCODE = 'insufficient_privilege';
        END $$"""
    )
    for table in ("audit_event", "audit_seal", "audit_checkpoint"):
        op.execute(
            f"CREATE TRIGGER {table}_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()"
        )
    # When a row was written and where it stands in the log is not for its writer to say.
    op.execute("REVOKE INSERT ON audit_event FROM image_api")
    written = (
        "id, team_id, actor_user_id, credential_id, session_id, action, target_type, target_id, before, after,"
        " request_id, address"
    )
    op.execute(f"GRANT INSERT ({written}) ON audit_event TO image_api, image_processor")
    op.execute("GRANT USAGE ON SEQUENCE audit_event_position_seq TO image_api, image_processor")
    op.execute("GRANT SELECT ON SEQUENCE audit_event_position_seq TO image_processor")
    op.execute("ALTER TABLE audit_checkpoint OWNER TO image_migrator")


def _change_tables() -> None:
    op.create_table(
        "sign_in_delay",
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_sign_in_delay")),
    )
    op.create_index("ix_sign_in_delay_last_failed_at", "sign_in_delay", ["last_failed_at"], unique=False)
    op.create_table(
        "credit_account",
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("refill_amount", sa.BigInteger(), nullable=True),
        sa.Column("refill_mode", sa.Text(), nullable=True),
        sa.Column("refill_period", sa.Text(), nullable=True),
        sa.Column("next_refill_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("low_threshold", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("refill_mode IN ('set', 'add')", name=op.f("ck_credit_account_refill_mode")),
        sa.CheckConstraint("refill_period IN ('day', 'week', 'month')", name=op.f("ck_credit_account_refill_period")),
        sa.CheckConstraint("balance >= 0", name=op.f("ck_credit_account_balance_not_negative")),
        sa.CheckConstraint(
            "num_nulls(refill_amount, refill_mode, refill_period, next_refill_at) IN (0, 4)",
            name=op.f("ck_credit_account_schedule_whole"),
        ),
        sa.CheckConstraint("refill_amount >= 0", name=op.f("ck_credit_account_refill_amount_not_negative")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_credit_account_team_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("team_id", name=op.f("pk_credit_account")),
    )
    op.create_index(
        "ix_credit_account_next_refill_at",
        "credit_account",
        ["next_refill_at"],
        unique=False,
        postgresql_where=sa.text("next_refill_at IS NOT NULL"),
    )
    op.create_table(
        "credit_reservation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'reserved'"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(status = 'reserved') = (settled_at IS NULL)", name=op.f("ck_credit_reservation_settled_when_over")
        ),
        sa.CheckConstraint(
            "status IN ('reserved', 'committed', 'refunded', 'lapsed')", name=op.f("ck_credit_reservation_status")
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_credit_reservation_amount_positive")),
        sa.ForeignKeyConstraint(
            ["team_id"], ["team.id"], name=op.f("fk_credit_reservation_team_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_reservation")),
    )
    op.create_index(
        "ix_credit_reservation_expires_at",
        "credit_reservation",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'reserved'"),
    )
    op.create_table(
        "metadata_schema",
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("fields", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_metadata_schema_team_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("team_id", name=op.f("pk_metadata_schema")),
    )
    op.create_table(
        "storage_usage",
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("images", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("low_told_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("bytes >= 0 AND images >= 0", name=op.f("ck_storage_usage_not_negative")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_storage_usage_team_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("team_id", name=op.f("pk_storage_usage")),
    )
    op.create_table(
        "credit_entry",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("balance_after", sa.BigInteger(), nullable=False),
        sa.Column("reservation_id", sa.Uuid(), nullable=True),
        sa.Column("operation", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("actor_user_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('opened', 'set', 'add', 'subtract', 'scheduled', 'reserved', 'refunded', 'lapsed')",
            name=op.f("ck_credit_entry_kind"),
        ),
        sa.CheckConstraint("balance_after >= 0", name=op.f("ck_credit_entry_balance_after_not_negative")),
        sa.ForeignKeyConstraint(
            ["reservation_id"],
            ["credit_reservation.id"],
            name=op.f("fk_credit_entry_reservation_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_credit_entry_team_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_entry")),
    )
    op.create_index(
        "ix_credit_entry_team_id",
        "credit_entry",
        ["team_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_index("uq_credit_entry_reservation_id_kind", "credit_entry", ["reservation_id", "kind"], unique=True)
    op.create_table(
        "idempotency_key",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=True),
        sa.Column("claim_token", sa.Uuid(), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(status IS NULL) = (claim_token IS NOT NULL)", name=op.f("ck_idempotency_key_claim_or_answer")
        ),
        sa.CheckConstraint("char_length(key) BETWEEN 1 AND 255", name=op.f("ck_idempotency_key_key_length")),
        sa.CheckConstraint(
            "num_nulls(claim_token, lease_expires_at) IN (0, 2)", name=op.f("ck_idempotency_key_claim_has_lease")
        ),
        sa.CheckConstraint("num_nulls(status, headers, body) IN (0, 3)", name=op.f("ck_idempotency_key_answer_whole")),
        sa.CheckConstraint(
            "status IS NULL OR fingerprint IS NOT NULL", name=op.f("ck_idempotency_key_answer_has_fingerprint")
        ),
        sa.CheckConstraint("octet_length(body) <= 262144", name=op.f("ck_idempotency_key_body_length")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_idempotency_key_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_idempotency_key")),
    )
    op.create_index("ix_idempotency_key_expires_at", "idempotency_key", ["expires_at"], unique=False)
    op.create_table(
        "invitation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("invited_by", sa.Uuid(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("role IN ('admin', 'member', 'viewer')", name=op.f("ck_invitation_role")),
        sa.CheckConstraint("char_length(email) BETWEEN 3 AND 254", name=op.f("ck_invitation_email_length")),
        sa.CheckConstraint("octet_length(token_hash) = 32", name=op.f("ck_invitation_token_hash_length")),
        sa.ForeignKeyConstraint(
            ["invited_by"], ["user.id"], name=op.f("fk_invitation_invited_by"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_invitation_team_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitation")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_invitation_token_hash")),
    )
    op.create_index(
        "ix_invitation_team_id",
        "invitation",
        ["team_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_table(
        "password_reset",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("octet_length(token_hash) = 32", name=op.f("ck_password_reset_token_hash_length")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_password_reset_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_password_reset")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_password_reset_token_hash")),
    )
    op.create_index("ix_password_reset_user_id", "password_reset", ["user_id"], unique=False)
    op.create_table(
        "session",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("octet_length(token_hash) = 32", name=op.f("ck_session_token_hash_length")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_session_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_session_token_hash")),
    )
    op.create_index("ix_session_expires_at", "session", ["expires_at"], unique=False)
    op.create_index(
        "ix_session_user_id",
        "session",
        ["user_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    _change_audit_log()
    op.add_column("credential", sa.Column("address_ranges", postgresql.ARRAY(sa.Text()), nullable=True))
    op.add_column("credential", sa.Column("last_used_address", sa.Text(), nullable=True))
    op.add_column("credential", sa.Column("last_used_agent", sa.Text(), nullable=True))
    op.add_column(
        "credential", sa.Column("expiry_warnings", sa.SmallInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column("credential", sa.Column("revoked_reason", sa.Text(), nullable=True))
    op.add_column("credential", sa.Column("previous_last_used_address", sa.Text(), nullable=True))
    op.add_column("credential", sa.Column("previous_last_used_agent", sa.Text(), nullable=True))
    op.add_column("credential", sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.create_index(
        "ix_credential_expires_at",
        "credential",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("revoked_at IS NULL AND expiry_warnings < 2"),
    )
    op.add_column("image", sa.Column("expected_bytes", sa.BigInteger(), nullable=True))
    op.add_column("team", sa.Column("quota_bytes", sa.BigInteger(), nullable=True))
    op.add_column("team", sa.Column("quota_images", sa.BigInteger(), nullable=True))
    op.add_column("user", sa.Column("password_hash", sa.Text(), nullable=True))
    op.add_column("user", sa.Column("password_changed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint("expected_bytes_not_negative", "image", "expected_bytes >= 0")
    op.create_check_constraint("quota_not_negative", "team", "quota_bytes >= 0 AND quota_images >= 0")


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


def _index_metadata() -> None:
    op.execute(IMAGE_TERMS)
    op.create_index(
        "ix_image_terms",
        "image",
        [sa.literal_column("image_terms(team_id, metadata)")],
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
        postgresql_where=sa.text("metadata <> '{}'::jsonb"),
    )


RIGHTS = {
    "image_api": {
        "invitation": "SELECT, INSERT, UPDATE (accepted_at, revoked_at)",
        "password_reset": "SELECT, INSERT, UPDATE (used_at)",
        "session": "SELECT, INSERT, UPDATE (expires_at, ended_at)",
        "sign_in_delay": "SELECT, INSERT, UPDATE, DELETE",
        "credit_account": "SELECT, INSERT, UPDATE",
        "credit_reservation": "SELECT, INSERT, UPDATE (status, settled_at)",
        "credit_entry": "SELECT, INSERT",
        "storage_usage": "SELECT",
        "idempotency_key": "SELECT, INSERT, UPDATE, DELETE",
        "metadata_schema": "SELECT, INSERT, UPDATE, DELETE",
    },
    "image_processor": {
        "audit_seal": "SELECT, INSERT",
        # Warns of keys that are about to end; never sees what proves a key.
        "credential": "SELECT (id, user_id, name, public_id, expires_at, revoked_at, expiry_warnings)",
        '"user"': "SELECT (id, team_id, disabled_at)",
        "credit_account": "SELECT, UPDATE (balance, next_refill_at, updated_at)",
        "credit_reservation": "SELECT, UPDATE (status, settled_at)",
        "credit_entry": "SELECT, INSERT",
        "storage_usage": "SELECT, UPDATE (low_told_at)",
        "idempotency_key": "SELECT (expires_at), DELETE",
        "invitation": "SELECT (expires_at), DELETE",
        "password_reset": "SELECT (expires_at), DELETE",
        "session": "SELECT (expires_at), DELETE",
        "sign_in_delay": "SELECT (last_failed_at), DELETE",
    },
}


# What an image counts for: null is nothing at all, and an upload under way is as large as it may become.
WEIGHT_FUNCTION = """
CREATE FUNCTION image_weight_bytes(status text, size_bytes bigint, expected_bytes bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE status WHEN 'pending' THEN coalesce(expected_bytes, 0) WHEN 'expired' THEN NULL ELSE size_bytes END
"""

# Runs as the owner, so that neither service needs the right to write the counter. Its row is touched last in a
# statement and by one image a transaction, so that no two transactions wait for each other.
COUNT_FUNCTION = """
CREATE FUNCTION count_storage() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    owner_id uuid;
    old_bytes bigint;
    new_bytes bigint;
    more_bytes bigint;
    more_images bigint;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        owner_id := OLD.team_id;
        old_bytes := image_weight_bytes(OLD.status, OLD.size_bytes, OLD.expected_bytes);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        owner_id := NEW.team_id;
        new_bytes := image_weight_bytes(NEW.status, NEW.size_bytes, NEW.expected_bytes);
    END IF;
    more_bytes := coalesce(new_bytes, 0) - coalesce(old_bytes, 0);
    more_images := num_nonnulls(new_bytes) - num_nonnulls(old_bytes);
    UPDATE storage_usage SET bytes = bytes + more_bytes, images = images + more_images WHERE team_id = owner_id;
    IF NOT FOUND THEN
        INSERT INTO storage_usage AS held (team_id, bytes, images) VALUES (owner_id, more_bytes, more_images)
        ON CONFLICT (team_id) DO UPDATE SET bytes = held.bytes + excluded.bytes, images = held.images + excluded.images;
    END IF;
    RETURN NULL;
END $$
"""

# Asked in the statement that adds an image: the counter stays locked until that image is counted, too.
FITS_FUNCTION = """
CREATE FUNCTION storage_fits(owner_id uuid, more_bytes bigint, default_bytes bigint, default_images bigint)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    most_bytes bigint := default_bytes;
    most_images bigint := default_images;
    held storage_usage;
BEGIN
    SELECT coalesce(quota_bytes, default_bytes), coalesce(quota_images, default_images)
    INTO most_bytes, most_images FROM team WHERE id = owner_id;
    IF num_nonnulls(most_bytes, most_images) = 0 THEN
        RETURN true;
    END IF;
    INSERT INTO storage_usage (team_id) VALUES (owner_id) ON CONFLICT DO NOTHING;
    SELECT * INTO held FROM storage_usage WHERE team_id = owner_id FOR UPDATE;
    RETURN coalesce(held.bytes + more_bytes <= most_bytes, true) AND coalesce(held.images < most_images, true);
END $$
"""

_NEW, _OLD = (f"image_weight_bytes({row}.status, {row}.size_bytes, {row}.expected_bytes)" for row in ("NEW", "OLD"))
# By the change and when it counts: the states after `stored` leave an image's weight alone, and so the counter.
STORAGE_TRIGGERS = {
    "storage_added": f"AFTER INSERT ON image FOR EACH ROW WHEN ({_NEW} IS NOT NULL)",
    "storage_changed": (
        "AFTER UPDATE OF status, size_bytes, expected_bytes ON image FOR EACH ROW"
        f" WHEN ({_OLD} IS DISTINCT FROM {_NEW})"
    ),
    "storage_removed": f"AFTER DELETE ON image FOR EACH ROW WHEN ({_OLD} IS NOT NULL)",
}
FUNCTIONS = {
    "image_weight_bytes(text, bigint, bigint)": WEIGHT_FUNCTION,
    "count_storage()": COUNT_FUNCTION,
    "storage_fits(uuid, bigint, bigint, bigint)": FITS_FUNCTION,
}


def _count_storage() -> None:
    for function in FUNCTIONS.values():
        op.execute(function)
    for trigger, when in STORAGE_TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {trigger} {when} EXECUTE FUNCTION count_storage()")
    # Making a trigger keeps writers out until the migration ends: nothing is counted twice or missed.
    op.execute(
        "INSERT INTO storage_usage (team_id, bytes, images)"
        " SELECT team_id, sum(weight), count(weight) FROM image"
        " CROSS JOIN LATERAL image_weight_bytes(status, size_bytes, expected_bytes) AS weight GROUP BY team_id"
        " HAVING count(weight) > 0"
    )
    for function in FUNCTIONS:
        op.execute(f"ALTER FUNCTION {function} OWNER TO image_migrator")
    # Whoever may execute a trigger's function may make a trigger of it, on a table of their own with rows made up.
    op.execute("REVOKE EXECUTE ON FUNCTION count_storage() FROM PUBLIC")
    op.execute("REVOKE EXECUTE ON FUNCTION storage_fits(uuid, bigint, bigint, bigint) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION storage_fits(uuid, bigint, bigint, bigint) TO image_api")


def _grant() -> None:
    for table in dict.fromkeys(table for rights in RIGHTS.values() for table in rights):
        op.execute(f"ALTER TABLE {table} OWNER TO image_migrator")
    for role, rights in RIGHTS.items():
        for table, granted in rights.items():
            op.execute(f"GRANT {granted} ON {table} TO {role}")
    op.execute("GRANT UPDATE (expiry_warnings) ON credential TO image_processor")
    # To seal what is written.
    op.execute("GRANT SELECT ON audit_event TO image_processor")


def _open_credit_accounts() -> None:
    """Gives every team that is there already what a new team gets by default."""
    op.execute("INSERT INTO credit_account (team_id, balance) SELECT id, 1000 FROM team")
    op.execute(
        "INSERT INTO credit_entry (id, team_id, kind, amount, balance_after)"
        " SELECT gen_random_uuid(), team_id, 'opened', balance, balance FROM credit_account"
    )


def upgrade() -> None:
    _change_tables()
    _open_credit_accounts()
    _count_storage()
    _index_metadata()
    _grant()
    _close_audit_log()


def downgrade() -> None:
    for trigger in STORAGE_TRIGGERS:
        op.execute(f"DROP TRIGGER {trigger} ON image")
    for function in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {function}")
    op.drop_index("ix_image_terms", table_name="image")
    op.execute("DROP FUNCTION image_terms")
    op.drop_column("user", "password_changed_at")
    op.drop_column("user", "password_hash")
    op.drop_column("team", "quota_images")
    op.drop_column("team", "quota_bytes")
    op.drop_column("image", "expected_bytes")
    op.drop_index("ix_credential_expires_at", table_name="credential")
    op.drop_column("credential", "revision")
    op.drop_column("credential", "previous_last_used_agent")
    op.drop_column("credential", "previous_last_used_address")
    op.drop_column("credential", "revoked_reason")
    op.drop_column("credential", "expiry_warnings")
    op.drop_column("credential", "last_used_agent")
    op.drop_column("credential", "last_used_address")
    op.drop_column("credential", "address_ranges")
    op.execute("DROP FUNCTION refuse_audit_change CASCADE")
    op.execute("GRANT INSERT ON audit_event TO image_api")
    op.execute("REVOKE INSERT, SELECT ON audit_event FROM image_processor")
    op.drop_index("ix_audit_event_request_id", table_name="audit_event")
    op.drop_index("ix_audit_event_actor_user_id", table_name="audit_event")
    op.drop_index("ix_audit_event_created_at", table_name="audit_event")
    op.drop_column("audit_event", "position")
    op.drop_column("audit_event", "session_id")
    op.drop_table("audit_seal")
    op.drop_table("audit_checkpoint")
    op.drop_index("ix_session_user_id", table_name="session")
    op.drop_index("ix_session_expires_at", table_name="session")
    op.drop_table("session")
    op.drop_index("ix_password_reset_user_id", table_name="password_reset")
    op.drop_table("password_reset")
    op.drop_index("ix_invitation_team_id", table_name="invitation")
    op.drop_table("invitation")
    op.drop_index("ix_idempotency_key_expires_at", table_name="idempotency_key")
    op.drop_table("idempotency_key")
    op.drop_index("uq_credit_entry_reservation_id_kind", table_name="credit_entry")
    op.drop_index("ix_credit_entry_team_id", table_name="credit_entry")
    op.drop_table("credit_entry")
    op.drop_table("storage_usage")
    op.drop_table("metadata_schema")
    op.drop_index(
        "ix_credit_reservation_expires_at",
        table_name="credit_reservation",
        postgresql_where=sa.text("status = 'reserved'"),
    )
    op.drop_table("credit_reservation")
    op.drop_index(
        "ix_credit_account_next_refill_at",
        table_name="credit_account",
        postgresql_where=sa.text("next_refill_at IS NOT NULL"),
    )
    op.drop_table("credit_account")
    op.drop_index("ix_sign_in_delay_last_failed_at", table_name="sign_in_delay")
    op.drop_table("sign_in_delay")

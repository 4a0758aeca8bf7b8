"""Alembic's environment; `image_core.admin` passes the connection."""

from alembic import context

from image_core.models import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    compare_server_default=True,
    # Each revision commits separately, so that a long chain holds no lock longer than one step.
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()

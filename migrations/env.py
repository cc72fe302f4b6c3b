"""Alembic's entry: runs on the connection that `consent_service.store.schema` hands over."""

from alembic import context

from consent_service.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()

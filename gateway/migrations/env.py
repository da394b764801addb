"""What Alembic runs: the steps, on the connection and in the transaction that schema.py began."""

from alembic import context

from gateway.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()

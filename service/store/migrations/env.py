"""Where Alembic enters: on the connection that ``upgrade`` gives, inside its transaction."""

from alembic import context

from service.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
context.run_migrations()

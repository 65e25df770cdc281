"""Run by Alembic for every ``flask db`` command, inside the app's context."""

from alembic import context
from flask import current_app

migrate = current_app.extensions["migrate"]

if context.is_offline_mode():
    raise SystemExit("SQL scripts (--sql) are not supported: SQLite's migrations need to look at the database.")

with migrate.db.engine.connect() as connection:
    context.configure(connection=connection, target_metadata=migrate.db.metadata, **migrate.configure_args)
    with context.begin_transaction():
        context.run_migrations()

"""`migrate`: make the database ready, or say how."""

from cove_poller.commands.installation import Installation
from cove_poller.database.engine import migrate_database


def migrate(installation: Installation, *, dry_run: bool) -> str:
    """Make the database ready, or with `dry_run` only say how. Return the SQL; empty if it is ready already."""
    password = installation.credentials.database_password()
    return migrate_database(installation.config, password, dry_run=dry_run)

"""`migrate`: make the database ready, or say how."""

from cove_poller.commands.installation import Installation
from cove_poller.config.settings import Config
from cove_poller.config.urls import checked_database_url
from cove_poller.database.engine import migrate_database
from cove_poller.errors import WrongUsage


def migrate(installation: Installation, *, dry_run: bool, url: str | None = None, grant: str | None = None) -> str:
    """Make the database ready, or with `dry_run` only say how. Return the SQL; empty if it is ready already.

    With a `url` that is done as another role, whose password is in it or in libpq's places; the role `grant` gets the
    poller's rights.
    """
    config = _with_url(installation.config, url) if url else installation.config
    if grant and config.database.url.startswith("sqlite"):
        raise WrongUsage("SQLite has no roles; leave it out", "--grant")
    password = None if url else installation.credentials.database_password()
    return migrate_database(config, password, dry_run=dry_run, grant=grant)


def _with_url(config: Config, url: str) -> Config:
    try:
        database = config.database.model_copy(update={"url": checked_database_url(url)})
    except ValueError as error:
        raise WrongUsage(str(error), "--url") from None
    return config.model_copy(update={"database": database})

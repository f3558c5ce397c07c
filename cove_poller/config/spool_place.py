"""Where the polls are kept that the database could not take: beside SQLite's file, else in the user's state folder."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from platformdirs.unix import Unix

from cove_poller.config.settings import DatabaseSettings
from cove_poller.config.urls import hidden_url
from cove_poller.errors import ConfigError


def spool_folder(settings: DatabaseSettings, environ: Mapping[str, str], base: Path) -> Path:
    """Return the folder: the configured one (relative to `base`), `cove.db.spool`, or one for each other database.

    systemd's $STATE_DIRECTORY goes before $XDG_STATE_HOME and ~/.local/state; beside the configuration is where there
    is no home. Raise ConfigError if the configured one is in a home that there is not.
    """
    if settings.spool_directory:
        return base / _at_home(settings.spool_directory)
    kind, _, place = settings.url.partition("://")
    file = place.partition("?")[0].removeprefix("/")
    if kind.startswith("sqlite") and file and file != ":memory:":
        return Path(f"{file}.spool").absolute()
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    state = Path(given) if given else _state_folder() or base
    return state / f"spool-{hashlib.sha256(hidden_url(settings.url).encode()).hexdigest()[:12]}"


def _state_folder() -> Path | None:
    """Return the user's folder for such files, None for a user who has no home."""
    try:
        folder = Unix("cove-poller", appauthor=False).user_state_path
    except RuntimeError:  # as newer versions of the library say it; older ones leave the ~ where it is
        return None
    return folder if folder.is_absolute() else None


def _at_home(folder: str) -> Path:
    try:
        return Path(folder).expanduser()
    except RuntimeError:
        raise ConfigError(
            f"database.spool_directory: {folder} cannot be found: there is no such home directory ($HOME is not set);"
            " write the whole path"
        ) from None

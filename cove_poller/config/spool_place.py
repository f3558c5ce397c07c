"""Where the polls are kept that the database could not take: beside SQLite's file, else in the user's state folder."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from platformdirs.unix import Unix

from cove_poller.config.settings import DatabaseSettings
from cove_poller.config.urls import hidden_url


def spool_folder(settings: DatabaseSettings, environ: Mapping[str, str], base: Path) -> Path:
    """Return the folder: the configured one (relative to `base`), `cove.db.spool`, or one for each other database.

    systemd's $STATE_DIRECTORY goes before $XDG_STATE_HOME and ~/.local/state.
    """
    if settings.spool_directory:
        return base / Path(settings.spool_directory).expanduser()
    kind, _, place = settings.url.partition("://")
    file = place.partition("?")[0].removeprefix("/")
    if kind.startswith("sqlite") and file and file != ":memory:":
        return Path(f"{file}.spool").absolute()
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    state = Path(given) if given else Unix("cove-poller", appauthor=False).user_state_path
    return state / f"spool-{hashlib.sha256(hidden_url(settings.url).encode()).hexdigest()[:12]}"

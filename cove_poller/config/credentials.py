"""The passwords of a configuration, fetched when they are needed and not before."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from cove_poller.config.secrets import (
    changeable_files,
    database_password,
    exposed_files,
    login_password,
    resolved,
)
from cove_poller.config.settings import Config
from cove_poller.config.spool_place import spool_folder
from cove_poller.config.urls import passwords_in_url
from cove_poller.errors import ConfigError


class Credentials:
    """Where the passwords of `config`, read from `file`, are to be had."""

    def __init__(self, config: Config, file: Path, environ: Mapping[str, str]) -> None:
        self._config = config
        self._file = file
        self._environ = environ
        self._given: list[str] = []

    def login_password(self, login: str) -> SecretStr:
        """Return a login's password. Raise ConfigError if there is none, or if it cannot be had."""
        password = login_password(login, self._config.logins[login], self._environ, self._file.parent)
        self._given.append(password.get_secret_value())
        return password

    def database_password(self) -> SecretStr | None:
        """Return the database's password, None if none is set apart from its URL. Raise ConfigError."""
        password = database_password(self._config.database, self._environ, self._file.parent)
        if password:
            self._given.append(password.get_secret_value())
        return password

    def spool_folder(self) -> Path:
        """Return where polls are kept that the database could not take. Raise ConfigError if it cannot be found."""
        return spool_folder(self._config.database, self._environ, self._file.parent)

    def given(self) -> list[str]:
        """Return every password that was fetched so far, and that in the database URL: what no text may show."""
        return [*self._given, *passwords_in_url(self._config.database.url)]

    def check(self) -> None:
        """Fetch every password once, and find the spool. Raise ConfigError that names all that cannot be had."""
        problems = []
        fetches: list[Callable[[], object]] = [partial(self.login_password, login) for login in self._config.logins]
        for fetch in [*fetches, self.database_password, self.spool_folder]:
            try:
                fetch()
            except ConfigError as error:
                problems.append(str(error))
        if problems:
            raise ConfigError("\n  ".join(["not all that it names can be had:", *problems]))

    def secret_files(self) -> list[Path]:
        """Return the files that hold a secret, each once, and that the administrator has to guard.

        Those in $CREDENTIALS_DIRECTORY are guarded by systemd or Kubernetes, by other means than modes.
        """
        sources = list(self._config.secret_sources())
        files = [source.password_file for _, source in sources if source.password_file]
        paths = []
        for file in files:
            with suppress(RuntimeError):  # in a home that there is not: who fetches it is told
                paths.append(resolved(file, self._environ, self._file.parent))
        in_file = [self._config.database.has_password, self._config.healthchecks.url]
        if any(source.password for _, source in sources) or any(in_file):
            paths.append(self._file)
        return self._guarded(paths)

    def _guarded(self, paths: Iterable[Path]) -> list[Path]:
        """Return the paths that the administrator has to guard, each once."""
        given = self._environ.get("CREDENTIALS_DIRECTORY")
        return list(dict.fromkeys(path for path in paths if not (given and path.is_relative_to(given))))

    def warnings(self) -> list[str]:
        """Return a warning for each file with a secret that others can read, and for what they can write."""
        files = self.secret_files()
        return [*exposed_files(files), *changeable_files([*files, *self._guarded([self._file])])]

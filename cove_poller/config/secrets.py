"""Where passwords come from: the environment, a file, a command, the configuration; and which files others can read."""

import os
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, SecretStr, model_validator

from cove_poller.config.secret_command import run_command
from cove_poller.errors import ConfigError
from cove_poller.redaction import fit_to_show, remember

DATABASE_VARIABLE = "COVE_POLLER_DATABASE_PASSWORD"
LOGIN_VARIABLE = "COVE_POLLER_PASSWORD"
COMMAND_TIMEOUT_SECONDS = 30
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
ONE_SOURCE = "set only one of password, password_file and password_command"


class SecretSource(BaseModel):
    """The keys that say where a password comes from; at most one of them is set."""

    password: SecretStr | None = None
    password_file: Path | None = None
    password_command: str | list[str] | None = None

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        if len([key for key in SecretSource.model_fields if getattr(self, key) is not None]) > 1:
            raise ValueError(ONE_SOURCE)
        return self


def password_variables(login: str) -> tuple[str, str]:
    """Return the environment variables for a login's password: its own, then the common one.

    Its own for the login `msp-2.north` is `COVE_POLLER_PASSWORD_MSP_2_NORTH`.
    """
    own = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in login).upper()
    return f"{LOGIN_VARIABLE}_{own}", LOGIN_VARIABLE


def login_password(name: str, source: SecretSource, environ: Mapping[str, str], directory: Path) -> SecretStr:
    """Return a login's password: its own variable, else what the file says, else the common variable.

    `directory` is the configuration file's. Raise ConfigError if there is none, or if it cannot be had.
    """
    own, common = password_variables(name)
    where = f"logins.{name}"
    found = _from_environment(own, environ) or _from_source(where, source, environ, directory)
    if found is None:
        found = _from_environment(common, environ)
    if found is None:
        raise ConfigError(f"{where}.password_file: missing (or ${own} or ${common})")
    return found


def database_password(source: SecretSource, environ: Mapping[str, str], directory: Path) -> SecretStr | None:
    """Return the database's password, None if none is set apart from its URL. Raise ConfigError."""
    found = _from_environment(DATABASE_VARIABLE, environ)
    return found or _from_source("database", source, environ, directory)


def _from_environment(variable: str, environ: Mapping[str, str]) -> SecretStr | None:
    return checked_secret(f"${variable}", environ[variable]) if environ.get(variable) else None


def remember_variables(environ: Mapping[str, str]) -> None:
    """Let no text show a password that stands in the environment, whether it is used or not."""
    for name, value in environ.items():
        if name.startswith((LOGIN_VARIABLE, DATABASE_VARIABLE, "PGPASSWORD")):
            remember(value, value.strip())


def shared_variables(logins: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a problem for each set variable that would be the password of different users: Cove would lock one."""
    users: dict[str, dict[str, str]] = {}
    for name, login in logins.items():
        own, _ = password_variables(name)
        if environ.get(own):
            users.setdefault(own, {})[name] = login.username
    for variable, by_login in users.items():
        if len(set(by_login.values())) > 1:
            yield (
                f"logins.{', logins.'.join(sorted(by_login))}: ${variable} would be the password of all of them, though"
                " they are different users; give each a password_file of its own"
            )


def _from_source(where: str, source: SecretSource, environ: Mapping[str, str], directory: Path) -> SecretStr | None:
    if source.password_file is not None:
        try:
            file = resolved(source.password_file, environ, directory)
        except RuntimeError:
            raise ConfigError(
                f"{where}.password_file: {source.password_file} cannot be found: there is no such home directory"
                " ($HOME is not set); write the whole path"
            ) from None
        return _from_file(where, file)
    if source.password_command is not None:
        return _from_command(where, source.password_command)
    if source.password is not None:
        return checked_secret(f"{where}.password", source.password.get_secret_value())
    return None


def resolved(file: Path, environ: Mapping[str, str], directory: Path) -> Path:
    """Return where a file is: a relative one in systemd's $CREDENTIALS_DIRECTORY, else beside the configuration.

    Raise RuntimeError if it is in a home directory and there is none.
    """
    return Path(environ.get("CREDENTIALS_DIRECTORY") or directory) / file.expanduser()


def checked_secret(where: str, text: str, *, may_have_blanks: bool = True) -> SecretStr:
    """Return a password without the line end behind it. Raise ConfigError if it cannot be what was meant.

    What is sent to Cove all the same is rejected, and brings the user nearer to being locked.
    """
    remember(text, text.strip())
    secret = text.rstrip("\r\n")
    if not secret:
        raise ConfigError(f"{where} is empty" if where.startswith("$") else f"{where}: is empty")
    if problem := _unlikely(secret, may_have_blanks=may_have_blanks):
        raise ConfigError(f"{where}: {problem}")
    return SecretStr(secret)


def _unlikely(secret: str, *, may_have_blanks: bool) -> str | None:
    """Return why a text is probably not the password that was meant; None if it may be."""
    if secret.startswith("\ufeff"):
        return "begins with a byte order mark; save it as UTF-8 without one"
    if any(sign in secret for sign in "\r\n"):
        return "has more than one line; only the password may be in it"
    if not may_have_blanks and secret != secret.strip():
        return (
            "has blanks before or behind it; if they belong to the password, give it as `password` or by its variable"
        )
    unseen = next((sign for sign in secret if sign != " " and not sign.isprintable()), None)
    return f"has a sign in it that cannot be seen (U+{ord(unseen):04X})" if unseen else None


def _from_file(where: str, file: Path) -> SecretStr:
    try:
        text = file.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{where}.password_file: {file} cannot be read: {reason}") from None
    if not text.strip():
        raise ConfigError(f"{where}.password_file: {file} is empty")
    return checked_secret(f"{where}.password_file: {file}", text, may_have_blanks=False)


def _from_command(where: str, command: str | list[str]) -> SecretStr:
    try:
        words = shlex.split(command) if isinstance(command, str) else command
    except ValueError:
        raise ConfigError(f"{where}.password_command: a quote is not closed") from None
    problem = f"{where}.password_command: {words[0] if words else 'the empty command'}"
    try:
        done = run_command(words, COMMAND_TIMEOUT_SECONDS)
    except (OSError, ValueError, IndexError) as error:
        raise ConfigError(f"{problem} did not run ({type(error).__name__})") from None
    remember(done.output, done.output.strip())
    last = fit_to_show(done.last_error)
    said = f'; it said: "{last}"' if last else ""
    if done.exit_code is None:
        raise ConfigError(f"{problem} did not end within {COMMAND_TIMEOUT_SECONDS:g} seconds and was ended{said}")
    if done.exit_code:
        raise ConfigError(f"{problem} ended with {done.exit_code} and gave no password{said}")
    if not done.output.strip():  # it went well, so what it said elsewhere may be the password itself
        raise ConfigError(f"{problem} printed no password on its standard output")
    return checked_secret(problem, done.output, may_have_blanks=False)


def exposed_files(files: Iterable[Path]) -> list[str]:
    """Return a warning for each file that holds a secret and is readable by others than its owner."""
    return [
        f"{file} holds a secret and others can read it; run: chmod 600 {shlex.quote(str(file))}"
        for file in dict.fromkeys(files)
        if os.name == "posix" and _mode(file) & (stat.S_IRGRP | stat.S_IROTH)
    ]


def changeable_files(files: Iterable[Path]) -> list[str]:
    """Return a warning for each file, or the folder of one, that others than its owner may write.

    Who may do so decides whom the password is sent to, and which command is run to get one.
    """
    if os.name != "posix":
        return []
    once = list(dict.fromkeys(files))
    folders = dict.fromkeys(folder for file in once for folder in (file.parent.absolute(), file.resolve().parent))
    found = [(file, "") for file in once if _mode(file) & OTHERS_WRITE]
    found += [(one, ", and so replace what is in it") for one in folders if is_open_folder(_mode(one))]
    return [f"others can write {path}{more}; run: chmod go-w {shlex.quote(str(path))}" for path, more in found]


def is_open_folder(mode: int) -> bool:
    """Tell whether others may replace files in a folder: in a sticky one, like /tmp, only their own."""
    return bool(mode & OTHERS_WRITE) and not mode & stat.S_ISVTX


def _mode(file: Path) -> int:
    """Return the file's mode; 0 if it may not even be looked at, then nobody is warned of it."""
    try:
        return file.stat().st_mode
    except OSError:
        return 0

"""Where passwords come from: the environment, a file, a command, the configuration; and which files others can read."""

import os
import shlex
import stat
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, SecretStr, model_validator

from cove_poller.errors import ConfigError

DATABASE_VARIABLE = "COVE_POLLER_DATABASE_PASSWORD"
LOGIN_VARIABLE = "COVE_POLLER_PASSWORD"
COMMAND_TIMEOUT_SECONDS = 30
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
    return SecretStr(environ[variable]) if environ.get(variable) else None


def _from_source(where: str, source: SecretSource, environ: Mapping[str, str], directory: Path) -> SecretStr | None:
    if source.password_file is not None:
        return _from_file(where, resolved(source.password_file, environ, directory))
    if source.password_command is not None:
        return _from_command(where, source.password_command)
    if source.password is not None and not source.password.get_secret_value():
        raise ConfigError(f"{where}.password: is empty")
    return source.password


def resolved(file: Path, environ: Mapping[str, str], directory: Path) -> Path:
    """Return where a file is: a relative one in systemd's $CREDENTIALS_DIRECTORY, else beside the configuration."""
    return Path(environ.get("CREDENTIALS_DIRECTORY") or directory) / file.expanduser()


def _from_file(where: str, file: Path) -> SecretStr:
    try:
        text = file.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{where}.password_file: {file} cannot be read: {reason}") from error
    if not text:
        raise ConfigError(f"{where}.password_file: {file} is empty")
    return SecretStr(text)


def _from_command(where: str, command: str | list[str]) -> SecretStr:
    try:
        words = shlex.split(command) if isinstance(command, str) else command
    except ValueError:
        raise ConfigError(f"{where}.password_command: a quote is not closed") from None
    problem = f"{where}.password_command: {words[0] if words else 'the empty command'}"
    try:
        done = subprocess.run(  # noqa: S603 - the administrator's own command, without a shell
            words,
            check=False,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{problem} did not run ({type(error).__name__})") from None
    if done.returncode or not done.stdout.strip("\r\n"):
        raise ConfigError(f"{problem} ended with {done.returncode} and gave no password")
    return SecretStr(done.stdout.strip("\r\n"))


def exposed_files(files: Iterable[Path]) -> list[str]:
    """Return a warning for each file that holds a secret and is readable by others than its owner."""
    return [
        f"{file} holds a secret and others can read it; run: chmod 600 {shlex.quote(str(file))}"
        for file in dict.fromkeys(files)
        if os.name == "posix" and _mode(file) & (stat.S_IRGRP | stat.S_IROTH)
    ]


def _mode(file: Path) -> int:
    """Return the file's mode; 0 if it may not even be looked at, then nobody is warned of it."""
    try:
        return file.stat().st_mode
    except OSError:
        return 0

"""The configuration file: where it is, what is wrong with it, and how it is shown.

Every problem is reported at once, with its path, and never with the value: it might be a password.
"""

import difflib
import tomllib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from platformdirs.unix import Unix
from pydantic import ValidationError

from cove_poller.config.proxies import remember_proxies
from cove_poller.config.secrets import (
    ONE_SOURCE,
    SecretSource,
    password_variables,
    remember_variables,
    shared_variables,
)
from cove_poller.config.settings import Config, LoginSettings
from cove_poller.config.urls import HIDDEN, hidden_url, host_only, passwords_in_url
from cove_poller.errors import ConfigError
from cove_poller.redaction import remember

CONFIG_VARIABLE = "COVE_POLLER_CONFIG"
RUN_AS = "run this as the user who owns it, or give it to the poller's user with chown"
FILE_NAME = "cove.toml"
SYSTEM_WIDE = Path("/etc/cove-poller")

# How pydantic names the members of a union, as if they were keys, and what a person would say instead of it.
UNION_MEMBERS = frozenset({"str", "int", "float", "bool", "list[str]"})
MESSAGES = {
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "tuple_type": "must be a list",
    "path_type": "must be text",
}


def search_paths() -> list[Path]:
    """Return where the configuration is looked for when nobody names it; the first that is there is taken.

    The user's own is where the XDG rules say, on every system: that is what the documentation names.
    """
    own: list[Path] = []
    with suppress(RuntimeError):  # who has no home has none there
        own.append(Unix("cove-poller").user_config_path)
    return [place / FILE_NAME for place in (Path(), *own, SYSTEM_WIDE)]


def find_config(named: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the configuration file: `named`, else $COVE_POLLER_CONFIG, else the first found. Raise ConfigError."""
    if named or (named := Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None):
        if is_refused(named):
            raise ConfigError(f"{named.absolute()} cannot be read: Permission denied; {RUN_AS}")
        if not _is_file(named):
            raise ConfigError(f"no configuration at {named}; write one with: cove-poller config init {named}")
        return named
    paths = search_paths()
    for path in paths:
        if _is_file(path):
            return path
    if refused := [str(path) for path in paths if is_refused(path)]:
        raise ConfigError(f"{', '.join(refused)} cannot be read: Permission denied; {RUN_AS}")
    looked = ", ".join(str(path) for path in paths)
    raise ConfigError(f"no configuration found ({looked}); write one with: cove-poller config init")


def is_refused(path: Path) -> bool:
    """Tell whether this user may not even look whether there is such a file."""
    try:
        path.stat()
    except OSError as error:
        return isinstance(error, PermissionError)
    return False


def _is_file(path: Path) -> bool:
    """Tell whether there is such a file; one that may not even be looked at is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Return the checked configuration. Raise ConfigError that names every problem with its path."""
    remember_variables(environ)
    remember_proxies(environ)
    try:
        content = tomllib.loads(decoded(path, path.read_bytes()))
    except OSError as error:
        hint = f"; {RUN_AS}" if isinstance(error, PermissionError) else ""
        raise ConfigError(f"{path} cannot be read: {error.strerror}{hint}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        found = {_problem(dict(detail)) for detail in error.errors(include_input=False)}
    else:
        remember_all(config)
        found = set(shared_variables(config.logins, environ))
        if not found:
            return config
    problems = sorted({*found, *_password_problems(content, environ)})
    raise ConfigError("\n  ".join([f"{path} has {len(problems)} problem(s):", *problems]))


def decoded(path: Path, content: bytes) -> str:
    """Return the text of a configuration. Raise ConfigError that names the line that is not UTF-8."""
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) or b"\0" in content[:4]:
        raise ConfigError(f"{path} is UTF-16 text, from line 1 on; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path} is not UTF-8 text: line {line} is Latin-1 or the like; save it as UTF-8") from None


def _problem(detail: dict[str, Any]) -> str:
    location = [str(part) for part in detail["loc"] if part != "[key]" and part not in UNION_MEMBERS]
    path = ".".join(location)
    if detail["type"] == "missing":
        return f"{path}: missing"
    if detail["type"] == "extra_forbidden":
        return f"{path}: unknown key{_suggestion(location)}"
    if not UNION_MEMBERS.isdisjoint(detail["loc"]):
        return f"{path}: is of the wrong type"
    return f"{path}: {MESSAGES.get(detail['type']) or detail['msg'].removeprefix('Value error, ')}"


def _suggestion(location: list[str]) -> str:
    """Return a hint at the key that was probably meant: " (did you mean page_size?)"."""
    model: Any = Config
    for part in location[:-1]:
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        model = field.annotation if field else LoginSettings
    names = [field.alias or name for name, field in getattr(model, "model_fields", {}).items()]
    close = difflib.get_close_matches(location[-1], names, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _password_problems(content: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what pydantic does not look for in a table with another mistake, or cannot know."""
    logins = content.get("logins")
    for name, login in logins.items() if isinstance(logins, dict) else ():
        if not isinstance(login, dict):
            continue
        if len(SecretSource.model_fields.keys() & login.keys()) > 1:
            yield f"logins.{name}: {ONE_SOURCE}"
        if not any(key.startswith("password") for key in login):
            variables = password_variables(name)
            if not any(environ.get(variable) for variable in variables):
                yield f"logins.{name}.password_file: missing (or ${' or $'.join(variables)})"
    database = content.get("database")
    if isinstance(database, dict) and len(SecretSource.model_fields.keys() & database.keys()) > 1:
        yield f"database: {ONE_SOURCE}"


def remember_all(config: Config) -> None:
    """Let no text show a secret that stands in the configuration."""
    for _, source in config.secret_sources():
        remember(source.password.get_secret_value() if source.password else None)
    remember(*passwords_in_url(config.database.url))
    if url := config.healthchecks.url:
        remember(url.get_secret_value())


def shown(config: Config) -> str:
    """Return the configuration in effect as TOML, with every secret hidden."""
    content = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    content["database"]["url"] = hidden_url(config.database.url)
    if url := config.healthchecks.url:
        content["healthchecks"]["url"] = host_only(url.get_secret_value())
    for login in config.logins:
        content["logins"][login]["api"] = config.api_of(login).model_dump(mode="json")
    import tomli_w  # only here, and nothing else shows a configuration

    return tomli_w.dumps(_hidden(content))


def _hidden(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: HIDDEN if key == "password" else _hidden(value) for key, value in content.items()}
    return content

"""What several commands are given: the configuration, chosen logins, and the options that are the same everywhere."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import click


class Context:
    """The global options."""

    def __init__(self, config_file: Path | None) -> None:
        self._named = config_file

    def file(self) -> Path:
        """Return the configuration file. Raise ConfigError if there is none."""
        from cove_poller.config.file import find_config

        return find_config(self._named, os.environ)

    def load(self) -> Any:
        """Return the checked configuration and its credentials. Raise ConfigError."""
        from cove_poller.config.credentials import Credentials
        from cove_poller.config.file import load_config

        file = self.file()
        config = load_config(file, os.environ)
        return config, Credentials(config, file, os.environ)

    def installation(self) -> Any:
        """Return what the commands work with. Raise ConfigError."""
        from cove_poller.commands.installation import Installation

        return Installation(*self.load())


def chosen_logins(config: Any, names: tuple[str, ...]) -> list[str]:
    """Return the logins to work on: those named, else all. Raise BadParameter for an unknown one."""
    for name in names:
        if name not in config.logins:
            known = ", ".join(config.logins)
            raise click.BadParameter(f"there is no login {name!r}; configured are: {known}", param_hint="--login")
    return list(dict.fromkeys(names)) or list(config.logins)


def login_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return to the shell the configured logins that begin so; none, and no word, where anything is wrong."""
    del parameter
    with suppress(Exception):
        named: Path | None = context.find_root().params["config_file"]
        config, _ = Context(named and named.expanduser()).load()
        return [name for name in config.logins if name.startswith(incomplete)]
    return []


def examples(*lines: str) -> str:
    """Return what stands at the end of a command's `--help`: a line for each example, kept as it is."""
    return "\n".join(["\b", "Examples:", *(f"  cove-poller {line}" for line in lines)])


login_option = click.option(
    "--login",
    "logins",
    multiple=True,
    metavar="NAME",
    shell_complete=login_names,
    help="Only this login; may be given several times.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")

"""`config` on the command line: a sample to begin with, a check, and what is in effect."""

import getpass
import json
import os
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from cove_poller.cli.deliver import delivery
from cove_poller.cli.options import Context, examples, json_option


@click.group()
def config() -> None:
    """Write, check and show the configuration."""


@config.command(
    "init",
    epilog=examples(
        "config init                              asks, and writes cove.toml",
        "config init --full /etc/cove-poller/cove.toml  every key there is",
    ),
)
@click.argument("file", type=click.Path(path_type=Path), default=Path("cove.toml"))
@click.option("--full", is_flag=True, help="Ask nothing and write every key, as is done without a terminal.")
@json_option
def config_init(file: Path, full: bool, as_json: bool) -> None:
    """Write a configuration to FILE (cove.toml), readable by its owner only. Asks on a terminal for what it needs."""
    with delivery("config init", as_json=as_json) as deliver:
        from cove_poller.commands.results import Answer

        started_at = datetime.now(UTC)
        if file.exists():
            raise click.UsageError(f"{file} is there already and was left as it is")
        asks = not (full or as_json) and sys.stdin.isatty() and sys.stdout.isatty()
        content = asked() if asks else sample()
        write_new(file, content)
        where, todo = file.absolute(), f"cove-poller --config {shlex.quote(str(file))} doctor"
        first = passwords_to_put(content) if asks else "Put your login into it"
        text = (
            f"{where} is written; only {getpass.getuser()} may read it. If the poller runs as another user, give it\n"
            f"to that one: chown USER {shlex.quote(str(where))}. So too with what holds a password.\n"
            f"{first}, then run: {todo}"
        )
        facts = {"file": str(where), "next": f"{first}, then run: {todo}", "error": None}
        deliver(text, Answer("config init", started_at, datetime.now(UTC), facts))


def asked() -> str:
    """Return a short configuration of what a person answers."""
    click.echo("Three questions; every other key has a default (config init --full shows them all).")
    username = click.prompt("Name of the API user in Cove")
    partner = click.prompt("Its partner, as in Cove's console (empty: its own)", default="", show_default=False)
    database = click.prompt("Database", default="sqlite:///cove.db")
    lines = [
        "[database]",
        f"url = {quoted(database)}",
        "",
        "[logins.main]",
        f"username = {quoted(username)}",
    ]
    lines += ['password_file = "cove-password"  # beside this file']
    lines += [f"partner = {quoted(partner)}"] if partner else []
    if not database.startswith("sqlite"):
        lines.insert(2, 'password_file = "database-password"  # beside this file; leave it out if none is asked for')
    return "\n".join([*lines, ""])


def passwords_to_put(config: str) -> str:
    """Return what is to be put beside a configuration that `asked` has made."""
    first = "Put Cove's token into the file cove-password beside it"
    return f"{first}, the database's password into database-password" if "database-password" in config else first


def quoted(text: str) -> str:
    """Return a text as a string of TOML."""
    return json.dumps(text, ensure_ascii=False)


def sample() -> str:
    """Return the sample with every key."""
    from importlib import resources

    return (resources.files("cove_poller") / "samples" / "cove.example.toml").read_text(encoding="utf-8")


def write_new(file: Path, text: str) -> None:
    """Write a file that only its owner may read, and its folder if that is missing. Raise UsageError."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise click.UsageError(f"{file} cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)


@config.command("check")
@json_option
@click.pass_obj
def config_check(context: Context, as_json: bool) -> None:
    """Check the configuration and its secrets; all problems are named at once."""
    with delivery("config check", as_json=as_json) as deliver:
        from cove_poller.commands.results import Answer

        started_at = datetime.now(UTC)
        loaded, credentials = context.load()
        credentials.check()
        text = f"{context.file()} is fine: {len(loaded.logins)} login(s), {', '.join(loaded.logins)}"
        warnings = [*credentials.warnings()]
        content = {
            "file": str(context.file().absolute()),
            "logins": [*loaded.logins],
            "warnings": warnings,
            "error": None,
        }
        result = Answer("config check", started_at, datetime.now(UTC), content)
        deliver(text, result, "\n".join(warnings))


@config.command("show")
@json_option
@click.pass_obj
def config_show(context: Context, as_json: bool) -> None:
    """Show the configuration in effect, with secrets hidden."""
    with delivery("config show", as_json=as_json, results="toml") as deliver:
        from cove_poller.commands.results import Answer
        from cove_poller.config.file import shown

        started_at, file = datetime.now(UTC), context.file().absolute()
        text = shown(context.load()[0])
        content = {"file": str(file), "toml": text.splitlines(), "error": None}
        result = Answer("config show", started_at, datetime.now(UTC), content)
        deliver(f"# {file}\n{text}".removesuffix("\n"), result)

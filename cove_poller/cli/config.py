"""`config` on the command line: a sample to begin with, a check, and what is in effect."""

import os
from pathlib import Path

import click

from cove_poller.cli.deliver import delivery
from cove_poller.cli.options import Context


@click.group()
def config() -> None:
    """Write, check and show the configuration."""


@config.command("init")
@click.argument("file", type=click.Path(path_type=Path), default=Path("cove.toml"))
def config_init(file: Path) -> None:
    """Write a sample configuration to FILE (cove.toml), readable by its owner only."""
    from importlib import resources

    sample = resources.files("cove_poller") / "samples" / "cove.example.toml"
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise click.UsageError(f"{file} is there already and was left as it is") from None
    except OSError as error:
        raise click.UsageError(f"{file} cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(sample.read_text(encoding="utf-8"))
    click.echo(f"{file} is written. Put your login into it, then run: cove-poller --config {file} test-login")


@config.command("check")
@click.pass_obj
def config_check(context: Context) -> None:
    """Check the configuration and its secrets; all problems are named at once."""
    with delivery("config check") as deliver:
        loaded, credentials = context.load()
        credentials.check()
        text = f"{context.file()} is fine: {len(loaded.logins)} login(s), {', '.join(loaded.logins)}"
        deliver(text, trouble="\n".join(credentials.warnings()))


@config.command("show")
@click.pass_obj
def config_show(context: Context) -> None:
    """Show the configuration in effect, with secrets hidden."""
    with delivery("config show") as deliver:
        from cove_poller.config.file import shown

        deliver(shown(context.load()[0]).removesuffix("\n"))

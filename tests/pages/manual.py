"""The man page, made of what `--help` says. `python -m tests.pages.manual` writes it anew."""

import re
from collections.abc import Iterator

import click

from cove_poller import __version__
from cove_poller.cli.program import program
from tests.pages.readme import README, SAMPLES, below

MANUAL = SAMPLES / "cove-poller.1"
EXIT_CODE = re.compile(r"^\| (\d+) \| (.*?) \| (.*?) ?\|$", re.MULTILINE)
FILES = ("./cove.toml", "~/.config/cove-poller/cove.toml", "/etc/cove-poller/cove.toml")
ENVIRONMENT = {
    "COVE_POLLER_CONFIG": "The configuration, if --config does not say it.",
    "COVE_POLLER_PASSWORD, COVE_POLLER_PASSWORD_NAME": "The password of every login, and of the login NAME.",
    "COVE_POLLER_DATABASE_PASSWORD": "The password of the database.",
    "COVE_POLLER_MIGRATE_URL": "What migrate is told as --url, a password included.",
    "NO_COLOR": "No colours and nothing that moves.",
}


def manual() -> str:
    """The man page as groff reads it."""
    context = click.Context(program, info_name="cove-poller", **program.context_settings)
    lines = [
        f'.TH COVE\\-POLLER 1 "" "cove-poller {__version__}" "User Commands"',
        ".SH NAME", f"cove\\-poller \\- {roff(summary(program))}",
        ".SH SYNOPSIS", *usage(context),
        ".SH DESCRIPTION", *paragraphs(program.help or ""),
        ".SH OPTIONS", *options(context),
        ".SH COMMANDS", *sections(context),
        ".SH EXIT STATUS", *exit_codes(),
        ".SH ENVIRONMENT", *(line for name, text in ENVIRONMENT.items() for line in tagged(name, text)),
        ".SH FILES", "The first of these that is there, unless another one is named:", *tagged_list(FILES),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def sections(context: click.Context) -> Iterator[str]:
    """Each command below a group: how it is used, what it does, its options and examples."""
    for name, command in below(context.command).items():
        own = click.Context(command, info_name=name, parent=context, **command.context_settings)
        if isinstance(command, click.Group):
            yield from sections(own)
            continue
        yield f".SS {roff(own.command_path.removeprefix('cove-poller '))}"
        yield from usage(own)
        yield from (".PP", *paragraphs(command.help or ""))
        yield from options(own)
        yield from examples(command.epilog or "")


def usage(context: click.Context) -> list[str]:
    pieces = " ".join(context.command.collect_usage_pieces(context))
    return [f"\\fB{roff(context.command_path)}\\fR {roff(pieces)}"]


def options(context: click.Context) -> Iterator[str]:
    """The options as `--help` has them, but for `--help` itself."""
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record and "--help" not in parameter.opts:
            yield from tagged(*record)


def tagged(name: str, text: str) -> list[str]:
    return [".TP", f"\\fB{roff(name)}\\fR", roff(text)]


def tagged_list(names: tuple[str, ...]) -> list[str]:
    return [line for name in names for line in (".br", f"\\fI{roff(name)}\\fR")]


def examples(epilog: str) -> list[str]:
    lines = epilog.removeprefix("\b\nExamples:\n").splitlines()
    return [".PP", "Examples:", ".EX", *(f"  {roff(line.strip())}" for line in lines), ".EE"] if lines else []


def exit_codes() -> Iterator[str]:
    """The table of the README."""
    for code, meaning, advice in EXIT_CODE.findall(README.read_text(encoding="utf-8")):
        yield from tagged(code, "; ".join(filter(None, [meaning, advice])).replace("`", ""))


def summary(command: click.Command) -> str:
    return " ".join((command.help or "").partition("\n\n")[0].split()).removesuffix(".")


def paragraphs(text: str) -> list[str]:
    found = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    return [line for one in found for line in (".PP", roff(one))][1:]


def roff(text: str) -> str:
    """A text that groff shows as it is."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{escaped}" if escaped.startswith((".", "\\(aq")) else escaped


if __name__ == "__main__":
    MANUAL.write_text(manual(), encoding="utf-8")

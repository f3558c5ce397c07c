"""The generated parts of the README. `python -m tests.pages.readme` writes them anew."""

import re
from pathlib import Path

import click

from cove_poller.cli.program import program
from cove_poller.records.statuses import TABLE
from tests.pages.questions import answers
from tests.world.layouts import GRANTS

README = Path(__file__).parents[2] / "README.md"
SAMPLES = README.parent / "cove_poller" / "samples"
SHOWN = re.compile(r"<!-- shown: questions -->\n.*?<!-- end shown -->", re.DOTALL)
BLOCK = re.compile(r"<!-- block: (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all commands, groups included."""
    return [path, *(found for name, one in below(command).items() for found in commands(one, (*path, name)))]


def below(command: click.Command) -> dict[str, click.Command]:
    """The commands of a group; none if it is no group."""
    if not isinstance(command, click.Group):
        return {}
    context = click.Context(command)
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {name: one for name, one in found.items() if one}


def help_texts() -> str:
    shown = (f"$ cove-poller {' '.join([*path, '--help'])}\n{help_text(path)}" for path in commands(program))
    return "\n".join(f"```\n{text}\n```\n" for text in shown)


def help_text(path: tuple[str, ...]) -> str:
    """What `--help` of a command prints, without running anything of it in this process."""
    command: click.Command = program
    context = click.Context(program, info_name="cove-poller", terminal_width=78, **program.context_settings)
    for name in path:
        command = below(command)[name]
        context = click.Context(command, info_name=name, parent=context)
    return command.get_help(context)


def status_table() -> str:
    known = [row for row in TABLE.values() if not row.name.startswith("Unknown")]
    rows = [f"| {row.code} {row.name} | {row.meaning.value} |" for row in known]
    return "\n".join(["| Cove's session status | counts as |", "|---|---|", *rows, "| any other | warning |"]) + "\n"


def grants() -> str:
    rights = GRANTS.format(database="backupchecks", schema="public", role="cove_poller")
    return f"```sql\nCREATE ROLE cove_poller LOGIN PASSWORD '...';\n{rights}```\n"


def sample(name: str, language: str) -> str:
    """A sample file as it stands in the package."""
    return f"```{language}\n{(SAMPLES / name).read_text(encoding='utf-8')}```\n"


def rendered(text: str) -> str:
    """The README with its generated parts made anew."""
    blocks = {
        "help": help_texts(),
        "status": status_table(),
        "grants": grants(),
        "cron": sample("cove-poller.cron", "sh"),
        "service": sample("cove-poller.service", "ini"),
        "timer": sample("cove-poller.timer", "ini"),
        "cronjob": sample("cronjob.yaml", "yaml"),
    }
    return BLOCK.sub(lambda match: f"<!-- block: {match[1]} -->\n{blocks[match[1]]}<!-- end -->", text)


def answered(text: str) -> str:
    """The README with the four questions asked anew."""
    return SHOWN.sub(lambda _: f"<!-- shown: questions -->\n{answers()}<!-- end shown -->", text)


if __name__ == "__main__":
    README.write_text(answered(rendered(README.read_text(encoding="utf-8"))), encoding="utf-8")

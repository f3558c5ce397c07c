"""The generated parts of the README. `python -m tests.pages.readme` writes them anew."""

import re
from pathlib import Path

import click

from cove_poller.records.statuses import TABLE
from tests.pages.questions import answers

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


def status_table() -> str:
    known = [row for row in TABLE.values() if not row.name.startswith("Unknown")]
    rows = [f"| {row.code} {row.name} | {row.meaning.value} |" for row in known]
    return "\n".join(["| Cove's session status | counts as |", "|---|---|", *rows, "| any other | warning |"]) + "\n"


def rendered(text: str) -> str:
    """The README with its generated parts made anew."""
    blocks = {"status": status_table()}
    return BLOCK.sub(lambda match: f"<!-- block: {match[1]} -->\n{blocks[match[1]]}<!-- end -->", text)


def answered(text: str) -> str:
    """The README with the four questions asked anew."""
    return SHOWN.sub(lambda _: f"<!-- shown: questions -->\n{answers()}<!-- end shown -->", text)


if __name__ == "__main__":
    README.write_text(answered(rendered(README.read_text(encoding="utf-8"))), encoding="utf-8")

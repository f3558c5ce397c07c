"""A fault that is tried, what has to come of it, and all of them as the table in CONTRIBUTING.md.

`python -m tests.faults.table` writes that table anew.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.scene import Ran, Scene

PAGE = Path(__file__).parents[2] / "CONTRIBUTING.md"
BLOCK = re.compile(r"(<!-- faults -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Fault:
    """A fault of a `kind`, `where` it is met, and what a sync of three devices, two a page, makes of it.

    `code` is its exit code, `runs` how many of the three job runs there are then, `requests` how often Cove was asked
    (None where that differs, since the next page is fetched while one is written), `says` a piece of what is said;
    nothing is where that is empty. `heals` says that a sync after it ends with 0 and has all three.
    """

    kind: str
    name: str
    where: str
    code: int
    runs: int
    requests: int | None
    says: str
    cause: "Callable[[Scene], Ran]"
    heals: bool = False

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}{f', {self.where}' if self.where else ''}"


def all_faults() -> list[Fault]:
    """Every fault that is tried."""
    from tests.faults import database, files, processes, wire

    return [*wire.faults(), *database.FAULTS, *files.FAULTS, *processes.FAULTS]


def rows(faults: Iterable[Fault]) -> Iterator[str]:
    """The table: one row a fault; one that is tried at several places has the numbers of each."""
    together: dict[tuple[str, str], list[Fault]] = {}
    for fault in faults:
        together.setdefault((fault.kind, fault.name), []).append(fault)
    yield "| fault | exit code | runs | requests | says |"
    yield "|---|---|---|---|---|"
    for (kind, name), found in together.items():
        said = "; ".join(dict.fromkeys(one.says for one in found if one.says)) or "nothing"
        numbers = [
            " / ".join(str(getattr(one, field)) for one in found).replace("None", "2 or 3")
            for field in ("code", "runs", "requests")
        ]
        yield f"| {kind}: {name} | {' | '.join(numbers)} | {said.replace('|', '&#124;')} |"


def rendered(text: str) -> str:
    """The page with its table made anew."""
    table = "\n".join(rows(all_faults()))
    return BLOCK.sub(lambda found: f"{found[1]}{table}\n{found[2]}", text)


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

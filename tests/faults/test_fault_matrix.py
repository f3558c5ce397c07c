"""Each fault of the table is tried, and what comes of it is what the table says."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cove_poller.cove import transport
from cove_poller.database.connecting import limits
from cove_poller.database.engine import migrate_database
from tests.conftest import Cli
from tests.faults.scene import Scene, check, new_cove
from tests.faults.table import PAGE, Fault, all_faults, rendered
from tests.world.fake_cove import serving
from tests.world.prepared import make_config


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared SQLite database without rows."""
    file = tmp_path_factory.mktemp("template") / "cove.db"
    migrate_database(make_config(f"sqlite:///{file}"), None, dry_run=False)
    return file


@pytest.fixture
def scene(cli: Cli, template: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A place for a fault, in which nobody waits as long as in earnest."""

    def make_postgres() -> str:
        make: Callable[[], str] = request.getfixturevalue("make_postgres")
        return make()

    monkeypatch.setattr(transport, "pause_seconds", lambda state: 0.0)
    for name, seconds in (("LOCK", 1), ("ANSWER", 2), ("CONNECT", 1), ("RESTART", 0.5), ("BUSY", 0.5)):
        monkeypatch.setattr(limits, name, seconds)
    with serving(new_cove()) as cove:
        yield Scene(cove, cli, template, make_postgres)


@pytest.mark.parametrize("fault", all_faults(), ids=str)
def test_a_fault_ends_as_the_table_says(
    fault: Fault, scene: Scene, record_property: Callable[[str, object], None]
) -> None:
    record_property("fault", str(fault))
    check(fault, scene)


def test_the_table_in_contributing_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert rendered(text) == text, "run: python -m tests.faults.table"


def test_no_two_faults_have_one_name() -> None:
    names = [str(fault) for fault in all_faults()]
    assert len(names) == len(set(names))

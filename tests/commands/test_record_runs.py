"""Writing the runs of a page: what somebody does to them between plan and write, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from cove_poller.commands.record_runs import Subject, Tally, run_policy, save_runs
from cove_poller.config.settings import BackupchecksSettings
from cove_poller.database.engine import Database
from cove_poller.database.runs import Runs
from cove_poller.records.columns import DataSource
from cove_poller.records.session import Origin, Session, TimeIs
from cove_poller.records.source_history import Period, SourceHistory
from cove_poller.records.statuses import Status

NIGHT = datetime(2026, 3, 2, 2, tzinfo=UTC)
MORNING = NIGHT + timedelta(hours=6)
FILES, SQL = DataSource.FILES_AND_FOLDERS, DataSource.SQL_SERVER


def add_session(database: Database, source: str, minute: int, status: Status = Status.SUCCESS) -> int:
    end = NIGHT + timedelta(minutes=minute)
    with database.store() as store:
        session = Session(source, end, end - timedelta(minutes=5), status, 5, None, Origin.POLL, time_is=TimeIs.END)
        (row,) = store.sessions.insert([(1, session)])
        return int(row["id"])


def write(database: Database, *changed: int) -> Tally:
    """Bring the device's runs in line with its sessions, of which some have changed."""
    always = SourceHistory(active=(Period(None, None),), recent=(NIGHT,))
    sources: dict[str, SourceHistory] = dict.fromkeys((FILES, SQL), always)
    with database.store() as store:
        subject = Subject(job_id(database), sources, changed_since=NIGHT, changed_ids=frozenset(changed))
        return save_runs(store, {1: subject}, run_policy(BackupchecksSettings()), MORNING)


def job_id(database: Database) -> int:
    with database.store() as store:
        if linked := store.jobs.of_devices([1]):
            return linked[0].id
        (customer,) = store.jobs.create_customers(["Bakery"]).values()
        job = {"customer_id": customer, "job_name": "SRV1", "backup_type": "Server", "cove_account_id": 1}
        return store.jobs.create([job])[1]


def runs(database: Database) -> list[tuple[str, bool]]:
    """The status of each run, and whether somebody has reviewed it."""
    table = database.tables.job_runs
    with database.transaction() as connection:
        found = connection.execute(sa.select(table.c.status, table.c.reviewed_at).order_by(table.c.run_at))
        return [(status, reviewed_at is not None) for status, reviewed_at in found]


@pytest.fixture
def reviewed_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody reviews every run after the plan was made and before anything of it is written."""
    remove = Runs.remove

    def review_first(self: Runs, run_ids: list[int]) -> set[int]:
        self._connection.execute(sa.update(self._tables.job_runs).values(reviewed_at=MORNING))
        return remove(self, run_ids)

    monkeypatch.setattr(Runs, "remove", review_first)


def test_a_session_that_joins_changes_the_run_and_is_counted_once(database: Database) -> None:
    first = add_session(database, FILES, 10)
    assert write(database, first) == Tally(new=1)
    assert write(database) == Tally(unchanged=1)
    assert write(database, add_session(database, SQL, 15, Status.FAILED)) == Tally(updated=1)
    assert runs(database) == [("Failed", False)]


@pytest.mark.usefixtures("reviewed_meanwhile")
def test_a_run_that_is_reviewed_between_plan_and_write_stays_and_is_counted_as_protected(database: Database) -> None:
    assert write(database, add_session(database, FILES, 10)) == Tally(new=1)
    assert write(database, add_session(database, SQL, 15, Status.FAILED)) == Tally(protected=1)
    assert runs(database) == [("Success", True)]


@pytest.mark.usefixtures("reviewed_meanwhile")
def test_what_could_not_join_it_gets_a_run_of_its_own_at_the_next_poll(database: Database) -> None:
    write(database, add_session(database, FILES, 10))
    write(database, add_session(database, SQL, 15, Status.FAILED))
    assert write(database).new == 1
    assert runs(database) == [("Success", True), ("Failed", False)]


def test_a_session_that_becomes_known_late_is_put_into_the_rounds_as_they_began(database: Database) -> None:
    write(database, add_session(database, FILES, 10), add_session(database, SQL, 20))
    write(database, add_session(database, FILES, 16, Status.FAILED))
    assert runs(database) == [("Success", False), ("Failed", False)]


def test_a_total_within_two_rounds_keeps_neither_from_staying(database: Database) -> None:
    for minute in (10, 18, 60):
        write(database, add_session(database, FILES, minute), add_session(database, DataSource.TOTAL, minute))
    assert runs(database) == [("Success", False)] * 3
    sessions = database.tables.sessions
    with database.transaction() as connection:
        found = connection.execute(sa.select(sessions.c.session_at, sessions.c.job_run_id)).all()
    assert {len({run for at, run in found if at == moment}) for moment, _ in found} == {1}

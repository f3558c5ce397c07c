"""A fleet, polled every half hour, or hourly: what is recorded is what happened."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cove_poller.text import counted
from tests.conftest import BEGIN, Site
from tests.world.fake_cove import FakeCove, Reading, TrueSession, make_fleet, serving
from tests.world.oracle import (
    RANK,
    Score,
    Seen,
    as_told,
    expected_runs,
    running_at_first,
    status_of,
    true_status,
    visible,
)

DEVICES = 8
HALF_HOUR, HOUR = timedelta(minutes=30), timedelta(hours=1)
WORDS = {"success": "Success", "warning": "Warning", "failed": "Failed"}
BASIC_ONLY = ("F12", "F16", "F17", "F18")
NO_HISTORIES = {"histories": "never"}  # what polls alone can see is judged here
NEVER_SILENT = {"server_hours": 1e6, "workstation_hours": 1e6, "m365_hours": 1e6}


def utc(value: Any) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def poll_for(site: Site, days: int, every: timedelta = HALF_HOUR) -> list[datetime]:
    """Poll until everything has ended and settled; return the times."""
    polls = [BEGIN + HOUR + number * every for number in range((timedelta(days=days) + 2 * HOUR) // every)]
    for now in polls:
        site.cove.now = now
        result = site.sync()
        assert result.exit_code == 0, result.to_json()
    return polls


@dataclass
class Verdict:
    """What was recorded, compared with what really happened."""

    sessions: Score
    totals: Score
    runs: Score
    too_healthy: list[str]

    def __str__(self) -> str:
        return f"sessions {self.sessions}; the total's {self.totals}; job runs {self.runs}"


def judge(site: Site, polls: list[datetime], *, only_basic: bool = False) -> Verdict:
    reading, devices = site.cove.reading, site.cove.fleet.devices
    by_start = only_basic and reading.last_session_is == "start"
    sessions, totals, runs = Score(), Score(), Score()
    too_healthy: list[str] = []
    recorded: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for row in site.rows("SELECT * FROM cove_sessions"):
        recorded.setdefault((row["account_id"], row["data_source"]), []).append(row)
    recorded_runs: dict[str, list[tuple[datetime, str]]] = {}
    for row in site.rows("SELECT external_id, run_at, status FROM job_runs"):
        recorded_runs.setdefault(row["external_id"], []).append((utc(row["run_at"]), row["status"]))
    for device in devices:
        seen = visible(device, polls, reading, only_basic=only_basic)
        for source in {*seen, *(source for account, source in recorded if account == device.account_id)}:
            rows = recorded.get((device.account_id, source), [])
            score_sessions(rows, seen.get(source, {}), totals if source == "D09" else sessions)
        told, first = (
            as_told(visible(device, those, reading, only_basic=only_basic), reading, only_basic=only_basic)
            for those in (polls, polls[:1])
        )
        found = recorded_runs.get(str(device.account_id), [])
        told_by_start = reading.last_session_is == "start" and not only_basic
        hidden = running_at_first(device, polls)
        expected = expected_runs(device.active, told, first, some_are_starts=told_by_start, hidden=hidden)
        wanted = {(run.run_at, WORDS[run.status]) for run in expected}
        runs.add(len(wanted), len(found), len(wanted & set(found)))
        for run in wanted ^ set(found):
            print("missing" if run in wanted else "not expected", device.account_id, run)
        too_healthy += [
            f"{device.account_id} {run_at} is {word}, but it was {truth}"
            for run_at, word in found
            if RANK[truth := true_status(device, run_at, by_start=by_start)] > RANK[word.lower()]
        ]
    return Verdict(sessions, totals, runs, too_healthy)


def score_sessions(rows: list[dict[str, Any]], seen: dict[TrueSession, Seen], score: Score) -> None:
    """Match every recorded session with a true one, by its end or, where Cove tells only that, its start."""
    left = dict(seen)
    for row in rows:
        match = next((how for how in left.values() if is_record_of(row, how)), None)
        if match:
            del left[match.session]
        else:
            print("not expected:", row)
    for session in left:
        print("missing:", session)
    score.add(len(seen), len(rows), len(seen) - len(left))


def is_record_of(row: dict[str, Any], seen: Seen) -> bool:
    session, true_status = seen.session, status_of(seen.session.status)
    started_at = utc(row["started_at"]) if row["started_at"] else None
    if utc(row["session_at"]) not in (session.start, session.end) or started_at not in (None, session.start):
        return False
    if not seen.status_is_known:
        return RANK[row["status"]] >= RANK[true_status]
    return bool(row["status"] == true_status and row["status_code"] == session.status)


def polled_site(
    tmp_path: Path, reading: Reading, *, days: int, devices: int, refused: tuple[str, ...] = ()
) -> Iterator[Site]:
    fleet = make_fleet(seed=2026, begin=BEGIN, days=days, devices=devices)
    with serving(FakeCove(fleet, BEGIN)) as cove:
        cove.reading = reading
        if refused:
            cove.faults.forbidden_columns = lambda code: code[3:] in refused
        site = Site(cove, f"sqlite:///{tmp_path / 'cove.db'}", tmp_path, {"alerts": NEVER_SILENT, "api": NO_HISTORIES})
        site.migrate()
        yield site


@pytest.mark.long
@pytest.mark.parametrize("meaning", ["end", "start"])
@pytest.mark.parametrize("refused", [(), BASIC_ONLY], ids=["all-columns", "basic-columns"])
def test_every_session_that_a_poll_could_see_is_recorded_once_and_each_round_makes_one_run(
    meaning: str, refused: tuple[str, ...], tmp_path: Path, measured: Callable[[str], None], soaks: bool
) -> None:
    days, devices = (3, 200) if soaks else (1, DEVICES)
    reading = Reading(last_session_is=meaning, last_success_is=meaning)
    for site in polled_site(tmp_path, reading, days=days, devices=devices, refused=refused):
        verdict = judge(site, poll_for(site, days, HOUR if refused else HALF_HOUR), only_basic=bool(refused))
        known = ", ".join(refused) or "nothing"
        measured(f"{devices} devices, {counted(days, 'day')}, F15 is the {meaning}, {known} refused: {verdict}")
        assert verdict.sessions.is_perfect
        assert verdict.totals.is_perfect
        assert verdict.runs.is_perfect
        assert verdict.too_healthy == []


@pytest.mark.long
@pytest.mark.parametrize(
    "reading",
    [
        Reading(completed_is="finished", spelling="unpadded"),
        Reading(completed_is="finished", last_session_is="start", last_success_is="start"),
        Reading(success_has_errors=False, total_is="worst"),
        Reading(success_has_errors=False, last_session_is="start", last_success_is="start"),
        Reading(last_session_is="start", last_success_is="end", running_code=9),
        Reading(never="0", raw_numbers=True, sources_as_list=True, color_bar_days=5),
        Reading(never="", spelling="both", running_code=12, color_bar_days=0),
    ],
    ids=lambda reading: ", ".join(f"{k}={v}" for k, v in vars(reading).items() if v != vars(Reading())[k]),
)
def test_the_record_is_right_under_each_reading_that_the_documentation_leaves_open(
    reading: Reading, tmp_path: Path, measured: Callable[[str], None], request: pytest.FixtureRequest, soaks: bool
) -> None:
    days, devices = (3, 100) if soaks else (1, DEVICES)
    for site in polled_site(tmp_path, reading, days=days, devices=devices):
        verdict = judge(site, poll_for(site, days))
        measured(f"{devices} devices, {counted(days, 'day')}, {request.node.callspec.id}: {verdict}")
        assert verdict.sessions.is_perfect
        assert verdict.runs.is_perfect
        assert verdict.too_healthy == []


@pytest.mark.parametrize("meaning", ["end", "start"])
def test_no_start_is_made_up_where_the_duration_is_that_of_the_running_session(meaning: str, tmp_path: Path) -> None:
    reading = Reading(running_duration="running", last_session_is=meaning, last_success_is=meaning)
    for site in polled_site(tmp_path, reading, days=1, devices=8):
        verdict = judge(site, poll_for(site, days=1))
        assert verdict.sessions.is_perfect  # which compares the starts too
        assert verdict.too_healthy == []

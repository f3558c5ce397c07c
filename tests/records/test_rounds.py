"""Rounds and the job runs they make: pure, so tried with plain values."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cove_poller.records.reading import Problem
from cove_poller.records.runs.device_history import DeviceHistory, JobRun, RecordedRun
from cove_poller.records.runs.rounds import moments, rounds
from cove_poller.records.runs.run_content import RunPolicy
from cove_poller.records.runs.run_plan import RunPlan, plan_runs
from cove_poller.records.session import Origin, RecordedSession, TimeIs
from cove_poller.records.source_history import Period, SourceHistory
from cove_poller.records.statuses import Status

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
GAP, SPAN = timedelta(minutes=15), timedelta(minutes=360)
WORDS = {Status.SUCCESS: "Success", Status.WARNING: "Warning", Status.FAILED: "Failed"}
POLICY = RunPolicy(GAP, SPAN, timedelta(minutes=60), "worst", words=WORDS)
LATER = MIDNIGHT + timedelta(days=9)
CODES = {Status.SUCCESS: 5, Status.WARNING: 8, Status.FAILED: 2}


def at(minute: float) -> datetime:
    return MIDNIGHT + timedelta(minutes=minute)


def make_session(
    source: str, start: float | None, end: float, status: Status = Status.SUCCESS, number: int = 0
) -> RecordedSession:
    """A session from minute to minute."""
    return RecordedSession(
        data_source=source,
        session_at=at(end),
        started_at=None if start is None else at(start),
        status=status,
        status_code=CODES[status],
        errors_count=None,
        origin=Origin.POLL,
        time_is=TimeIs.END,
        id=number or hash((source, end)) % 10**9,
        account_id=1,
        job_run_id=None,
    )


ALWAYS = (Period(None, None),)
LOST = Problem(Status.WARNING, "could not be read")


def kept(*active: str, unreadable: str = "") -> dict[str, SourceHistory]:
    """Sources that were always active, one of them never readable."""
    lost = (Period(None, None, LOST),)
    return {code: SourceHistory(active=ALWAYS, unreadable=lost if code == unreadable else ()) for code in active}


@dataclass
class Ledger:
    """A database in miniature: applies plans to sessions and runs."""

    unreadable: str = ""
    active: tuple[str, ...] = ("D01", "D02", "D10")
    running: bool = False
    sessions: dict[int, RecordedSession] = field(default_factory=dict)
    runs: dict[int, RecordedRun] = field(default_factory=dict)

    def add(self, *sessions: RecordedSession, now: datetime = LATER) -> RunPlan:
        for session in sessions:
            self.sessions[session.id] = session
        return self.plan(now, frozenset(session.id for session in sessions))

    def plan(self, now: datetime, changed_ids: frozenset[int] = frozenset()) -> RunPlan:
        history = DeviceHistory(
            sessions=list(self.sessions.values()),
            earlier=[],
            runs=list(self.runs.values()),
            sources=kept(*self.active, unreadable=self.unreadable),
            running=self.running,
            changed_ids=changed_ids,
        )
        plan = plan_runs(history, POLICY, now)
        for removed in plan.removed_ids:
            del self.runs[removed]
        for planned in (*plan.unchanged, *plan.changed, *plan.new):
            run_id = planned.run_id or max(self.runs, default=0) + 1
            content = planned.content
            assert not any(run.run_at == content.run_at for key, run in self.runs.items() if key != run_id)
            self.runs[run_id] = RecordedRun(content.run_at, content.status, content.remark, run_id, reviewed=False)
            for session_id in planned.session_ids:
                self.sessions[session_id] = replace(self.sessions[session_id], job_run_id=run_id)
        return plan

    def review(self, run_at: datetime) -> RecordedRun:
        run = next(run for run in self.runs.values() if run.run_at == run_at)
        self.runs[run.id] = replace(run, reviewed=True)
        return self.runs[run.id]

    def contents(self) -> set[JobRun]:
        return {run.content for run in self.runs.values()}

    def statuses(self) -> list[str]:
        return [run.status for run in sorted(self.runs.values(), key=lambda run: run.run_at)]


@st.composite
def nights(draw: st.DrawFn) -> list[RecordedSession]:
    """Sessions of some sources, each source's one after the other, here and there without a known start."""
    sessions: list[RecordedSession] = []
    for source in ("D01", "D02", "D10", "D09"):
        moment = draw(st.integers(0, 600))
        for _ in range(draw(st.integers(0, 6))):
            length = draw(st.integers(1, 500))
            start = None if draw(st.integers(0, 4)) == 0 else moment
            status = draw(st.sampled_from(list(WORDS)))
            sessions.append(make_session(source, start, moment + length, status, number=len(sessions) + 1))
            moment += length + draw(st.integers(1, 400))
    return sessions


@given(nights(), st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_order_and_any_batching_of_the_same_sessions_gives_the_same_job_runs(
    sessions: list[RecordedSession], chance: st.DataObject, batch: int
) -> None:
    at_once, bit_by_bit = Ledger(), Ledger()
    at_once.add(*sessions)
    shuffled = list(sessions)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    for first in range(0, len(shuffled), batch):
        bit_by_bit.add(*shuffled[first : first + batch])
    assert bit_by_bit.contents() == at_once.contents()
    assert bit_by_bit.plan(LATER).changed == ()


@given(nights())
def test_no_run_is_healthier_than_the_newest_session_of_an_active_source_or_the_total_in_it(
    sessions: list[RecordedSession],
) -> None:
    ledger = Ledger()
    ledger.add(*sessions)
    rank = {"Success": 1, "Warning": 2, "Failed": 3}
    for run in ledger.runs.values():
        for source in ledger.active:
            before = [one for one in sessions if one.data_source == source and one.session_at <= run.run_at]
            if before:
                newest = max(before, key=lambda one: one.session_at)
                assert rank[run.status] >= rank[WORDS[newest.status]]
        members = [one for one in ledger.sessions.values() if one.job_run_id == run.id]
        totals = [one for one in members if one.data_source == "D09" and one.session_at <= run.run_at]
        if totals:
            assert rank[run.status] >= rank[WORDS[max(totals, key=lambda one: one.session_at).status]] or any(
                one.data_source == "D09" and one.session_at > run.run_at for one in sessions
            )


@given(nights(), st.data())
def test_a_reviewed_run_never_changes_and_every_later_session_still_gets_a_run(
    sessions: list[RecordedSession], data: st.DataObject
) -> None:
    ledger = Ledger()
    split = data.draw(st.integers(0, len(sessions)))
    ledger.add(*sessions[:split])
    reviewed = {ledger.review(run.run_at) for run in list(ledger.runs.values()) if data.draw(st.booleans())}
    for session in sessions[split:]:
        ledger.add(session)
    assert reviewed <= set(ledger.runs.values())
    of_sources = [one for one in ledger.sessions.values() if one.data_source != "D09"]
    assert all(one.job_run_id in ledger.runs for one in of_sources)


def members_of(sessions: Sequence[RecordedSession]) -> list[list[str]]:
    return [[session.data_source for session in one] for one in rounds(sessions, GAP, SPAN)]


def test_what_follows_closely_is_one_round_and_what_follows_later_is_another() -> None:
    files, state = make_session("D01", 0, 60), make_session("D02", 75, 80)
    sql = make_session("D10", 95.1, 100)
    assert members_of([sql, state, files]) == [["D01", "D02"], ["D10"]]


def test_a_source_that_is_in_the_round_already_opens_the_next_one() -> None:
    hourly = [make_session("D01", hour * 60 - 50, hour * 60) for hour in range(1, 5)]
    assert members_of(hourly) == [["D01"]] * 4


def test_a_round_spans_no_more_than_its_limit_from_its_first_end() -> None:
    chain = [make_session(f"D{number:02d}", number * 100 - 99, number * 100) for number in range(1, 6)]
    assert members_of(chain) == [["D01", "D02", "D03", "D04"], ["D05"]]


def test_of_two_rounds_that_end_together_the_later_one_is_a_second_later() -> None:
    found = rounds([make_session("D01", 0, 20), make_session("D02", 5, 20), make_session("D01", 20, 20)], GAP, SPAN)
    assert moments(found) == [at(20), at(20) + timedelta(seconds=1)]


def test_a_source_that_takes_thirty_hours_neither_hides_the_others_nor_is_hidden() -> None:
    long, first, second = make_session("D08", 0, 1800), make_session("D01", 0, 60), make_session("D01", 1440, 1439.5)
    assert members_of([long, first]) == [["D01"], ["D08"]]
    assert members_of([long, first, second])[0] == ["D01"]


def test_where_no_start_is_known_the_end_stands_for_it() -> None:
    assert members_of([make_session("D01", 0, 60), make_session("D02", None, 75)]) == [["D01", "D02"]]
    assert members_of([make_session("D01", 0, 60), make_session("D02", None, 76)]) == [["D01"], ["D02"]]


def test_a_failed_source_keeps_failing_later_runs_until_it_succeeds() -> None:
    ledger = Ledger()
    ledger.add(
        make_session("D10", 0, 10, Status.FAILED), make_session("D01", 0, 20), make_session("D01", 60, 70),
        make_session("D10", 120, 130), make_session("D01", 120, 125),
    )  # fmt: skip
    assert ledger.statuses() == ["Failed", "Failed", "Success"]


def test_the_total_worsens_the_run_that_it_lies_in_and_no_other() -> None:
    ledger = Ledger()
    ledger.add(make_session("D01", 0, 20), make_session("D09", 0, 20, Status.FAILED), make_session("D01", 60, 70))
    assert ledger.statuses() == ["Failed", "Success"]
    assert next(iter(ledger.runs.values())).remark == (
        "Total: Failed (no success known). Files and Folders: Completed. System State, SQL Server: no session yet."
    )


def test_a_source_that_cannot_be_read_is_named_and_never_taken_for_healthy() -> None:
    ledger = Ledger(unreadable="D10")
    ledger.add(make_session("D01", 0, 20), make_session("D02", 0, 20))
    (run,) = ledger.runs.values()
    assert run.status == "Warning"
    assert run.remark == "SQL Server: could not be read. Files and Folders, System State: Completed."


def test_the_total_makes_runs_only_where_nothing_else_is_known() -> None:
    ledger = Ledger(unreadable="D10")
    ledger.add(make_session("D09", 300, 310, Status.FAILED))
    assert ledger.statuses() == ["Failed"]
    ledger = Ledger(unreadable="D10")
    ledger.add(make_session("D01", 0, 20), make_session("D09", 300, 310, Status.FAILED))
    assert ledger.statuses() == ["Warning"]


def test_with_overall_total_the_total_alone_decides_where_it_is_known() -> None:
    sessions = [make_session("D01", 0, 20, Status.FAILED), make_session("D09", 0, 20), make_session("D01", 60, 70)]
    history = DeviceHistory(sessions, [], [], kept("D01"), running=False)
    plan = plan_runs(history, replace(POLICY, overall="total"), LATER)
    assert [run.content.status for run in plan.new] == ["Success", "Success"]
    assert plan.new[0].content.remark.startswith("Files and Folders: Failed")


def test_a_round_waits_while_a_source_runs_until_its_last_session_is_old_enough() -> None:
    ledger = Ledger(running=True)
    ledger.add(make_session("D01", 0, 20), now=at(30))
    assert ledger.runs == {}
    ledger.plan(at(79))
    assert ledger.runs == {}
    ledger.plan(at(80))
    assert ledger.statuses() == ["Success"]


def test_only_the_newest_round_waits() -> None:
    ledger = Ledger(running=True)
    ledger.add(make_session("D01", 0, 20), make_session("D01", 60, 70), now=at(75))
    assert [run.run_at for run in ledger.runs.values()] == [at(20)]


def test_a_session_that_joins_later_moves_its_run_instead_of_making_another() -> None:
    ledger = Ledger()
    ledger.add(make_session("D01", 0, 20))
    plan = ledger.add(make_session("D02", 10, 30, Status.FAILED))
    assert (len(plan.changed), len(plan.new)) == (1, 0)
    (run,) = ledger.runs.values()
    assert (run.id, run.run_at, run.status) == (1, at(30), "Failed")


def test_a_session_between_two_runs_makes_them_one() -> None:
    ledger = Ledger()
    ledger.add(make_session("D01", 0, 20), make_session("D10", 50, 60))
    assert len(ledger.runs) == 2
    ledger.add(make_session("D02", 25, 40, Status.WARNING))
    (run,) = ledger.runs.values()
    assert (run.run_at, run.status) == (at(60), "Warning")


def test_a_newcomer_to_a_reviewed_run_gets_a_run_of_its_own_and_the_reviewed_one_counts_as_protected() -> None:
    ledger = Ledger()
    ledger.add(make_session("D01", 0, 20))
    reviewed = ledger.review(at(20))
    plan = ledger.add(make_session("D02", 10, 30, Status.FAILED))
    assert plan.protected_count == 1
    assert ledger.runs[reviewed.id] == reviewed
    assert ledger.statuses() == ["Success", "Failed"]
    assert ledger.add(make_session("D01", 600, 610)).protected_count == 0


def test_a_newcomer_at_the_very_second_of_a_reviewed_run_stands_beside_it() -> None:
    ledger = Ledger()
    ledger.add(make_session("D01", 0, 20))
    ledger.review(at(20))
    ledger.add(make_session("D02", 10, 20, Status.FAILED))
    assert ledger.contents() >= {
        JobRun(
            at(20) + timedelta(seconds=1),
            "Failed",
            "System State: Failed (no success known). Files and Folders: Completed. SQL Server: no session yet.",
        )
    }


def test_a_run_of_unknown_making_is_adopted_at_its_moment_and_otherwise_left_alone() -> None:
    ledger = Ledger()
    ledger.runs[7] = RecordedRun(at(20), "Success", "", 7, reviewed=False)
    ledger.runs[8] = RecordedRun(at(500), "Success", "", 8, reviewed=False)
    ledger.add(make_session("D01", 0, 20, Status.FAILED))
    assert {run.id: run.status for run in ledger.runs.values()} == {7: "Failed", 8: "Success"}


@pytest.mark.parametrize(("limit", "expected"), [(None, 57), (20, 20)])
def test_a_remark_is_cut_to_its_column(limit: int | None, expected: int) -> None:
    history = DeviceHistory([make_session("D01", 0, 20, Status.FAILED)], [], [], kept("D01"), running=False)
    (run,) = plan_runs(history, replace(POLICY, remark_limit=limit), LATER).new
    assert len(run.content.remark) == min(expected, len("Files and Folders: Failed (no success known)."))


def test_a_plan_that_begins_in_the_second_in_which_the_run_before_ended_leaves_that_one_alone() -> None:
    ledger = Ledger()
    ledger.add(make_session("D02", 40, 50), make_session("D01", 40, 60), make_session("D02", 55, 60, Status.FAILED))
    before = ledger.contents()
    assert sorted(run.run_at for run in before) == [at(60), at(60) + timedelta(seconds=1)]
    later = DeviceHistory(
        sessions=[one for one in ledger.sessions.values() if one.session_at >= at(60)],
        earlier=[one for one in ledger.sessions.values() if one.session_at < at(60)],
        runs=list(ledger.runs.values()),
        sources=kept(*ledger.active),
        running=False,
    )
    plan = plan_runs(later, POLICY, LATER)
    assert (plan.new, plan.changed, plan.removed_ids) == ((), (), ())

"""The rules on fleets of which the whole truth is known: no run is healthier than what was true at its time.

In memory, so that many worlds can be tried: every reading of the API, jobs of every rhythm, outages, wrong clocks.
At its full size under `make soak`.
"""

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from cove_poller.records.session import RecordedSession, TimeIs
from cove_poller.records.statuses import SEVERITY
from tests.world.fake_cove.fleet import FakeDevice, TrueSession, ended
from tests.world.fake_cove.wire import Reading, columns
from tests.world.ledger import DAY_ONE, Ledger, row

DEVICES = 20 if "SOAK" in os.environ else 3
HALF_HOUR = timedelta(minutes=30)
HOUR = timedelta(hours=1)
RANK = {"Success": 1, "Warning": 2, "Failed": 3}
GRAVITY = {5: 1, 2: 3, 3: 3, 10: 3}
ENDS = (5, 5, 5, 5, 8, 2, 2, 6, 3, 10, 11, 0, 13)
BASIC = ("F12", "F16", "F17", "F18")


@dataclass(frozen=True)
class World:
    """What is tried: how often each source runs and how long, how Cove tells it, and when nobody looks."""

    reading: Reading = field(default_factory=Reading)
    period: timedelta = timedelta(hours=6)
    longest: timedelta = HOUR
    sources: tuple[str, ...] = ("D01", "D02", "D10")
    refused: tuple[str, ...] = ()
    is_polled: Callable[[datetime], bool] = lambda now: True
    active: Callable[[datetime], str] | None = None
    clock_ahead: timedelta = timedelta()
    whole_minutes: bool = False
    late: tuple[str, ...] = ()
    """Fields that are told as they were five minutes before, so that a row is not of one instant."""

    days: int = 2


def hours(now: datetime) -> float:
    return (now - DAY_ONE) / HOUR


WORLDS = {
    "F15 and F09 are ends": World(),
    "F15 and F09 are starts": World(Reading(last_session_is="start", last_success_is="start")),
    "F15 is a start, F09 an end": World(Reading(last_session_is="start", running_code=9)),
    "only 5 and 8 are completed": World(Reading(completed_is="finished")),
    "only 5 and 8 are completed, starts": World(
        Reading(completed_is="finished", last_session_is="start", last_success_is="start")
    ),
    "long and touching, only 5 and 8 are completed, starts": World(
        Reading(completed_is="finished", last_session_is="start", last_success_is="start"),
        longest=timedelta(hours=5),
        is_polled=lambda now: hours(now) <= 4,
        days=1,
    ),
    "8 is no success, F12 is the running session's": World(
        Reading(success_has_errors=False, running_duration="running", last_session_is="start")
    ),
    "basic columns": World(refused=BASIC),
    "basic columns, starts": World(Reading(last_session_is="start", last_success_is="start"), refused=BASIC),
    "hourly": World(period=HOUR, longest=timedelta(minutes=50)),
    "quarter-hourly": World(period=timedelta(minutes=15), longest=timedelta(minutes=9), days=1),
    "thirty hours": World(period=timedelta(hours=7), longest=timedelta(hours=30), days=4),
    "the poller is off for nine hours": World(is_polled=lambda now: not 20 < hours(now) < 29),
    "the poller is off for three days": World(is_polled=lambda now: not 20 < hours(now) < 92, days=5),
    "polled every other hour": World(is_polled=lambda now: hours(now) % 2 < 0.5),
    "a source is switched off, another one on": World(
        active=lambda now: "D01D02" if hours(now) < 12 else "D01D10" if hours(now) < 30 else "D01D02D10"
    ),
    "the device's clock is two hours ahead for a while": World(clock_ahead=timedelta(hours=2)),
    "neither F06 nor F16": World(refused=("F06", "F16")),
    "times in whole minutes": World(whole_minutes=True),
    "a row of two instants": World(late=("F00", "F15")),
    "a row of two other instants": World(Reading(last_session_is="start"), late=("F09", "F12", "F16", "F17", "F18")),
    "a row of two instants, F15 an end": World(late=("F09", "F12", "F16", "F17", "F18")),
    "a row of three instants": World(late=("F09", "F16")),
    "Microsoft 365": World(sources=("D19", "D20", "D05")),
}


def make_device(chance: random.Random, world: World, number: int) -> FakeDevice:
    kind = "m365" if world.sources[0] == "D19" else "server"
    device = FakeDevice(number, 1001, f"srv{number}", None if kind == "m365" else "SRV", kind, world.sources)
    for source in world.sources:
        moment = DAY_ONE - timedelta(days=1) + chance.random() * world.period
        sessions = device.sessions.setdefault(source, [])
        while moment < DAY_ONE + timedelta(days=world.days):
            start = moment.replace(microsecond=0)
            end = start + timedelta(seconds=chance.randrange(1, int(world.longest.total_seconds())))
            sessions.append(TrueSession(source, start, end, chance.choice(ENDS)))
            moment = max(end, start + world.period * chance.uniform(0.5, 1.2))
    return device


def polls_of(world: World) -> list[datetime]:
    times = [DAY_ONE + number * HALF_HOUR for number in range(world.days * 48)]
    return [now for now in times if world.is_polled(now)]


def polled(device: FakeDevice, world: World) -> Ledger:
    """The record after all polls."""
    ledger = Ledger(device.kind, "".join(device.active))
    for now in polls_of(world):
        cells = columns(device, "Example Bakery", now, world.reading)
        before = columns(device, "Example Bakery", now - timedelta(minutes=5), world.reading) if world.late else {}
        cells = {code: value for code, value in cells.items() if code[3:] not in world.late}
        cells |= {code: value for code, value in before.items() if code[3:] in world.late}
        if world.active:
            ledger.active = cells["I78"] = world.active(now)
        sources: dict[str, dict[str, str]] = {}
        for code, value in cells.items():
            if code[0] == "D" and code[3:] not in world.refused:
                sources.setdefault(code[:3], {})[code[3:]] = ahead(code[3:], value, now, world)
        refused = [f"{source}{code}" for source in (*world.sources, "D09") for code in world.refused]
        ledger.poll(now, refused, **sources)
    return ledger


def ahead(code: str, value: str, now: datetime, world: World) -> str:
    """A time as a device tells it whose clock is wrong from the tenth to the twentieth hour, or in whole minutes."""
    if world.whole_minutes and code in ("F09", "F15", "F18"):
        return str(int(value) // 60 * 60)
    if world.clock_ahead and code in ("F09", "F15", "F18") and 10 < hours(now) < 20:
        return str(int(value) + int(world.clock_ahead.total_seconds()))
    return value


def true_at(device: FakeDevice, source: str, moment: datetime) -> TrueSession | None:
    done = ended(device.sessions[source], moment)
    return done[-1] if done else None


def active_at(world: World, moment: datetime) -> Sequence[str]:
    """The sources that a poll has listed before, and the first one afterwards."""
    if world.active is None:
        return world.sources
    polls = polls_of(world)
    beside = [max((now for now in polls if now <= moment), default=polls[0]), min(now for now in polls if now > moment)]
    listed = [{world.active(now)[place : place + 3] for place in range(0, len(world.active(now)), 3)} for now in beside]
    return sorted(set.intersection(*listed))


def is_of(record: RecordedSession, true: TrueSession, world: World) -> bool:
    """Whether a record can be of a session: by its end, or by whichever time Cove told, be it rounded or ahead.

    In a row that is not of one instant the status may be that of a neighbour, but only a graver one.
    """
    times = (true.end,) if record.time_is is TimeIs.END else (true.start, true.end)
    if world.whole_minutes:
        return record.session_at in {at.replace(second=0) for at in times} and record.status_code == true.status
    ahead = world.clock_ahead
    starts = (None, true.start, true.start + ahead)
    is_second_of_its_second = record.started_at == true.start and record.session_at == true.start + timedelta(seconds=1)
    is_then = record.session_at in times or record.session_at - ahead in times or is_second_of_its_second
    grave = GRAVITY.get(true.status, 2)
    has_status = record.status_code in (None, true.status) or bool(world.late and SEVERITY[record.status] > grave)
    return is_then and record.started_at in starts and has_status


def told_times(device: FakeDevice, ledger: Ledger, world: World) -> dict[TrueSession, datetime]:
    """When each session was, as far as it is on record. Every record is of exactly one, or the test fails."""
    found: dict[TrueSession, datetime] = {}
    for one in sorted(ledger.sessions.values(), key=lambda one: (one.time_is is None, one.session_at)):
        if one.data_source != "D09":
            match = [true for true in device.sessions[one.data_source] if is_of(one, true, world)]
            assert match, f"{one.data_source} {one.session_at} {one.status_code} never happened"
            fresh = [true for true in match if true not in found or world.clock_ahead]
            assert fresh, f"{one.data_source} {one.session_at} {one.status_code} is there twice"
            found[fresh[0]] = one.session_at
    return found


def is_hidden(true: TrueSession, polls: Sequence[datetime]) -> bool:
    """Whether a session came and went between two polls that followed each other as they should."""
    before = [now for now in polls if now <= true.end][-1:]
    after = [now for now in polls if now > true.end][:1]
    return bool(before and after) and after[0] - before[0] <= timedelta(minutes=75)


def too_healthy(device: FakeDevice, ledger: Ledger, world: World) -> list[str]:
    """The runs that look better than a source that was active at their time: a success always, others where sure."""
    told, polls = told_times(device, ledger, world), polls_of(world)
    found = []
    for run in ledger.runs.values():
        for source in active_at(world, run.run_at):
            times = {true: told.get(true, true.end) for true in device.sessions[source]}
            before = [true for true, at in times.items() if at <= run.run_at]
            newest = max(before, key=lambda true: (times[true], true.end), default=None)
            if newest is None or (newest not in told and is_hidden(newest, polls)):
                continue
            is_worse = GRAVITY.get(newest.status, 2) > RANK[run.status]
            if is_worse and (run.status == "Success" or not run.is_uncertain) and not world.clock_ahead:
                found.append(f"{run.run_at} is {run.status}: {run.remark}, but {newest}")
    return found


def unseen_failures(device: FakeDevice, ledger: Ledger) -> list[str]:
    """The failures on record that ended after the first poll and stand in no run."""
    first = ledger.looks[0]
    return [
        f"{one.data_source} {one.session_at} {one.status}"
        for one in ledger.sessions.values()
        if one.status != "success" and one.session_at > first and one.data_source != "D09"
        and one.job_run_id is None and ledger.looks[-1] - one.session_at > 2 * HOUR
    ]  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("name", WORLDS)
def test_no_run_is_healthier_than_the_truth_and_every_record_happened(
    name: str, measured: Callable[[str], None]
) -> None:
    world, chance = WORLDS[name], random.Random(name)
    runs = sessions = 0
    for number in range(1, DEVICES + 1):
        device = make_device(chance, world, number)
        ledger = polled(device, world)
        assert too_healthy(device, ledger, world) == []
        assert unseen_failures(device, ledger) == []
        runs, sessions = runs + len(ledger.runs), sessions + len(ledger.sessions)
    assert runs > DEVICES
    measured(f"in memory, {name}: {DEVICES} devices, {sessions} sessions, {runs} runs, none healthier than the truth")


@pytest.mark.parametrize("name", ["F15 and F09 are ends", "F15 and F09 are starts", "hourly"])
def test_every_session_that_polls_can_see_is_on_record_exactly(name: str) -> None:
    world, chance = WORLDS[name], random.Random(name)
    device = make_device(chance, world, 1)
    ledger = polled(device, world)
    polls = polls_of(world)
    for source in world.sources:
        want = {(last.end, last.status) for now in polls if (last := true_at(device, source, now))}
        assert want <= set(ledger.of(source))


@pytest.mark.parametrize("meaning", ["start", "end"])
def test_polls_and_histories_in_any_order_leave_the_same_rows(meaning: str) -> None:
    world = World(Reading(last_session_is=meaning, last_success_is=meaning))
    chance = random.Random(meaning)
    device = make_device(chance, world, 1)
    polls = polls_of(world)
    rows = [
        replace(row(one.source, one.end, one.status), started_at=one.start)
        for one in device.all_sessions()
        if DAY_ONE <= one.end <= polls[-1]
    ]
    context = [true for source in world.sources if (true := true_at(device, source, DAY_ONE))]
    before = [replace(row(one.source, one.end, one.status), started_at=one.start) for one in context]
    outcomes = []
    for places in ((), (0,), (10,), (len(polls) - 1,), (3, 40, 80)):
        ledger = Ledger(device.kind, "".join(device.active))
        for number, now in enumerate(polls):
            cells = columns(device, "Example Bakery", now, world.reading)
            sources: dict[str, dict[str, str]] = {}
            for code, value in cells.items():
                if code[0] == "D":
                    sources.setdefault(code[:3], {})[code[3:]] = value
            ledger.poll(now, **sources)
            if number in places:
                done = [one for one in rows if one.session_at <= now]
                ledger.history(now, DAY_ONE, done, context=before)
        ledger.history(polls[-1], DAY_ONE, rows, context=before)
        outcomes.append([entry for entry in ledger.rows() if entry[0] != "D09"])
    for outcome in outcomes[1:]:
        assert outcome == outcomes[0]

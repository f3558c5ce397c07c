"""Which sources were silent while nobody looked: what a history tells is what polls would have seen."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import accumulate

import pytest
from hypothesis import Phase, assume, given
from hypothesis import strategies as st

from cove_poller.records.device import Device, StatisticsRow, device_from_row
from cove_poller.records.device_reading import read_device
from cove_poller.records.health.device_silence import with_silences
from cove_poller.records.health.past_silence import Watched, newly_silent, with_past_silences
from cove_poller.records.past import Past
from cove_poller.records.reading import Circumstances
from cove_poller.records.session import Session
from cove_poller.records.source_history import (
    MOST_RECENT,
    Look,
    Period,
    Periods,
    SourceHistory,
    after_look,
    with_read,
    with_sessions,
)
from cove_poller.records.window import Window
from tests.world.fake_cove.fleet import FakeDevice, TrueSession
from tests.world.fake_cove.fleet import ended as ended_by
from tests.world.fake_cove.wire import Reading, columns
from tests.world.ledger import at, row
from tests.world.made_up import dear

HOURS, EVERY = 250, 2
GAP = Window(at(50), at(230))
NOW = at(HOURS)
ALERT = timedelta(hours=30)
EVERY_HOUR = timedelta(hours=1)


def session(code: str, begin: float, hours: float = 0.2) -> TrueSession:
    return TrueSession(code, at(begin), at(begin + hours), 5, 0)


def listed(device: FakeDevice, now: datetime) -> Device:
    pairs = [{code: value} for code, value in columns(device, "Example Bakery", now, Reading()).items()]
    return device_from_row(StatisticsRow(1, 1001, pairs))


class Record:
    """What is kept of a device that is polled every second hour."""

    def __init__(self, device: FakeDevice) -> None:
        self.device = device
        self.histories: dict[str, SourceHistory] = {}
        self.before: datetime | None = None

    def poll(self, begin: int, end: int) -> "Record":
        for hour in range(begin, end, EVERY):
            self.look(at(hour))
        return self

    def look(self, now: datetime, past: Past | None = None) -> None:
        told, before, histories = listed(self.device, now), self.histories, {}
        reading = read_device(told, (), Circumstances(now))
        for code, history in after_look(before, reading, Look(now, self.before)).items():
            ends = [one.end for one in ended_by(self.device.sessions.get(code, []), now)]
            histories[code] = with_sessions(history, ends[-MOST_RECENT:])
        if past:
            histories = {code: with_read(one, GAP, None) for code, one in histories.items()}
            histories = with_past_silences(histories, before, past, self.watched(told, now))
        self.histories, self.before = with_silences(histories, told, reading, ALERT, at(0), now), now

    def with_gap_closed(self) -> dict[str, SourceHistory]:
        """What is kept when the history of the gap has been read after the first poll behind it."""
        self.look(GAP.until)
        rows = [one for code in self.device.active for one in self.rows(code) if one.session_at in GAP]
        for code in {one.data_source for one in rows}:
            self.histories[code] = replace(self.histories[code], gaps=(Period(GAP.since, GAP.until),))
        self.look(GAP.until, Past(GAP, NOW, tuple(rows), frozenset(self.device.active)))
        return self.poll(int((GAP.until - at(0)) / EVERY_HOUR) + EVERY, HOURS).histories

    def watched(self, told: Device, now: datetime) -> Watched:
        codes = self.device.active
        ends = {code: [one.session_at for one in self.rows(code) if one.session_at <= GAP.since] for code in codes}
        seen = {code: [one for one in self.rows(code) if GAP.since < one.session_at <= now] for code in codes}
        nine = {code: found[-MOST_RECENT:] for code, found in ends.items()}
        return Watched(told, ALERT, at(0), now, EVERY * EVERY_HOUR, seen, nine)

    def rows(self, code: str) -> list[Session]:
        return [
            row(code, one.end, minutes=(one.end - one.start).total_seconds() / 60) for one in self.device.sessions[code]
        ]


def silences(device: FakeDevice) -> tuple[dict[str, Periods], dict[str, Periods]]:
    """A device's silences by a poller that was off in the gap, and by one that was not."""
    steady = Record(device).poll(0, 51)
    interrupted = Record(device)
    interrupted.histories, interrupted.before = steady.histories, steady.before
    both = (interrupted.with_gap_closed(), steady.poll(52, HOURS).histories)
    found, wanted = ({code: one[code].silent for code in device.active} for one in both)
    return found, wanted


def device(kind: str, **sessions: Sequence[TrueSession]) -> FakeDevice:
    computer = None if kind == "m365" else "SRV1"
    return FakeDevice(
        1, 1001, "srv1", computer, kind, tuple(sessions), {code: [*one] for code, one in sessions.items()}
    )


def every(code: str, hours: float, *spans: tuple[float, float]) -> list[TrueSession]:
    return [
        session(code, begin + number * hours) for begin, end in spans for number in range(round((end - begin) / hours))
    ]


ALWAYS = every("D02", 7, (1, 285))


@pytest.mark.parametrize(
    ("files", "periods"),
    [
        (every("D01", 4, (0, 60), (120, 250)), [(56.2 + 30, 120.2)]),
        (every("D01", 4, (0, 20), (120, 128), (200, 250)), [(16.2 + 30, 120.2), (124.2 + 30, 200.2)]),
        (every("D01", 24, (0, 72), (90, 250)), []),  # it may be silent for 60 hours
        (every("D01", 4, (0, 20), (231, 250)), [(16.2 + 30, 231.2)]),
        ([*every("D01", 4, (0, 60)), session("D01", 64, 100), *every("D01", 4, (170, 250))], []),  # it was at work
        (every("D01", 4, (0, 20), (60, 64)), [(16.2 + 30, 60.2), (60.2 + 30, None)]),
    ],
    ids=range(6),
)  # fmt: skip
def test_a_source_was_silent_as_long_as_its_ends_say(
    files: list[TrueSession], periods: list[tuple[float, float | None]]
) -> None:
    found, wanted = silences(device("server", D01=files, D02=every("D02", 7, (1, 245))))
    assert found["D01"] == tuple(Period(at(since), None if until is None else at(until)) for since, until in periods)
    assert found == wanted


pauses = st.lists(st.integers(1, 60), min_size=1, max_size=30)


@dear(12, phases=[Phase.generate])  # each is two weeks of polls, so nothing is shrunk
@given(st.sampled_from(["server", "workstation", "m365"]), pauses, pauses)
def test_whatever_happened_in_an_outage_its_silences_are_those_that_polls_would_have_seen(
    kind: str, first: list[int], second: list[int]
) -> None:
    codes = ("D19", "D20") if kind == "m365" else ("D01", "D02")
    begins = {code: accumulate([1, *pauses]) for code, pauses in zip(codes, (first, second), strict=True)}
    sessions = {code: [session(code, one + 0.5) for one in hours if one < HOURS] for code, hours in begins.items()}
    assume(any(one.end in GAP for found in sessions.values() for one in found))  # else there is no gap to be closed
    found, wanted = silences(device(kind, **sessions))
    assert found == wanted


def test_what_is_told_otherwise_than_before_is_named_by_its_beginning() -> None:
    was, now = (SourceHistory(silent=(Period(at(1), at(until)), Period(at(9), None))) for until in (2, 3))
    assert newly_silent({"D01": was, "D02": was}, {"D01": now, "D02": was}) == [at(1), at(1)]

"""What tells that sessions of a source may be missing, with the smallest input of each rule."""

from datetime import date, datetime, timedelta

import pytest

from cove_poller.records.device_changes import DeviceChanges
from cove_poller.records.device_reading import DeviceReading
from cove_poller.records.gap_evidence import Evidence, grave_days, with_evidence
from cove_poller.records.matching import SessionChanges
from cove_poller.records.open_gaps import DAY, LONGEST, OpenGap, Verdict, missing, open_gaps
from cove_poller.records.reading import SourceReading
from cove_poller.records.session import Origin, RecordedSession, Session, TimeIs
from cove_poller.records.source_history import Look, Period, SourceHistory, from_json, to_json, with_read, with_unseen
from cove_poller.records.statuses import Status, Statuses
from cove_poller.records.window import Window
from tests.world.ledger import at

GAP = timedelta(minutes=75)
LONG_AGO = at(-100)
ON = (Period(None, None),)


def session(end: datetime, status: Status = Status.SUCCESS) -> Session:
    return Session("D01", end, None, status, None, None, Origin.POLL, time_is=TimeIs.END)


def unseen(
    before: SourceHistory,
    *,
    news: bool = True,
    recent: tuple[float, ...] = (),
    hours: float = 0.5,
    days: dict[date, int] | None = None,
    recorded: tuple[RecordedSession, ...] = (),
    is_always: bool = False,
    first_seen: datetime = LONG_AGO,
) -> datetime | None:
    """Return since when sessions of D01 may be missing after a look at ten that came `hours` after the one before."""
    new = (session(at(10)),) if news else ()
    after = SourceHistory(active=ON, recent=tuple(map(at, recent)))
    changes = DeviceChanges(sessions={"D01": SessionChanges(new=new)}, sources={"D01": after})
    reading = DeviceReading({"D01": SourceReading(sessions=new)}, ("D01",))
    look = Look(at(10), at(10 - hours))
    found = Evidence(look, reading, changes, {"D01": recorded}, first_seen, GAP, {"D01": days or {}}, is_always)
    periods = with_evidence({"D01": before}, found)["D01"].unseen
    return periods[0].since if periods else None


KNOWN = SourceHistory(active=ON, recent=(at(7),))


def test_nothing_is_missing_where_nothing_tells_so() -> None:
    assert unseen(KNOWN) is None
    assert unseen(KNOWN, recent=(7, 8, 9, 10)) is None
    assert unseen(KNOWN, news=False, is_always=True) is None


@pytest.mark.parametrize("hours", [0.25, 0.5, 0.6])
def test_a_source_that_runs_about_as_often_as_it_is_polled_may_have_had_more_since_it_is_known(hours: float) -> None:
    recent = tuple(10 - number * hours for number in (3, 2, 1, 0))
    assert unseen(KNOWN, recent=recent) == at(recent[0])
    assert unseen(KNOWN, recent=recent, news=False) is None
    assert unseen(KNOWN, recent=recent, first_seen=at(9.9)) == at(9.9)


def test_what_was_read_of_its_history_is_not_asked_for_again() -> None:
    read = SourceHistory(active=ON, recent=(at(7),), read_until=at(9.5))
    assert unseen(read, recent=(9.25, 9.5, 9.75, 10)) == at(9.5)
    assert unseen(read, is_always=True) == at(9.5)


def test_polls_that_lie_further_apart_than_the_gap_leave_a_gap_by_themselves() -> None:
    assert unseen(KNOWN, recent=(-62, -38, -14, 10), hours=72) is None


def test_always_takes_every_source_of_which_anything_is_new_since_its_newest_session() -> None:
    assert unseen(KNOWN, is_always=True) == at(7)


def test_a_source_that_was_switched_on_is_read_since_it_was_last_seen() -> None:
    assert unseen(SourceHistory()) == at(9.5)
    assert unseen(SourceHistory(active=(Period(None, at(2)),))) == at(2)
    assert unseen(SourceHistory(), news=False) is None


def test_a_mark_that_is_graver_than_the_record_of_its_day_and_those_beside_it_tells_of_a_session() -> None:
    yesterday = {at(-24).date(): 3}
    assert unseen(KNOWN, news=False, days=yesterday) == at(-48)
    assert unseen(KNOWN, news=False, days=yesterday, first_seen=at(-20)) == at(-20)
    assert unseen(KNOWN, news=False, days=yesterday, first_seen=at(1)) is None
    assert unseen(SourceHistory(active=ON, read_until=at(0)), news=False, days=yesterday) is None
    failed = RecordedSession(**vars(session(at(-30), Status.FAILED)), id=1, account_id=1, job_run_id=None)
    assert unseen(KNOWN, news=False, days=yesterday, recorded=(failed,)) is None


@pytest.mark.parametrize(
    ("bar", "before", "seen_at", "days"),
    [
        ("525", "55", -14, {at(-24).date(): 3}),
        ("525", "52", -14, {at(-24).date(): 3}),  # that day was not over yet
        ("5255", "525", -14, {}),  # known since the day before yesterday
        ("5575", "55", -14, {}),
        ("5505", "55", -14, {}),
        ("5515", "55", -14, {}),
        ("25", "5", -14, {at(-24).date(): 3}),
        ("225", "25", 9, {at(-48).date(): 3}),
        ("2x5", "55", -14, {}),
        ("552", "555", 9, {}),  # today is not over
    ],
)
def test_the_days_are_those_on_which_a_bar_shows_new_trouble(
    bar: str, before: str, seen_at: float, days: dict[date, int]
) -> None:
    assert grave_days(bar, before, at(10), Look(at(10), at(seen_at)), Statuses()) == days


def test_times_of_which_polls_may_have_missed_something_are_joined_kept_and_gone_once_they_are_read() -> None:
    history = with_unseen(with_unseen(SourceHistory(), at(3), at(4)), at(5), at(6))
    assert history.unseen == (Period(at(3), at(6)),)
    assert from_json(to_json({"D01": history})) == {"D01": history}
    read = with_read(history, Window(at(3), at(7)), None)
    assert (read.unseen, read.read_until) == ((), at(7))
    assert from_json(to_json({"D01": read})) == {"D01": read}


def test_a_gap_keeps_why_it_could_not_be_read_until_it_is_tried_again() -> None:
    sources = {"D01": SourceHistory(gaps=(Period(at(1), at(5)),)), "D02": SourceHistory()}
    (gap,) = open_gaps(sources, ("D01", "D02"), {}, Verdict("the node is down", at(11))).values()
    assert gap == OpenGap(at(1), "the node is down", at(11))
    assert open_gaps(sources, ("D01",), {"D01": gap.to_json()}, None) == {"D01": gap}
    never = OpenGap(at(1), "never").to_json()
    assert open_gaps(sources, ("D01",), {"D01": never}, None) == {"D01": OpenGap(at(1))}
    assert missing({"D01": gap}, {}, None, at(10)) is None
    assert missing({"D01": gap}, {}, None, at(11)) is not None
    assert missing({"D01": OpenGap(at(1), "never")}, {}, None, at(10)) is None


def test_how_far_back_a_history_is_read_depends_on_what_ran_when_the_gap_began() -> None:
    gaps = {"D01": OpenGap(at(5)), "D02": OpenGap(at(1))}
    left_over = {"D01": SourceHistory(gaps=(Period(at(5), None),))}
    found = [
        missing(gaps, {}, None, at(10)),
        missing(gaps, {}, at(-30), at(10)),
        missing(gaps, left_over, None, at(10)),
    ]
    assert [one and one.begun_after for one in found] == [at(1) - DAY, at(-30) - DAY, at(1) - LONGEST]

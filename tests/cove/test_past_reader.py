"""The ways to a device's past, tried in turn: what each adds, and what is said where none can tell."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from cove_poller.config.settings import ApiSettings, LoginSettings
from cove_poller.cove.client import CoveClient
from cove_poller.cove.listing import Listing
from cove_poller.cove.past_reader import PastReader
from cove_poller.cove.past_ways import Attempt
from cove_poller.cove.session_rows import ReadRows
from cove_poller.cove.session_services import SessionHistory
from cove_poller.cove.snapshots import Replay, Snapshots
from cove_poller.errors import ApiError, ApiUnavailable, CovePollerError, PermissionDenied, VisaRefused
from cove_poller.records.device import Device, StatisticsRow, device_from_row
from cove_poller.records.past import Past, Request
from cove_poller.records.session import Origin, Session
from cove_poller.records.statuses import Status, Statuses
from cove_poller.records.window import Window

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
WINDOW = Window(NOW - timedelta(days=3), NOW)
MOMENTS = tuple(WINDOW.moments(timedelta(hours=6)))
AT = NOW - timedelta(hours=3)
SESSION = Session("D01", AT, AT - timedelta(minutes=10), Status.SUCCESS, 5, None, Origin.SESSIONS)
NO_SNAPSHOT = PermissionDenied("no history for you")


def make_device(account_id: int = 1, **settings: Any) -> Device:
    """A server that backs up files and SQL Server; the bar of SQL Server shows good days only."""
    at = str(int(AT.timestamp()))
    whole = {"I1": "srv1", "I8": "Example Bakery", "I18": "SRV1", "I32": "2", "I78": "D01D10",
             "D01F00": "5", "D01F15": at, "D10F00": "5", "D10F15": at, "D10F08": "5" * 28, **settings}  # fmt: skip
    return device_from_row(StatisticsRow(account_id, None, [{code: value} for code, value in whole.items() if value]))


Answer = ReadRows | CovePollerError
Replays = dict[int, Replay] | CovePollerError


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets the services and the snapshots tell something, instead of asking Cove."""

    def given(sessions: Answer, snapshots: Replays = NO_SNAPSHOT) -> None:
        def read(_: SessionHistory, device: Device, known: str) -> ReadRows:
            if isinstance(sessions, CovePollerError):
                raise sessions
            return sessions

        def replayed(_: Snapshots, devices: Sequence[Device], tick: Any) -> dict[int, Replay]:
            tick()
            if isinstance(snapshots, CovePollerError):
                raise snapshots
            return snapshots

        monkeypatch.setattr(SessionHistory, "read", read)
        monkeypatch.setattr(Snapshots, "read", replayed)

    return given


def pasts(*devices: Device, way: Origin | None = None) -> list[Past]:
    client = CoveClient(LoginSettings(username="api"), SecretStr("x"), ApiSettings())
    request = Request(WINDOW, way=way)
    reader = PastReader(client, Listing(client, 1000), request, Statuses(), lambda: NOW)
    return [past for _, past in reader.read(devices, lambda: None)]


def test_a_device_whose_sessions_are_listed_needs_no_other_way(tell: Any) -> None:
    sql = replace(SESSION, data_source="D10")
    before = replace(sql, session_at=AT - timedelta(days=1), started_at=None)
    tell(ReadRows((SESSION, sql, before), warnings=("odd",)), AssertionError)
    (past,) = pasts(make_device())
    assert (past.sessions, past.ways, past.failures, past.warnings) == (
        (SESSION, sql, before),
        (Origin.SESSIONS,),
        (),
        ("odd",),
    )
    assert past.complete_sources >= {"D01", "D10", "D09"}
    assert (past.window, past.read_at) == (WINDOW, NOW)


def test_a_history_that_lacks_what_the_listing_or_the_bar_shows_is_not_complete(tell: Any) -> None:
    tell(ReadRows((SESSION,)))
    (past,) = pasts(make_device())
    assert past.complete_sources >= {"D01", "D14"}
    assert past.complete_sources.isdisjoint({"D10"})
    assert [text.partition(" at ")[0] for text in past.failures] == [
        "its history lacks the session of SQL Server",
        "its history has nothing of SQL Server on 2 days from 2026-03-12 on, on which the colour bar shows a backup",
    ]


def test_of_a_source_whose_row_cannot_be_read_the_past_is_not_known_and_of_the_others_it_is(tell: Any) -> None:
    sql = replace(SESSION, data_source="D10", session_at=AT - timedelta(days=1))
    tell(ReadRows((SESSION, sql, replace(sql, session_at=AT)), failures=("odd",), unreadable=frozenset({"D08"})))
    (past,) = pasts(make_device(I78="D01D08D10"))
    assert past.complete_sources >= {"D01", "D10"}
    assert not past.complete_sources & {"D08", "D09"}
    assert past.problems.keys() == {"D08"}
    assert "odd" in past.failures


def test_where_a_row_may_be_of_any_source_the_past_of_none_is_known(tell: Any) -> None:
    tell(ReadRows((SESSION,), failures=("odd",), is_whole=False))
    (past,) = pasts(make_device())
    assert past.complete_sources == frozenset()
    assert past.problems.keys() == {"D01", "D10"}


@pytest.mark.parametrize(
    ("refusal", "failures", "warnings"),
    [
        (ApiError("node is odd"), ["node is odd"], []),
        (PermissionDenied("not for you"), [], ["not for you"]),
    ],
)
def test_what_the_services_refuse_is_said_and_the_snapshots_tell_instead(
    tell: Any, refusal: CovePollerError, failures: list[str], warnings: list[str]
) -> None:
    seen = replace(SESSION, origin=Origin.SNAPSHOT)
    tell(refusal, {1: Replay((seen,), MOMENTS, frozenset({"D01", "D10", "D09"}))})
    (past,) = pasts(make_device())
    assert (past.sessions, past.ways) == ((seen,), (Origin.SNAPSHOT,))
    assert (list(past.failures), list(past.warnings)) == (failures, warnings)


def test_of_the_sources_that_snapshots_do_not_tell_of_the_colour_bar_does(tell: Any) -> None:
    tell(ApiError("no"), {1: Replay((), MOMENTS, frozenset({"D01", "D09"}))})
    (past,) = pasts(make_device())
    assert past.ways == (Origin.SNAPSHOT, Origin.COLORBAR)
    assert {session.data_source for session in past.sessions} == {"D10"}
    assert past.warnings == ("snapshots do not tell of SQL Server; the colour bar was taken",)


def test_a_stretch_without_snapshots_is_a_failure(tell: Any) -> None:
    tell(ApiError("no"), {1: Replay((), (*MOMENTS[:3], *MOMENTS[8:]), frozenset({"D01", "D10", "D09"}))})
    (past,) = pasts(make_device())
    assert past.failures[1].startswith("there are no snapshots from 2026-03-12 06:00Z to ")


def test_what_no_way_tells_is_named(tell: Any) -> None:
    tell(ApiError("no sessions"), NO_SNAPSHOT)
    (past,) = pasts(make_device())
    assert past.ways == (Origin.COLORBAR,)
    assert past.failures == ("no sessions", "could not be read: Files and Folders")
    assert past.warnings == ("no history for you",)


@pytest.mark.parametrize(
    ("way", "ways", "unread"),
    [
        (Origin.SESSIONS, (), "could not be read: Files and Folders, SQL Server"),
        (Origin.SNAPSHOT, (), "could not be read: Files and Folders, SQL Server"),
        (Origin.COLORBAR, (Origin.COLORBAR,), "could not be read: Files and Folders"),
    ],
)
def test_only_the_way_that_is_asked_for_is_tried(tell: Any, way: Origin, ways: tuple[Origin, ...], unread: str) -> None:
    tell(PermissionDenied("sessions"), PermissionDenied("snapshots"))
    (past,) = pasts(make_device(), way=way)
    assert (past.ways, past.failures) == (ways, (unread,))
    assert past.warnings == {Origin.SESSIONS: ("sessions",), Origin.SNAPSHOT: ("snapshots",)}.get(way, ())


@pytest.mark.parametrize("error", [ApiUnavailable("down"), VisaRefused("odd")])
@pytest.mark.parametrize("where", ["sessions", "snapshots"])
def test_a_cove_that_is_down_ends_it_since_no_other_way_would_do_better(
    tell: Any, where: str, error: CovePollerError
) -> None:
    tell(*(error, {}) if where == "sessions" else (ApiError("no"), error))
    with pytest.raises(type(error)):
        pasts(make_device())


def test_a_device_with_nothing_to_read_has_a_past_without_a_failure_of_its_own(tell: Any) -> None:
    tell(ApiError("no"), {})
    nothing: dict[str, Any] = dict.fromkeys(("I78", "D01F00", "D01F15", "D10F00", "D10F15", "D10F08"))
    bare = make_device(**nothing)
    assert Attempt.begun(bare).unread == {"D09"}
    assert pasts(bare)[0].failures == ("no",)
    only_total = make_device(**nothing, D09F00="5")
    assert pasts(only_total)[0].failures == ("no", "its history could not be read")


def test_more_devices_than_one_request_takes_are_read_in_batches(tell: Any) -> None:
    tell(ApiError("no"), {})
    assert len(pasts(*(make_device(number) for number in range(1, 202)))) == 201

"""Why the next poll has to look at a device again, entry by entry; and what its digest depends on."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cove_poller.config.settings import Config
from cove_poller.records.device import Device, DeviceFields, SourceFields, StatisticsRow
from cove_poller.records.device_changes import DeviceChanges
from cove_poller.records.device_reading import DeviceReading
from cove_poller.records.due import Looked, basis, due_at, reasons_due, row_digest
from cove_poller.records.open_gaps import OpenGap
from cove_poller.records.reading import Problem, SourceReading
from cove_poller.records.source_history import Period, SourceHistory
from cove_poller.records.statuses import Status

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
DEVICE = Device(account_id=1, partner_id=1, fields=DeviceFields(), sources={})
QUIET = Looked(DEVICE, DeviceReading({"D01": SourceReading()}, ("D01",)), DeviceChanges(), NOW)
OPEN = (Period(NOW, None, Problem(Status.WARNING, "odd")),)


def read(**values: Any) -> DeviceReading:
    return DeviceReading({"D01": SourceReading(**values)}, ("D01",))


def kept(**values: Any) -> DeviceChanges:
    return DeviceChanges(sources={"D01": SourceHistory(**values)})


def told(moment: datetime) -> Device:
    return DEVICE.model_copy(update={"sources": {"D01": SourceFields.model_construct(last_session_at=moment)}})


def test_a_plainly_quiet_device_is_not_due() -> None:
    assert reasons_due(QUIET) == frozenset()


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("not linked", {"is_linked": False}),
        ("ignored", {"is_ignored": True}),
        ("running", {"reading": read(running=True)}),
        ("a source that cannot be read", {"reading": read(problem=Problem(Status.WARNING, "odd"))}),
        ("a source that did not start", {"reading": read(not_started=True)}),
        ("unreadable on record", {"changes": kept(unreadable=OPEN)}),
        ("silent", {"changes": kept(silent=(Period(NOW, None),))}),
        ("a gap", {"changes": kept(gaps=(Period(NOW - timedelta(days=1), NOW),))}),
        ("a gap", {"changes": kept(unseen=(Period(NOW - timedelta(days=1), NOW),))}),
        ("a gap", {"changes": DeviceChanges(gaps={"D01": OpenGap(NOW - timedelta(days=1))})}),
        ("a condition", {"conditions": {"total": ["odd", 1, 1, False]}}),
        ("a contradiction", {"device": DEVICE.model_copy(update={"contradictions": ("odd",)})}),
        ("a contradiction", {"device": DEVICE.model_copy(update={"malformed": frozenset({"I4"})})}),
        ("a session without a run", {"waits": True}),
        ("a history that was read", {"has_past": True}),
        ("to be planned anew", {"replan_since": NOW}),
        ("clocks apart", {"clock_ahead": timedelta(minutes=6)}),
        ("a time ahead of the clock", {"device": told(NOW + timedelta(seconds=1))}),
    ],
)
def test_each_of_these_alone_makes_a_device_due(reason: str, changes: dict[str, Any]) -> None:
    assert reasons_due(replace(QUIET, **changes)) == {reason}


@pytest.mark.parametrize(
    ("silent_at", "due"),
    [
        (None, NOW.replace(hour=23, minute=55)),
        (NOW.replace(hour=9), NOW.replace(hour=9)),
        (NOW.replace(day=4), NOW.replace(hour=23, minute=55)),
    ],
)
def test_a_device_is_due_with_another_day_by_either_clock_or_when_a_source_becomes_silent(
    silent_at: datetime | None, due: datetime
) -> None:
    assert due_at(QUIET, silent_at) == due


def config(**sections: Any) -> Config:
    login = {"username": "u", "password": "p"}
    return Config.model_validate(
        {"database": {"url": "sqlite:///x.db"}, "logins": {"main": login, "other": login}, **sections}
    )


@pytest.mark.parametrize(
    "other",
    [
        basis(config(), "other", ()),
        basis(config(), "main", ("D01F12",)),
        basis(config(status={8: "failed"}), "main", ()),
        basis(config(alerts={"server_hours": 5}), "main", ()),
        basis(config(api={"gap_minutes": 5}), "main", ()),
        basis(config(logins={"main": {"username": "u", "password": "p", "api": {"histories": "never"}}}), "main", ()),
        basis(config(backupchecks={"settle_minutes": 5}), "main", ()),
    ],
)
def test_the_digest_depends_on_the_login_the_refused_columns_and_the_configuration(other: bytes) -> None:
    content = StatisticsRow(1, None, [{"I1": "srv"}]).content
    assert row_digest(other, content) != row_digest(basis(config(), "main", ()), content)


@pytest.mark.parametrize("changes", [{"partner_id": 2}, {"settings": [{"I1": "other"}]}, {"account_id": 2}])
def test_the_digest_depends_on_all_that_the_row_says(changes: dict[str, Any]) -> None:
    row = StatisticsRow(account_id=1, partner_id=1, settings=[{"I1": "srv"}])
    same = basis(config(), "main", ())
    assert row_digest(same, replace(row, **changes).content) != row_digest(same, row.content)

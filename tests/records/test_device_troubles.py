"""What people are told of a device."""

from datetime import timedelta

from cove_poller.records.device import StatisticsRow, device_from_row
from cove_poller.records.device_changes import DeviceChanges
from cove_poller.records.device_reading import DeviceReading, read_device
from cove_poller.records.health.device_troubles import Limits, device_troubles
from cove_poller.records.health.news import Trouble
from cove_poller.records.reading import Circumstances
from cove_poller.records.session import Origin, Session, TimeIs
from cove_poller.records.source_history import Period, SourceHistory
from cove_poller.records.statuses import Status
from tests.world.ledger import at, ended

LIMITS = Limits(timedelta(minutes=15), timedelta(minutes=75))
NAME = "Example Bakery, srv (device 1)"


def troubles(changes: DeviceChanges | None = None, unlinked: str | None = None, **settings: str) -> dict[str, Trouble]:
    values = {"I1": "srv", "I8": "Example Bakery", "I32": "2", "I78": "D01"}
    values |= {f"D01{code}": value for code, value in ended(at(2)).items()} | settings
    row = StatisticsRow(1, None, [{code: one} for code, one in values.items()])
    device = device_from_row(row)
    reading: DeviceReading = read_device(device, (), Circumstances(at(3)))
    return device_troubles(device, reading, changes or DeviceChanges(), unlinked, LIMITS)


def test_a_device_that_is_well_has_none() -> None:
    assert troubles() == {}


def test_a_source_whose_health_is_not_known_is_a_failure_with_its_reason() -> None:
    found = troubles(D01F00="2", D01F15="0")
    assert found == {
        "D01 unreadable": Trouble(f"{NAME}: Files and Folders: Failed, at a time that Cove does not tell", True)
    }


def test_a_value_that_cannot_be_read_is_named_with_its_column() -> None:
    assert troubles(I4="yesterday")["malformed"].what == f"{NAME}: Cove sends what cannot be read in Device (I4)"


def test_a_device_without_a_customer_or_a_job_is_named_once_with_the_reason() -> None:
    assert "Cove sends no customer for it" in troubles(I8="")["nameless"].what
    assert "no such customer" in troubles(unlinked="no such customer")["unlinked"].what


def test_a_time_in_which_nobody_looked_is_said_once() -> None:
    gap = SourceHistory(gaps=(Period(at(-9), at(2)),))
    (trouble,) = troubles(DeviceChanges(sources={"D01": gap})).values()
    assert trouble.what == (
        f"{NAME}: Files and Folders: since 2026-03-01 15:00Z there was a time in which nobody looked;"
        " read what is missing with: cove-poller backfill"
    )
    assert (trouble.is_failure, trouble.reminds) == (False, False)


def test_a_source_that_runs_as_often_as_it_is_polled_is_named_and_an_hourly_one_is_not() -> None:
    for hours, is_named in ((0.25, True), (0.5, True), (1, False)):
        rhythm = SourceHistory(recent=tuple(at(number * hours) for number in range(6)))
        assert bool(troubles(DeviceChanges(sources={"D01": rhythm}))) == is_named


def test_a_total_that_no_source_explains_is_named() -> None:
    def session(source: str, hour: float, status: Status, code: int) -> Session:
        return Session(source, at(hour), None, status, code, None, Origin.POLL, time_is=TimeIs.END)

    newest = {"D01": session("D01", 1, Status.SUCCESS, 5), "D09": session("D09", 2, Status.FAILED, 2)}
    assert "Failed at 2026-03-02 02:00Z" in troubles(DeviceChanges(newest=newest))["total"].what
    well = newest | {"D09": session("D09", 1.1, Status.FAILED, 2)}
    assert troubles(DeviceChanges(newest=well)) == {}

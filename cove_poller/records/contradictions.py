"""Devices of which Cove says two things at once: two rows, or two spellings of one column. The graver counts. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from cove_poller.records.columns import DataSource
from cove_poller.records.device import (
    ALL_COLUMNS,
    Device,
    DeviceFields,
    SourceFields,
    StatisticsRow,
    column_code,
    describe_columns,
    device_from_row,
)
from cove_poller.records.statuses import COMPLETED, COMPLETED_WITH_ERRORS, SEVERITY, Statuses
from cove_poller.records.values import MILLISECONDS_FROM

MEANINGS = Statuses()
NO_FIELDS = SourceFields.model_construct()
COMPARED = ("last_status", "errors_count", "last_success_at", "last_session_at", "last_completed_at")
PLACES: Mapping[str, tuple[str, int] | None] = {
    **dict.fromkeys(ALL_COLUMNS),
    **{column_code(source, name): (source, place) for source in DataSource for place, name in enumerate(COMPARED)},
}
"""Of each column as Cove writes it the source, and which of its fields that is, where it is compared."""

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
LISTED_TWICE = "Cove lists it more than once and says different things of it; the gravest counts"

Gravity = tuple[int, int, float, float]
"""The greater, the graver."""


def listed_devices(rows: Iterable[StatisticsRow]) -> list[Device]:
    """Return the devices that rows describe, each once, in their order, with what contradicts itself named."""
    by_account: dict[int, list[Device]] = {}
    for row in rows:
        by_account.setdefault(row.account_id, []).append(_of_one_row(row))
    return [united(found, LISTED_TWICE) for found in by_account.values()]


def _of_one_row(row: StatisticsRow) -> Device:
    readings = row.readings()
    codes = sorted({code for one in readings for code in one if one[code] != readings[0][code]})
    note = f"Cove tells {describe_columns(codes)} twice with different values; the gravest counts"
    return united([device_from_row(row, values) for values in readings], note)


def united(told: Sequence[Device], note: str) -> Device:
    """Return one device for all that is told of it, with the `note` if that differs: of each source the gravest.

    Nothing hangs on the order. A source that is active in one of them is active.
    """
    differing = [one for number, one in enumerate(told) if one not in told[:number]]
    if len(differing) == 1:
        return differing[0]
    by_source: dict[str, list[SourceFields]] = {}
    for device in differing:
        for source, fields in device.sources.items():
            by_source.setdefault(source, []).append(fields)
    differing.sort(key=lambda device: (device_gravity(device), repr(device)))
    own = {name: value for one in differing for name, value in one.fields if value is not None}
    active = {source for device in differing for source in device.active_sources}
    return differing[-1].model_copy(
        update={
            "fields": DeviceFields.model_construct(**own | {"active_sources": "".join(sorted(active)) or None}),
            "sources": {
                source: max(found, key=lambda fields: (source_gravity(fields), repr(fields)))
                for source, found in by_source.items()
            },
            "malformed": frozenset().union(*(device.malformed for device in differing)),
            "contradictions": tuple(sorted({note, *(text for one in differing for text in one.contradictions)})),
        }
    )


def device_gravity(device: Device) -> Gravity:
    """Return what devices are compared by: their gravest source."""
    return max(map(source_gravity, device.sources.values()), default=source_gravity(NO_FIELDS))


def rows_gravity(rows: Sequence[StatisticsRow]) -> Gravity:
    """Return what devices are compared by from their rows, which are read in full only where they are odd."""
    try:
        return max(map(_row_gravity, rows))
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError):
        return device_gravity(united([_of_one_row(row) for row in rows], LISTED_TWICE))


def _row_gravity(row: StatisticsRow) -> Gravity:
    """Return a row's gravity. Raise an error of Python's where it is not written as Cove writes it as a rule."""
    by_source: dict[str, list[int | None]] = {}
    for setting in row.settings:
        ((code, value),) = setting.items()
        if place := PLACES[code]:
            source, number = place
            told = by_source.get(source) or by_source.setdefault(source, [None] * len(COMPARED))
            if told[number] is not None:
                raise ValueError("told twice")
            told[number] = int(value)
    return max([_told_gravity(*told) for told in by_source.values()], default=source_gravity(NO_FIELDS))


def _told_gravity(
    status: int | None, errors: int | None, success: int | None, last: int | None, completed: int | None
) -> Gravity:
    errors, success, last, completed = errors or 0, success or 0, last or 0, completed or 0
    if not (errors >= 0 and all(0 <= at < MILLISECONDS_FROM for at in (success, last, completed))):
        raise ValueError("not a time")
    code = COMPLETED_WITH_ERRORS if status == COMPLETED and errors > 0 else status
    return SEVERITY[MEANINGS.meaning(code)], errors, float(last or completed), -float(success)


def source_gravity(fields: SourceFields) -> Gravity:
    """Return what sources are compared by: the status, the errors, the newer session, the older success."""
    errors = fields.errors_count or 0
    code = COMPLETED_WITH_ERRORS if fields.last_status == COMPLETED and errors > 0 else fields.last_status
    last = fields.last_session_at or fields.last_completed_at or NEVER
    success = fields.last_success_at or NEVER
    return SEVERITY[MEANINGS.meaning(code)], errors, last.timestamp(), -success.timestamp()

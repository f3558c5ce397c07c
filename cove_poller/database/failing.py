"""Since when the sources of devices have been failing: asked only of those that are in trouble now."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import BigInteger, Column, Connection, String, func, literal, select

from cove_poller.database.bulk import as_rows
from cove_poller.database.tables import Tables, UtcDateTime
from cove_poller.records.health.device_state import DeviceState
from cove_poller.records.session import NEVER
from cove_poller.records.statuses import Status

BAD = (Status.FAILED, Status.WARNING)
COLUMNS = (Column("account_id", BigInteger), Column("data_source", String))
Source = tuple[int, str]


def with_failing_since(connection: Connection, tables: Tables, devices: Sequence[DeviceState]) -> list[DeviceState]:
    """Return the devices, their failed and warning sources with the first session that went wrong since a success."""
    bad = [(device.account_id, one.source) for device in devices for one in device.sources if one.status in BAD]
    if not bad:
        return [*devices]
    begun, suspects = dict(_begun(connection, tables, bad)), {account for account, _ in bad}
    return [_told(one, begun) if one.account_id in suspects else one for one in devices]


def _told(device: DeviceState, begun: dict[Source, datetime]) -> DeviceState:
    sources = (
        replace(one, failing_since=begun.get((device.account_id, one.source))) if one.status in BAD else one
        for one in device.sources
    )
    return replace(device, sources=tuple(sources))


def _begun(connection: Connection, tables: Tables, bad: Sequence[Source]) -> Iterator[tuple[Source, datetime]]:
    """Yield for each source its first session that was no success, behind its last success: both found by index."""
    sessions, before = tables.sessions, tables.sessions.alias("before")
    rows = [{"account_id": account, "data_source": source} for account, source in bad]
    wanted = as_rows("bad", COLUMNS, rows, connection.dialect)
    success = select(func.max(before.c.session_at)).where(
        *(before.c[one.name] == wanted.c[one.name] for one in COLUMNS), before.c.status == Status.SUCCESS
    )
    behind = func.coalesce(success.correlate(wanted).scalar_subquery(), literal(NEVER, UtcDateTime(timezone=True)))
    first = select(func.min(sessions.c.session_at)).where(
        *(sessions.c[one.name] == wanted.c[one.name] for one in COLUMNS),
        sessions.c.status != Status.SUCCESS,
        sessions.c.session_at > behind,
    )
    query = select(wanted.c.account_id, wanted.c.data_source, first.correlate(wanted).scalar_subquery())
    yield from (((account, source), at) for account, source, at in connection.execute(query) if at)

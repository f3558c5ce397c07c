"""Since when the sources of devices have been failing: asked only of those that are in trouble now."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, and_, func, or_, select

from cove_poller.database.tables import Tables
from cove_poller.records.health.device_state import DeviceState
from cove_poller.records.statuses import Status

AT_ONCE = 500
BAD = (Status.FAILED, Status.WARNING)
Source = tuple[int, str]


def with_failing_since(connection: Connection, tables: Tables, devices: Sequence[DeviceState]) -> list[DeviceState]:
    """Return the devices, their failed and warning sources with the first session that went wrong since a success."""
    suspects = {one.account_id for one in devices if any(source.status in BAD for source in one.sources)}
    begun = dict(_begun(connection, tables, sorted(suspects)))
    return [_told(one, begun) if one.account_id in suspects else one for one in devices]


def _told(device: DeviceState, begun: dict[Source, datetime]) -> DeviceState:
    sources = (
        replace(one, failing_since=begun.get((device.account_id, one.source))) if one.status in BAD else one
        for one in device.sources
    )
    return replace(device, sources=tuple(sources))


def _begun(connection: Connection, tables: Tables, accounts: Sequence[int]) -> Iterator[tuple[Source, datetime]]:
    """Yield for each source of the accounts its first session that was no success, behind its last success."""
    sessions = tables.sessions
    key = (sessions.c.account_id, sessions.c.data_source)
    for begin in range(0, len(accounts), AT_ONCE):
        mine = sessions.c.account_id.in_(accounts[begin : begin + AT_ONCE])
        is_success = sessions.c.status == Status.SUCCESS
        last = select(*key, func.max(sessions.c.session_at).label("at")).where(mine, is_success).group_by(*key)
        success = last.subquery("success")
        same = and_(*(success.c[one.name] == one for one in key))
        behind = or_(success.c.at.is_(None), sessions.c.session_at > success.c.at)
        found = (
            select(*key, func.min(sessions.c.session_at))
            .select_from(sessions.outerjoin(success, same))
            .where(mine, ~is_success, behind)
            .group_by(*key)
        )
        yield from (((account, source), at) for account, source, at in connection.execute(found))

"""Which devices have become stale since the poll before, and which have recovered: said once, when it changes."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, or_

from cove_poller.config.settings import AlertSettings, Config
from cove_poller.database.overview import counting_devices, device_state
from cove_poller.database.store import Store
from cove_poller.database.tables import Tables
from cove_poller.records.overview import DeviceState, stale_names
from cove_poller.text import counted, listed, long_age, one_line

MOST_LINES = 5
"""More devices than this at once are said in one line."""


def note_staleness(connection: Connection, tables: Tables, config: Config, login: str, now: datetime) -> list[str]:
    """Note which of a login's devices are stale now. Return what is new, a line each, or one for many."""
    became: list[DeviceState] = []
    recovered: list[DeviceState] = []
    changed: dict[int, datetime | None] = {}
    for row in connection.execute(_suspects(tables, config.alerts, login, now)).mappings():
        device = device_state(row, config, now)
        if device.is_stale == (row["stale_since"] is not None):
            continue
        changed[device.account_id] = now if device.is_stale else None
        if device.is_stale:
            became.append(device)
        elif not device.is_excused:  # of one that is off nobody knows whether it would succeed
            recovered.append(device)
    if changed:
        Store(connection, tables, config.backupchecks).devices.save_stale(changed)
    return [*_became_lines(became), *_recovered_lines(recovered)]


def _suspects(tables: Tables, alerts: AlertSettings, login: str, now: datetime) -> Any:
    """The devices that may be stale, or were, so that those that are fine are not even read."""
    devices = tables.devices
    since = func.coalesce(devices.c.last_success_at, devices.c.first_seen_at)
    suspect = or_(since < now - timedelta(hours=alerts.shortest_hours()), devices.c.stale_since.is_not(None))
    return counting_devices(tables).where(devices.c.login == login, suspect)


def _became_lines(devices: Sequence[DeviceState]) -> list[str]:
    names = [one_line(name) for name in stale_names(devices)]
    if len(devices) > MOST_LINES:
        return [f"{counted(len(devices), 'device')} have had no success for longer than they may: {listed(names)}"]
    return [f"{name} {_silence(one)}" for name, one in zip(names, devices, strict=True)]


def _silence(device: DeviceState) -> str:
    span = long_age(device.without_success_for)
    return (
        f"has had no success for {span}" if device.last_success_at else f"is known for {span} and never had a success"
    )


def _recovered_lines(devices: Sequence[DeviceState]) -> list[str]:
    names = [one_line(f"{one.name} ({one.customer})") for one in devices]
    if len(devices) > MOST_LINES:
        return [f"{counted(len(devices), 'device')} are no longer stale: {listed(names)}"]
    return [f"{name} is no longer stale" for name in names]

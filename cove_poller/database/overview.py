"""Reads what is known of all devices from the database: only reads, only what was written there by polls."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, and_, func, or_, select

from cove_poller.config.settings import Config
from cove_poller.database.engine import Database
from cove_poller.database.failing import with_failing_since
from cove_poller.database.tables import Tables
from cove_poller.records.health import news
from cove_poller.records.health.device_state import DeviceState, source_states, worst_success
from cove_poller.records.health.overview import Overview, PlotSession, PollState, alert_after, make_overview
from cove_poller.records.source_history import from_json
from cove_poller.records.statuses import Status


def read_overview(database: Database, config: Config, now: datetime, *, customer: str | None = None) -> Overview:
    """Return all devices that are neither ignored nor gone, and how the polls of each login went.

    Devices may also be of a login that is not configured any more, or not here. Raise WrongUsage for a `customer` that
    nobody is called.
    """
    with database.transaction() as connection:
        rows = connection.execute(_counting_devices(database.tables)).mappings()
        states = [_device_state(row, config, now) for row in rows]
        devices = with_failing_since(connection, database.tables, states)
        logins = {*config.logins, *(device.login for device in devices)}
        polls = {login: _poll_state(connection, database.tables, login) for login in logins}
    unpolled = [login for login, poll in polls.items() if poll is None]
    found, limit = filter(None, polls.values()), config.alerts.max_poll_age
    return make_overview(devices, found, now, limit, customer=customer, unpolled=unpolled)


def read_poll(database: Database, login: str) -> PollState | None:
    """Return how the polls of a login went; None if none has come to its end yet."""
    with database.transaction() as connection:
        return _poll_state(connection, database.tables, login)


def read_suspects(
    connection: Connection, tables: Tables, config: Config, login: str, now: datetime
) -> Iterator[tuple[DeviceState, frozenset[str]]]:
    """Yield the devices of a login that may be stale, or were, each with the sources of which that was said.

    Those that are fine are left out.
    """
    devices = tables.devices
    since = func.coalesce(devices.c.last_success_at, devices.c.first_seen_at)
    first = now - timedelta(hours=config.alerts.shortest_hours())
    suspect = or_(since < first, devices.c.stale_since.is_not(None))
    query = _counting_devices(tables).where(devices.c.login == login, suspect)
    for row in connection.execute(query).mappings():
        yield _device_state(row, config, now), _said_stale(row)


def _said_stale(row: RowMapping) -> frozenset[str]:
    """The sources of which it was said that they are stale; an earlier version did not say which."""
    return frozenset((row["stale_sources"] or ("?" if row["stale_since"] else "")).split())


def _counting_devices(tables: Tables) -> Select[Any]:
    """Return a query for the devices that are neither ignored nor gone, each with its customer in Backupchecks."""
    devices, jobs, customers = tables.devices, tables.jobs, tables.customers
    joined = devices.outerjoin(jobs, jobs.c.id == devices.c.job_id).outerjoin(
        customers, customers.c.id == jobs.c.customer_id
    )
    return (
        select(devices, customers.c.name.label("linked_customer_name"))
        .select_from(joined)
        .where(devices.c.gone_at.is_(None), devices.c.ignored.is_(False))
        .order_by(devices.c.account_id)
    )


def _device_state(row: RowMapping, config: Config, now: datetime) -> DeviceState:
    """Return a row of `_counting_devices` as the state of a device at `now`."""
    names = [row["linked_customer_name"] or row["customer_name"], row["customer_name"]]
    same = ("account_id", "login", "device_name", "computer_name", "device_type", "last_session_at")
    more = ("running_since", "first_seen_at", "last_seen_at", "job_id", "ignored", "stale_since")
    sources = source_states(row["data_sources"], from_json(row["source_history"]), row["first_seen_at"])
    newest = max([one.last_success_at for one in sources if one.last_success_at], default=None)
    return DeviceState(
        **{name: row[name] for name in (*same, *more)},
        customer=names[0],
        status=Status(row["status"]),
        sources=sources,
        color_bar=row["color_bar"] or "",
        last_success_at=worst_success(sources) if sources else row["last_success_at"],
        any_success_at=newest or row["last_success_at"],
        alert_after=alert_after(config.alerts, row["device_type"], names),
        as_of=now,
        standing=tuple(news.from_json(row["conditions"]).values()),
    )


def _poll_state(connection: Connection, tables: Tables, login: str) -> PollState | None:
    polls = tables.polls
    mine = and_(polls.c.login == login, polls.c.command == "sync", polls.c.outcome != "running")
    newest = select(polls).where(mine).order_by(polls.c.id.desc()).limit(1)
    row = connection.execute(newest).mappings().first()
    if row is None:
        return None
    good = select(func.max(polls.c.finished_at)).where(mine, polls.c.outcome.in_(("ok", "partial")))
    told = select(polls.c.conditions).where(mine, polls.c.conditions.is_not(None)).order_by(polls.c.id.desc()).limit(1)
    standing = news.from_json(connection.execute(told).scalar())
    of_login = tuple(one for key, one in standing.items() if not key.startswith(news.ERROR))
    since = connection.execute(good).scalar()
    written = None if row["job_runs_new"] is None else row["job_runs_new"] + (row["job_runs_updated"] or 0)
    counts = row["exit_code"], written, row["sessions_new"]
    return PollState(login, row["started_at"], row["outcome"], row["error"], since, of_login, *counts)


def read_sessions(database: Database, since: datetime) -> Iterator[PlotSession]:
    """Yield the recorded sessions from a moment on, by device and time, without holding them all."""
    sessions = database.tables.sessions
    columns = [sessions.c[field.name] for field in fields(PlotSession)]
    query = select(*columns).where(sessions.c.session_at >= since)
    with database.transaction() as connection:
        streaming = connection.execution_options(yield_per=5000)
        rows = streaming.execute(query.order_by(sessions.c.account_id, sessions.c.session_at))
        yield from (PlotSession(*row) for row in rows)

"""Reads what is known of all devices from the database: only reads, only what was written there by polls."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Row,
    Select,
    String,
    and_,
    case,
    cast,
    extract,
    func,
    or_,
    select,
)  # fmt: skip

from cove_poller.config.settings import AlertSettings, Config
from cove_poller.database.engine import Database
from cove_poller.database.failing import with_failing_since
from cove_poller.database.tables import Tables
from cove_poller.records.health import news
from cove_poller.records.health.device_state import DeviceState
from cove_poller.records.health.overview import (
    PLOT_STATUSES,
    Overview,
    PlotSessions,
    PollState,
    alert_after,
    make_overview,
)
from cove_poller.records.health.source_states import source_states, worst_success
from cove_poller.records.statuses import Status

AS_THEY_ARE = (
    "account_id", "login", "device_name", "computer_name", "device_type", "last_session_at", "running_since",
    "first_seen_at", "last_seen_at", "job_id", "ignored", "stale_since",
)  # fmt: skip
READ = (
    "color_bar", "conditions", "customer_name", "data_sources", "last_success_at", "source_history", "status",
    "stale_sources",
)  # fmt: skip


def read_overview(database: Database, config: Config, now: datetime, *, customer: str | None = None) -> Overview:
    """Return all devices that are neither ignored nor gone, and how the polls of each login went.

    Devices may also be of a login that is not configured any more, or not here. Raise WrongUsage for a `customer` that
    nobody is called.
    """
    with database.transaction() as connection:
        rows = connection.execute(_counting_devices(database.tables))
        limit_of = _AlertLimits(config.alerts)
        states = [_device_state(row, limit_of, now) for row in rows]
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
    limit_of = _AlertLimits(config.alerts)
    for row in connection.execute(query):
        yield _device_state(row, limit_of, now), _said_stale(row)


def _said_stale(row: Row[Any]) -> frozenset[str]:
    """The sources of which it was said that they are stale; an earlier version did not say which."""
    return frozenset((row.stale_sources or ("?" if row.stale_since else "")).split())


def _counting_devices(tables: Tables) -> Select[Any]:
    """Return a query for the devices that are neither ignored nor gone, each with its customer in Backupchecks."""
    devices, jobs, customers = tables.devices, tables.jobs, tables.customers
    joined = devices.outerjoin(jobs, jobs.c.id == devices.c.job_id).outerjoin(
        customers, customers.c.id == jobs.c.customer_id
    )
    columns = [devices.c[name] for name in (*AS_THEY_ARE, *READ)]
    return (
        select(*columns, customers.c.name.label("linked_customer_name"))
        .select_from(joined)
        .where(devices.c.gone_at.is_(None), devices.c.ignored.is_(False))
        .order_by(devices.c.account_id)
    )


class _AlertLimits(dict[tuple[str, str, str], timedelta]):
    """How long devices of a type, of a customer under both of its names, may be without a success, worked out once."""

    def __init__(self, alerts: AlertSettings) -> None:
        self._alerts = alerts

    def __missing__(self, key: tuple[str, str, str]) -> timedelta:
        device_type, *names = key
        self[key] = alert_after(self._alerts, device_type, names)
        return self[key]


def _device_state(row: Row[Any], limit_of: Mapping[tuple[str, str, str], timedelta], now: datetime) -> DeviceState:
    """Return a row of `_counting_devices` as the state of a device at `now`."""
    values: Sequence[Any] = row
    *same, color_bar, conditions, name, data_sources, last_success, history, status, _, linked_name = values
    known = dict(zip(AS_THEY_ARE, same, strict=True))
    sources = source_states(data_sources, history, known["first_seen_at"])
    newest = max([one.last_success_at for one in sources if one.last_success_at], default=None)
    return DeviceState(
        **known,
        customer=linked_name or name,
        status=Status(status),
        sources=sources,
        color_bar=color_bar or "",
        last_success_at=worst_success(sources) if sources else last_success,
        any_success_at=newest or last_success,
        alert_after=limit_of[known["device_type"], linked_name or name, name],
        as_of=now,
        standing=tuple(news.from_json(conditions).values()) if conditions else (),
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


def read_sessions(database: Database, since: datetime) -> Iterator[PlotSessions]:
    """Yield the recorded sessions from a moment on, by device and source, without holding them all.

    The database packs them: a fleet has hundreds of thousands, each of which would cost more here than there.
    """
    sessions = database.tables.sessions
    minute = cast(func.floor((extract("epoch", sessions.c.session_at) - int(since.timestamp())) / 60), BigInteger)
    status = case({one.value: place for place, one in enumerate(PLOT_STATUSES)}, value=sessions.c.status)
    packed = func.aggregate_strings(cast(minute * 4 + status, String), ",")
    key = (sessions.c.account_id, sessions.c.data_source)
    query = select(*key, packed).where(sessions.c.session_at >= since).group_by(*key)
    with database.transaction() as connection:
        for account_id, source, numbers in connection.execution_options(yield_per=5000).execute(query):
            yield PlotSessions(account_id, source, [*map(int, numbers.split(","))])

"""A page of devices into the database: what is read, compared with what is recorded, written where it differs.

This is the place where Cove's words become Backupchecks'. One transaction, a fixed number of statements.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from types import MappingProxyType
from typing import Any

from cove_poller.changes import compare, merged
from cove_poller.columns import DataSource, label
from cove_poller.config import BackupchecksSettings
from cove_poller.job_runs import Subject, Tally, save_runs
from cove_poller.linker import Linker, Links
from cove_poller.models import Device, describe_columns
from cove_poller.past import NO_PAST, Past
from cove_poller.runs import Review, RunPolicy
from cove_poller.sessions import (
    UNREADABLE,
    DeviceReading,
    RecordedSession,
    Session,
    SourceKey,
    SourceReading,
    read_device,
    settle_doubts,
    with_silence,
)
from cove_poller.status import SEVERITY, Status, code_name, worst
from cove_poller.store import Span, Store

LAST_SEEN_PRECISION = timedelta(hours=1)
"""A device of which nothing else is new is not written again just to say that it was seen again."""

MIDNIGHT = time(tzinfo=UTC)
DAY = timedelta(days=1)
NO_PASTS: Mapping[int, Past] = MappingProxyType({})

Row = Mapping[str, Any]
SourceAndOrigin = tuple[str, str]


@dataclass
class Outcome:
    """What became of the devices so far. `failures` make a run partial, `warnings` do not."""

    devices: int = 0
    running: int = 0
    unlinked: int = 0
    sessions: Tally = field(default_factory=Tally)
    new_by_source: Counter[SourceAndOrigin] = field(default_factory=Counter)
    job_runs: Tally = field(default_factory=Tally)
    new_customers: list[str] = field(default_factory=list)
    new_jobs: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        """Count what became of further devices."""
        self.devices += other.devices
        self.running += other.running
        self.unlinked += other.unlinked
        self.sessions.add(other.sessions)
        self.new_by_source.update(other.new_by_source)
        self.job_runs.add(other.job_runs)
        for name in ("new_customers", "new_jobs", "failures", "warnings"):
            getattr(self, name).extend(getattr(other, name))


@dataclass
class DeviceChanges:
    """What a page adds to the record of a device; `newest` has each source's newest session then."""

    new: list[Session] = field(default_factory=list)
    changed: list[RecordedSession] = field(default_factory=list)
    removed: list[RecordedSession] = field(default_factory=list)
    unchanged_count: int = 0
    newest: dict[str, Session] = field(default_factory=dict)
    moments: list[datetime] = field(default_factory=list)


@dataclass
class Recorder:
    """Records the pages of one login."""

    login: str
    settings: BackupchecksSettings
    overrides: Mapping[int, Status]
    linker: Linker
    review: Review | None = None

    def save_page(
        self,
        store: Store,
        devices: Sequence[Device],
        refused: Iterable[str],
        now: datetime,
        pasts: Mapping[int, Past] = NO_PASTS,
    ) -> Outcome:
        """Write what `devices`, and the `pasts` of some of them, show that is not recorded yet.

        Return what that was, true once it is committed.
        """
        outcome = Outcome()
        previous = store.devices(device.account_id for device in devices)
        devices = [device for device in devices if _is_believable(device, previous.get(device.account_id), outcome)]
        readings = {device.account_id: read_device(device, refused, self.overrides) for device in devices}
        changes = compare_with_record(store, readings, pasts, now)
        for device in devices:
            account, newest = device.account_id, changes[device.account_id].newest
            readings[account] = with_silence(readings[account], device.sources, newest)
            if newest and problems(readings[account]) != recorded_problems(previous.get(account)):
                changes[account].moments.append(max(session.session_at for session in newest.values()))
        links = self.linker.link(store, [one for one in devices if not _is_ignored(previous.get(one.account_id))])
        rows = [
            device_row(device, readings[device.account_id], changes[device.account_id].newest, self.login, now)
            | {"job_id": links.jobs.get(device.account_id)}
            | pasts.get(device.account_id, NO_PAST).note()
            for device in devices
        ]
        self._save_devices(store, rows, previous, now)
        changed_ids = save_sessions(store, changes, outcome)
        subjects = {
            account: Subject(
                job_id=job_id,
                reading=readings[account],
                changed_since=min(changes[account].moments, default=None),
                changed_ids=frozenset(changed_ids.get(account, ())),
                orphaned_run_ids=frozenset(one.job_run_id for one in changes[account].removed if one.job_run_id),
            )
            for account, job_id in links.jobs.items()
        }
        policy = run_policy(self.settings, store.remark_limit(), store.objects.limits())
        outcome.job_runs.add(save_runs(store, subjects, policy, now, self.review))
        count(outcome, devices, readings, links, previous)
        outcome.warnings += [
            f"{device_name(device)}: Cove's total says what none of its data sources explains, {total}"
            for device in devices
            if (total := unexplained_total(readings[device.account_id], changes[device.account_id].newest, policy))
        ]
        return outcome

    def _save_devices(self, store: Store, rows: Sequence[Row], previous: Mapping[int, Row], now: datetime) -> None:
        new = [{**row, "first_seen_at": now, "ignored": False} for row in rows if row["account_id"] not in previous]
        complete = [_continued(row, previous[row["account_id"]]) for row in rows if row["account_id"] in previous]
        store.save_devices(new, [row for row in complete if _differs(row, previous[row["account_id"]])])


def _is_believable(device: Device, previous: Row | None, outcome: Outcome) -> bool:
    """Whether Cove says anything of a device that has sessions: silence there is no news, but a failure."""
    if device.sources or previous is None or previous["last_session_at"] is None:
        return True
    outcome.failures.append(
        f"{device_name(device)}: Cove sends no backup column for it, though it has run before; nothing was changed"
    )
    return False


def save_sessions(store: Store, changes: Mapping[int, DeviceChanges], outcome: Outcome) -> dict[int, set[int]]:
    """Write the sessions. Return the ids of those written, by account."""
    store.remove_sessions(session.id for one in changes.values() for session in one.removed)
    new = store.insert_sessions((account, session) for account, one in changes.items() for session in one.new)
    changed = store.update_sessions(session for one in changes.values() for session in one.changed)
    unchanged_count = sum(one.unchanged_count for one in changes.values())
    outcome.sessions.add(Tally(new=len(new), updated=len(changed), unchanged=unchanged_count))
    outcome.new_by_source.update((row["data_source"], row["origin"]) for row in new)
    written: dict[int, set[int]] = defaultdict(set)
    for row in (*new, *changed):
        written[row["account_id"]].add(row["id"])
    return written


def problems(reading: DeviceReading) -> dict[str, str]:
    """Why the health of an active source is not known, by source."""
    return {code: one.reason for code, one in reading.blindness.items() if code != DataSource.TOTAL}


def recorded_problems(previous: Row | None) -> dict[str, str]:
    """The same of the poll before."""
    states = previous["data_sources"] if previous else {}
    return {code: state["problem"] for code, state in states.items() if state["problem"]}


def unexplained_total(reading: DeviceReading, newest: Mapping[str, Session], policy: RunPolicy) -> str | None:
    """The total's newest session in words, if it is worse than every source's and lies behind them all."""
    total = newest.get(DataSource.TOTAL)
    sources = [newest[code] for code in reading.active_sources if code in newest]
    if total is None or not sources or reading.total_stands_in or reading.running:
        return None
    last = max(session.session_at for session in sources)
    gravest = worst(session.status for session in sources)
    if total.session_at <= last + policy.gap or SEVERITY[total.status] <= SEVERITY[gravest]:
        return None
    return f"{code_name(total.status_code)} at {total.session_at:%Y-%m-%d %H:%M}Z"


def count(
    outcome: Outcome,
    devices: Sequence[Device],
    readings: Mapping[int, DeviceReading],
    links: Links,
    previous: Mapping[int, Row],
) -> None:
    """Count the devices, and say what a person should know of them."""
    outcome.devices += len(devices)
    outcome.running += sum(reading.running for reading in readings.values())
    outcome.unlinked += len(links.unlinked)
    outcome.new_customers += links.new_customers
    outcome.new_jobs += links.new_jobs
    for device in devices:
        before = previous.get(device.account_id)
        reason = links.unlinked.get(device.account_id)
        if reason and (before is None or before["job_id"] is not None):
            outcome.warnings.append(f"{device_name(device)} belongs to no job, so nobody sees its runs: {reason}")
        if device.malformed:
            columns = describe_columns(sorted(device.malformed))
            outcome.warnings.append(f"{device_name(device)}: Cove sends what cannot be read in {columns}")
        _tell_blindness(outcome, device, readings[device.account_id], before)


def _tell_blindness(outcome: Outcome, device: Device, reading: DeviceReading, previous: Row | None) -> None:
    """Sources of which Cove should tell and does not make a run partial; those it never tells of are news once.

    What it refuses, or garbles, has a warning of its own.
    """
    known = recorded_problems(previous)
    for code, blindness in reading.blindness.items():
        text = f"{device_name(device)}: {label(code)}: {blindness.reason}"
        if blindness.reason != UNREADABLE:
            outcome.failures.append(text)
        elif code not in set(DataSource) and known.get(code) != UNREADABLE:
            outcome.warnings.append(text)


def run_policy(
    settings: BackupchecksSettings,
    remark_limit: int | None = None,
    object_limits: Mapping[str, int | None] | None = None,
) -> RunPolicy:
    """What the configuration says of runs."""
    words = settings.status
    return RunPolicy(
        gap=timedelta(minutes=settings.round_gap_minutes),
        span=timedelta(minutes=settings.round_span_minutes),
        settle=timedelta(minutes=settings.settle_minutes),
        total_decides=settings.overall == "total",
        words={Status.SUCCESS: words.success, Status.WARNING: words.warning, Status.FAILED: words.failed},
        remark_limit=remark_limit,
        object_limits=object_limits,
    )


def compare_with_record(
    store: Store, readings: Mapping[int, DeviceReading], pasts: Mapping[int, Past], now: datetime
) -> dict[int, DeviceChanges]:
    """What the readings and pasts (by account id) add to the recorded sessions."""
    by_source = {
        (account, source): reading.sources.get(source, SourceReading())
        for account, reading in readings.items()
        for source in {*reading.sources, *pasts.get(account, NO_PAST).sources}
    }
    found_records = (*store.sessions_near(_times(by_source, now)), *store.sessions_in(_spans(by_source, pasts)))
    recorded: dict[SourceKey, list[RecordedSession]] = {}
    for record in {record.id: record for record in found_records}.values():
        recorded.setdefault((record.account_id, record.data_source), []).append(record)
    changes = {account: DeviceChanges() for account in readings}
    known = {key: (*recorded.get(key, ()), *pasts.get(key[0], NO_PAST).sessions_of(key[1])) for key in by_source}
    for (account, source), told in settle_doubts(by_source, known, now).items():
        past = pasts.get(account, NO_PAST)
        records, change = recorded.get((account, source), []), changes[account]
        covered = past.covered(source)
        seen = merged(told, past.sessions_of(source), is_complete=covered is not None)
        found = compare(seen, records, covered)
        old = {record.id: record for record in records}
        change.new += found.new
        change.changed += found.changed
        change.removed += found.removed
        change.unchanged_count += found.unchanged_count
        change.moments += [one.session_at for one in (*found.new, *found.changed, *found.removed)]
        change.moments += [old[one.id].session_at for one in found.changed]
        gone = {one.id for one in found.removed}
        better = (old | {one.id: one for one in found.changed}).values()
        left = [*(one for one in better if one.id not in gone), *found.new]
        if left:
            change.newest[source] = max(left, key=lambda session: session.session_at)
    return changes


def _times(by_source: Mapping[SourceKey, SourceReading], now: datetime) -> Iterator[tuple[int, str, datetime]]:
    """The moments next to which a record may be of what the readings show."""
    for (account, source), reading in by_source.items():
        times = {now, *(at for one in reading.sessions for at in (one.session_at, one.started_at) if at)}
        yield from ((account, source, moment) for moment in times)


def _spans(by_source: Mapping[SourceKey, SourceReading], pasts: Mapping[int, Past]) -> Iterator[Span]:
    """The days of which a session, or a mark of the colour bar, tells, and all that a past does."""
    for (account, source), reading in by_source.items():
        past = pasts.get(account, NO_PAST)
        days = {at.date() for one in reading.sessions for at in (one.session_at, one.started_at) if at}
        for day in days:
            begin = datetime.combine(day, MIDNIGHT)
            yield Span(account, source, begin, begin + DAY, only_if_marked=True)
        if sessions := past.sessions_of(source):
            times = [at for one in sessions for at in (one.session_at, one.begins_at)]
            yield Span(account, source, _midnight(min(times)), _midnight(max(times)) + DAY)
        if covered := past.covered(source):
            yield Span(account, source, covered.since, covered.until)


def _midnight(moment: datetime) -> datetime:
    return datetime.combine(moment.date(), MIDNIGHT)


def device_row(
    device: Device, reading: DeviceReading, newest: Mapping[str, Session], login: str, now: datetime
) -> dict[str, Any]:
    """The newest state of a device as a row of `cove_devices`, but for what goes on from the row before."""
    total = device.sources.get(DataSource.TOTAL)
    successes = [one.last_success_at for one in device.sources.values() if one.last_success_at]
    counting = [newest[code].status for code in (*reading.active_sources, DataSource.TOTAL) if code in newest]
    return {
        "account_id": device.account_id,
        "login": login,
        "partner_id": device.partner_id,
        "device_name": device.name,
        "computer_name": device.fields.computer_name,
        "customer_name": device.fields.customer_name,
        "device_type": device.device_type,
        "data_sources": source_states(device, reading, newest),
        "color_bar": total.color_bar if total else None,
        "status": worst([*counting, *(blindness.floor for blindness in reading.blindness.values())]).value,
        "status_code": total.last_status if total else None,
        "last_session_at": max((session.session_at for session in newest.values()), default=None),
        "last_success_at": max(successes, default=None),
        "running_since": now if reading.running else None,
        "last_seen_at": now,
        "gone_at": None,
    }


def source_states(device: Device, reading: DeviceReading, newest: Mapping[str, Session]) -> dict[str, Any]:
    """The newest state of each active data source, ready for JSON. Times are Unix seconds."""
    states: dict[str, Any] = {}
    for code in reading.active_sources:
        fields, session, source = device.sources.get(code), newest.get(code), reading.sources[code]
        success = fields.last_success_at if fields else None
        states[code] = {
            "status": session.status.value if session else Status.NONE.value,
            "status_code": session.status_code if session else None,
            "errors_count": session.errors_count if session else None,
            "last_session_at": int(session.session_at.timestamp()) if session else None,
            "last_success_at": int(success.timestamp()) if success else None,
            "color_bar": fields.color_bar if fields else None,
            "running": source.running,
            "problem": source.blindness.reason if source.blindness else None,
        }
    return states


def _continued(row: Row, previous: Row) -> dict[str, Any]:
    """The row with what goes on from the one before it."""
    kept = {name: previous[name] for name in ("first_seen_at", "ignored", "stale_since")}
    if row["running_since"] and previous["running_since"]:
        kept["running_since"] = previous["running_since"]
    if row["last_success_at"] is None:
        kept["last_success_at"] = previous["last_success_at"]
    if "history" not in row:
        kept["history"] = previous["history"]
    if previous["ignored"]:
        kept["job_id"] = previous["job_id"]
    return {**row, **kept}


def _differs(row: Row, previous: Row) -> bool:
    if row["last_seen_at"] - previous["last_seen_at"] >= LAST_SEEN_PRECISION:
        return True
    return any(previous[key] != value for key, value in row.items() if key != "last_seen_at")


def _is_ignored(previous: Row | None) -> bool:
    return previous is not None and bool(previous["ignored"])


def device_name(device: Device) -> str:
    """A device as a mail names it."""
    return f"device {device.account_id} {device.name} ({device.fields.customer_name})"

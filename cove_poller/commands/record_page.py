"""A page of devices into the database: what is read, compared with what is recorded, written where it differs.

This is the place where Cove's words become Backupchecks'. One transaction, a fixed number of statements.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cove_poller.commands.record_jobs import Linker, Links
from cove_poller.commands.record_runs import Subject, Tally, save_runs
from cove_poller.commands.record_sessions import NO_PASTS, DeviceChanges, compare_with_record
from cove_poller.config.settings import BackupchecksSettings
from cove_poller.database.store import Store
from cove_poller.records.columns import DataSource, label
from cove_poller.records.device import Device, describe_columns
from cove_poller.records.device_record import Row, continued, device_row, differs
from cove_poller.records.past import NO_PAST, Past
from cove_poller.records.reading import UNREADABLE, DeviceReading, read_device, with_silence
from cove_poller.records.run_plan import Review, RunPolicy
from cove_poller.records.session import Session
from cove_poller.records.statuses import SEVERITY, Status, Statuses, code_name, worst

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
class Recorder:
    """Records the pages of one login."""

    login: str
    settings: BackupchecksSettings
    statuses: Statuses
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
        previous = store.devices.rows(device.account_id for device in devices)
        devices = [device for device in devices if _is_believable(device, previous.get(device.account_id), outcome)]
        readings = {device.account_id: read_device(device, refused, self.statuses) for device in devices}
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
        policy = run_policy(self.settings, store.runs.remark_limit(), store.runs.objects.limits())
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
        complete = [continued(row, previous[row["account_id"]]) for row in rows if row["account_id"] in previous]
        store.devices.save(new, [row for row in complete if differs(row, previous[row["account_id"]])])


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
    store.sessions.remove(session.id for one in changes.values() for session in one.removed)
    new = store.sessions.insert((account, session) for account, one in changes.items() for session in one.new)
    changed = store.sessions.update(session for one in changes.values() for session in one.changed)
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


def _is_ignored(previous: Row | None) -> bool:
    return previous is not None and bool(previous["ignored"])


def device_name(device: Device) -> str:
    """A device as a mail names it."""
    return f"device {device.account_id} {device.name} ({device.fields.customer_name})"

"""A page of devices into the database: gather what is recorded, decide what is new, write it.

This is the place where Cove's words become Backupchecks'. One transaction, a fixed number of statements.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from cove_poller.commands.record_jobs import Linker, Links
from cove_poller.commands.record_runs import Subject, Tally, recorded_histories, run_policy, save_runs
from cove_poller.commands.record_sessions import Recorded, SavedSessions, Seen, recorded_sessions, save_sessions
from cove_poller.config.settings import Config
from cove_poller.database.store import Store
from cove_poller.records import news
from cove_poller.records.columns import DataSource
from cove_poller.records.device import Device
from cove_poller.records.device_changes import DeviceChanges, device_changes
from cove_poller.records.device_record import Row, continued, device_row, differs
from cove_poller.records.device_troubles import ROW, device_troubles
from cove_poller.records.overview import alert_after
from cove_poller.records.past import NO_PAST, Past
from cove_poller.records.reading import Circumstances, DeviceReading, SourceReading, read_device, with_vanished
from cove_poller.records.run_plan import Review, RunPolicy
from cove_poller.records.silence import silence_limit, silent_since
from cove_poller.records.source_history import (
    NOTHING,
    Look,
    SourceHistory,
    with_silence,
)
from cove_poller.records.statuses import Statuses

NO_PASTS: Mapping[int, Past] = MappingProxyType({})
OFF_DIGITS = frozenset("07")
OFF_DAYS = 2


@dataclass(frozen=True)
class Standing:
    """What has been wrong with a device since some moment, whether somebody is told now or was before."""

    account_id: int
    what: str
    since: datetime


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
    standing: list[Standing] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        """Count what became of further devices."""
        self.devices += other.devices
        self.running += other.running
        self.unlinked += other.unlinked
        self.sessions.add(other.sessions)
        self.new_by_source.update(other.new_by_source)
        self.job_runs.add(other.job_runs)
        for name in ("new_customers", "new_jobs", "failures", "warnings", "standing"):
            getattr(self, name).extend(getattr(other, name))


@dataclass(frozen=True)
class Work:
    """A device of a page in work: what Cove says of it, what was recorded, what that means, and what changes."""

    device: Device
    previous: Row | None
    look: Look
    histories: Mapping[str, SourceHistory]
    reading: DeviceReading
    past: Past = NO_PAST
    changes: DeviceChanges = field(default_factory=DeviceChanges)

    @property
    def account_id(self) -> int:
        return self.device.account_id

    @property
    def is_ignored(self) -> bool:
        return self.previous is not None and bool(self.previous["ignored"])

    @property
    def replan_since(self) -> datetime | None:
        return self.previous["replan_since"] if self.previous else None


@dataclass
class Recorder:
    """Records the pages of one login. `looked_at` is when a poll last saw all of its devices."""

    login: str
    config: Config
    linker: Linker
    looked_at: datetime | None = None
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
        page = self._gathered(store, devices, frozenset(refused), now, pasts)
        recorded = recorded_sessions(store, (Seen(one.account_id, one.reading, one.past, now) for one in page))
        page = [self._decided(one, recorded.get(one.account_id, {})) for one in page]
        links = self.linker.link(store, [one.device for one in page if not one.is_ignored and _has_a_name(one.device)])
        told = {one.account_id: self._news(one, links, now) for one in page}
        self._save_devices(store, page, links, told, now)
        saved = save_sessions(store, {one.account_id: one.changes for one in page})
        subjects = {
            one.account_id: _subject(one, links.jobs[one.account_id], saved)
            for one in page
            if one.account_id in links.jobs
        }
        return _outcome(page, links, told, saved, save_runs(store, subjects, self._policy(store), now, self.review))

    def save_gone(self, store: Store, now: datetime) -> Tally:
        """Write what waits of devices that Cove no longer lists: nothing of them will join their newest round."""
        rows = store.devices.gone_and_waiting(self.login, now)
        subjects = {
            account: Subject(row["job_id"], recorded_histories(row, {}), changed_since=row["replan_since"])
            for account, row in rows.items()
        }
        tally = save_runs(store, subjects, self._policy(store), now, self.review)
        store.devices.note_replanned(rows)
        return tally

    def _policy(self, store: Store) -> RunPolicy:
        return run_policy(self.config.backupchecks, store.runs.remark_limit(), store.runs.objects.limits())

    def _gathered(
        self, store: Store, devices: Sequence[Device], refused: frozenset[str], now: datetime, pasts: Mapping[int, Past]
    ) -> list[Work]:
        """Each device with what is recorded of it, and what its row means by that."""
        rows = store.devices.rows(device.account_id for device in devices)
        ends = store.sessions.newest_ends([one for one, row in rows.items() if row["source_history"] is None])
        statuses = Statuses.from_config(self.config.status)
        page = []
        for device in devices:
            row = rows.get(device.account_id)
            histories = recorded_histories(row, ends.get(device.account_id, {}))
            around = Circumstances(now, statuses, times_are={code: one.times_are for code, one in histories.items()})
            reading = _as_known(device, read_device(device, refused, around), row, histories)
            look = Look(now, self._look_before(row))
            past = pasts.get(device.account_id, NO_PAST)
            page.append(Work(device, row, look, histories, reading, past))
        return page

    def _look_before(self, row: Row | None) -> datetime | None:
        """When the device was last seen; a poll that saw all devices saw it, unless it was gone or left out."""
        if row is None:
            return None
        last_seen_at: datetime = row["last_seen_at"]
        was_left_out = row["gone_at"] is not None or ROW in (row["conditions"] or {})
        return last_seen_at if was_left_out or self.looked_at is None else max(last_seen_at, self.looked_at)

    def _decided(self, work: Work, recorded: Recorded) -> Work:
        """The device with what its reading and its past add to what is recorded, and which sources are silent."""
        gap = timedelta(minutes=self.config.api.gap_minutes)
        changes = device_changes(work.reading, work.past, recorded, work.histories, work.look, gap)
        return replace(work, changes=replace(changes, sources=self._with_silence(work, changes.sources)))

    def _with_silence(self, work: Work, histories: Mapping[str, SourceHistory]) -> dict[str, SourceHistory]:
        device, now = work.device, work.look.at
        customer = device.fields.customer_name or ""
        names = [self.config.backupchecks.customers.get(customer, customer), customer]
        alert = alert_after(self.config.alerts, device.device_type, names)
        known_since = work.previous["first_seen_at"] if work.previous else now
        found = dict(histories)
        for code in work.reading.active_sources:
            history, read = histories.get(code, NOTHING), work.reading.sources[code]
            fields = device.sources.get(code)
            limit = silence_limit(alert, history.recent, (fields.color_bar or "") if fields else "")
            since = None if read.running or _is_off(work) else silent_since(history, known_since, limit, now)
            found[code] = with_silence(history, since, history.recent[-1] if history.recent else None)
        return found

    def _news(self, work: Work, links: Links, now: datetime) -> news.News:
        gap = timedelta(minutes=self.config.backupchecks.round_gap_minutes)
        unlinked = links.unlinked.get(work.account_id)
        present = device_troubles(work.device, work.reading, work.changes, unlinked, gap)
        before = news.from_json(work.previous["conditions"] if work.previous else None)
        return news.news(before, present, now, self.config.alerts.remind)

    def _save_devices(
        self, store: Store, page: Sequence[Work], links: Links, told: Mapping[int, news.News], now: datetime
    ) -> None:
        new, changed = [], []
        for one in page:
            row = device_row(one.device, one.reading, one.changes, one.previous, login=self.login, now=now)
            is_linked = one.account_id in links.jobs
            row |= {"job_id": links.jobs.get(one.account_id), "conditions": news.to_json(told[one.account_id].standing)}
            row |= {"replan_since": None if is_linked else one.replan_since} | one.past.note()
            if one.previous is None:
                new.append({**row, "first_seen_at": now, "ignored": False})
            elif differs(complete := continued(row, one.previous), one.previous):
                changed.append(complete)
        store.devices.save(new, changed)


def _has_a_name(device: Device) -> bool:
    return bool(device.fields.name and device.fields.customer_name)


def _as_known(
    device: Device, reading: DeviceReading, row: Row | None, histories: Mapping[str, SourceHistory]
) -> DeviceReading:
    """The reading with the sources that are on record and of which the row says nothing any more."""
    if not device.sources and row and row["data_sources"]:
        sources = {code: SourceReading() for code in row["data_sources"]} | dict(reading.sources)
        reading = DeviceReading(sources, tuple(sorted({*reading.active_sources, *row["data_sources"]})))
    recorded = {code for code, history in histories.items() if history.recent}
    return with_vanished(reading, device.sources.keys(), recorded)


def _is_off(work: Work) -> bool:
    """Whether it is a workstation that is merely switched off."""
    if work.device.device_type != "Workstation":
        return False
    total = work.device.sources.get(DataSource.TOTAL)
    last_days = ((total.color_bar or "") if total else "")[-OFF_DAYS:]
    is_idle = len(last_days) == OFF_DAYS and OFF_DIGITS.issuperset(last_days)
    return is_idle or any(one.not_started for one in work.reading.sources.values())


def _subject(work: Work, job_id: int, saved: SavedSessions) -> Subject:
    changes = work.changes
    moments = [*changes.moments, *([work.replan_since] if work.replan_since else [])]
    return Subject(
        job_id=job_id,
        sources=changes.sources,
        running=work.reading.running,
        changed_since=min(moments, default=None),
        changed_ids=saved.ids.get(work.account_id, frozenset()),
        worse_ids=changes.worse_ids,
        orphaned_run_ids=frozenset(one.job_run_id for one in changes.removed if one.job_run_id),
    )


def _outcome(
    page: Sequence[Work], links: Links, told: Mapping[int, news.News], saved: SavedSessions, runs: Tally
) -> Outcome:
    """What became of a page, and what is to be said of it."""
    lines = [line for found in told.values() for line in found.lines()]
    return Outcome(
        devices=len(page),
        running=sum(one.reading.running for one in page),
        unlinked=len(links.unlinked),
        sessions=Tally(saved.new, saved.updated, sum(one.changes.unchanged_count for one in page)),
        new_by_source=saved.new_by_source,
        job_runs=runs,
        new_customers=links.new_customers,
        new_jobs=links.new_jobs,
        failures=[text for is_failure, text in lines if is_failure],
        warnings=[text for is_failure, text in lines if not is_failure],
        standing=[
            Standing(account, condition.what, condition.since)
            for account, found in told.items()
            for condition in found.standing.values()
        ],
    )

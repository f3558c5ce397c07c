"""A record of one device in memory: what the rules make of polls and histories, without a database. For rules only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cove_poller.records.device import StatisticsRow, device_from_row
from cove_poller.records.device_changes import DeviceChanges, device_changes
from cove_poller.records.device_reading import DeviceReading, read_device, with_vanished
from cove_poller.records.health.silence import silence_limit, silent_since
from cove_poller.records.past import NO_PAST, Past
from cove_poller.records.reading import Circumstances, Problem
from cove_poller.records.runs.device_history import DeviceHistory, RecordedRun
from cove_poller.records.runs.run_content import RunPolicy
from cove_poller.records.runs.run_plan import plan_runs
from cove_poller.records.session import Origin, RecordedSession, Session, TimeIs
from cove_poller.records.source_history import Look, SourceHistory, from_json, to_json, with_silence
from cove_poller.records.statuses import Status, Statuses
from cove_poller.records.window import Window

WORDS = {Status.SUCCESS: "Success", Status.WARNING: "Warning", Status.FAILED: "Failed"}
POLICY = RunPolicy(timedelta(minutes=15), timedelta(minutes=360), timedelta(minutes=60), "worst", WORDS)
DAY_ONE = datetime(2026, 3, 2, tzinfo=UTC)
"""A Monday."""

LIMITS = {"server": timedelta(hours=48), "workstation": timedelta(hours=168), "m365": timedelta(hours=48)}
SOURCES = {"m365": "D19D20"}


def at(hours: float, day: int = 0) -> datetime:
    """A moment so many hours after the beginning of a day."""
    return DAY_ONE + timedelta(days=day, seconds=round(hours * 3600))


def unix(moment: datetime) -> str:
    return str(int(moment.timestamp()))


def fields(status: int | None = None, **times: Any) -> dict[str, str]:
    """The columns of a source by their field codes: times as moments, counts as numbers."""
    values = {code: unix(value) if isinstance(value, datetime) else str(value) for code, value in times.items()}
    return ({} if status is None else {"F00": str(status)}) | values


def ended(end: datetime, status: int = 5, seconds: int | None = None, **more: Any) -> dict[str, str]:
    """The columns of a source whose last session has ended then, F15 and F09 being ends."""
    values: dict[str, Any] = {"F15": end, "F17": status, "F18": end}
    if status in (5, 8):
        values |= {"F09": end, "F16": status}
    if seconds is not None:
        values["F12"] = seconds
    return fields(status, **(values | more))


def row(
    source: str, end: datetime, status: int = 5, minutes: float | None = None, errors: int | None = None
) -> Session:
    """A session as a device's history tells it."""
    start = None if minutes is None else end - timedelta(minutes=minutes)
    code = 8 if status == 5 and errors else status
    return Session(source, end, start, Statuses().meaning(code), code, errors, Origin.SESSIONS, time_is=TimeIs.END)


@dataclass
class Ledger:
    """The record of a device of one kind: "server", "workstation" or "m365"."""

    kind: str = "server"
    active: str = "D01"
    policy: RunPolicy = POLICY
    gap: timedelta = timedelta(minutes=75)
    rhythm: timedelta = timedelta(minutes=30)
    sessions: dict[int, RecordedSession] = field(default_factory=dict)
    runs: dict[int, RecordedRun] = field(default_factory=dict)
    histories: dict[str, SourceHistory] = field(default_factory=dict)
    looks: list[datetime] = field(default_factory=list)
    reading: DeviceReading | None = None
    writes: int = 0
    number: int = 0

    def poll(self, now: datetime, refused: Iterable[str] = (), **sources: Mapping[str, str]) -> DeviceReading:
        """Look at the device: the columns of each source, for example D01=ended(...)."""
        device = device_from_row(self._row(sources))
        around = Circumstances(now, times_are={code: one.times_are for code, one in self.histories.items()})
        reading = read_device(device, refused, around)
        reading = with_vanished(reading, device.sources.keys(), {one.data_source for one in self.sessions.values()})
        look = Look(now, self.looks[-1] if self.looks else None)
        self.looks.append(now)
        self.reading = reading
        self._record(reading, NO_PAST, look, {code: values.get("F08", "") for code, values in sources.items()})
        return reading

    def history(
        self,
        now: datetime,
        since: datetime,
        rows: Iterable[Session],
        *,
        until: datetime | None = None,
        context: Iterable[Session] = (),
        problems: Mapping[str, str] | None = None,
        complete: Iterable[str] | None = None,
    ) -> None:
        """Read the device's past from a moment on: all that happened, but for the sources with problems."""
        reasons = {code: Problem(Status.WARNING, why) for code, why in (problems or {}).items()}
        listed = {code[:3] for code in self._codes()} | {one.data_source for one in rows}
        whole = frozenset(listed if complete is None else complete) - reasons.keys()
        window = Window(since, until or now)
        past = Past(
            window,
            now,
            tuple(one for one in rows if one.session_at in window),
            complete_sources=whole,
            context={one.data_source: one for one in context},
            problems=reasons,
        )
        self._record(self.reading or DeviceReading({}, ()), past, Look(now, self.looks[-1] if self.looks else None), {})

    def review(self) -> None:
        """Mark every run as reviewed."""
        self.runs = {number: replace(run, reviewed=True) for number, run in self.runs.items()}

    def gone(self, now: datetime) -> None:
        """Let Cove no longer list the device."""
        self._plan(DeviceChanges(sources=self.histories), now, set(), running=False)

    @property
    def told(self) -> list[tuple[datetime, str]]:
        """The runs as Backupchecks shows them."""
        return sorted((run.run_at, run.status) for run in self.runs.values())

    @property
    def statuses(self) -> list[str]:
        return [status for _, status in self.told]

    def remark(self, run_at: datetime) -> str:
        return next(run.remark for run in self.runs.values() if run.run_at == run_at)

    def of(self, source: str) -> list[tuple[datetime, int | None]]:
        """The recorded sessions of a source, with their codes."""
        found = (one for one in self.sessions.values() if one.data_source == source)
        return sorted((one.session_at, one.status_code) for one in found)

    def rows(self) -> list[tuple[Any, ...]]:
        """All that is recorded, but for numbers that depend on the order."""
        return [
            *sorted((s.data_source, s.session_at, s.started_at, s.status_code) for s in self.sessions.values()),
            *((run.run_at, run.status, run.remark) for run in sorted(self.runs.values(), key=lambda one: one.run_at)),
        ]

    def _codes(self) -> list[str]:
        return [self.active[place : place + 3] for place in range(0, len(self.active), 3)]

    def _row(self, sources: Mapping[str, Mapping[str, str]]) -> StatisticsRow:
        settings = {f"{source}{code}": value for source, values in sources.items() for code, value in values.items()}
        settings |= {"I1": "srv", "I8": "Example Bakery", "I78": self.active}
        settings |= {"I32": {"server": "2", "workstation": "1"}.get(self.kind, "0")}
        settings |= {"I59": "2"} if self.kind == "m365" else {"I59": "1", "I18": "SRV"}
        pairs = [{code: one} for code, one in settings.items()]
        return StatisticsRow(1, 1001, pairs)

    def _record(self, reading: DeviceReading, past: Past, look: Look, bars: Mapping[str, str]) -> None:
        by_source: dict[str, list[RecordedSession]] = {}
        for one in sorted(self.sessions.values(), key=lambda session: session.session_at):
            by_source.setdefault(one.data_source, []).append(one)
        changes = device_changes(reading, past, by_source, self.histories, look, self.gap)
        ids = self._write(changes)
        self._note_silence(changes, reading, look.at, bars)
        self._plan(changes, look.at, ids, running=reading.running and self.rhythm <= self.policy.settle)

    def _write(self, changes: DeviceChanges) -> set[int]:
        for one in changes.removed:
            del self.sessions[one.id]
        for changed in changes.changed:
            self.sessions[changed.id] = changed
        ids = {one.id for one in changes.changed}
        for session in changes.new:
            self.number += 1
            values = {name: getattr(session, name) for name in Session.__dataclass_fields__}
            self.sessions[self.number] = RecordedSession(**values, id=self.number, account_id=1, job_run_id=None)
            ids.add(self.number)
        keys = [(one.data_source, one.session_at) for one in self.sessions.values()]
        assert len(keys) == len(set(keys)), "two sessions of one source at one moment"
        self.writes += len(changes.new) + len(changes.changed) + len(changes.removed)
        return ids

    def _note_silence(
        self, changes: DeviceChanges, reading: DeviceReading, now: datetime, bars: Mapping[str, str]
    ) -> None:
        self.histories = dict(changes.sources)
        for code in reading.active_sources:
            history = self.histories[code]
            limit = silence_limit(LIMITS[self.kind], history.recent, bars.get(code, ""))
            since = silent_since(history, self.looks[0] if self.looks else now, limit, now)
            is_running = reading.sources[code].running
            newest = history.recent[-1] if history.recent else None
            self.histories[code] = with_silence(history, None if is_running else since, newest)
        self.histories = from_json(to_json(self.histories))

    def _plan(self, changes: DeviceChanges, now: datetime, ids: set[int], *, running: bool) -> None:
        plan = plan_runs(
            DeviceHistory(
                sessions=sorted(self.sessions.values(), key=lambda one: (one.session_at, one.data_source)),
                earlier=(),
                runs=tuple(self.runs.values()),
                sources=self.histories,
                running=running,
                changed_ids=frozenset(ids),
                worse_ids=changes.worse_ids,
                orphaned_run_ids=frozenset(one.job_run_id for one in changes.removed if one.job_run_id),
                first_seen_at=self.looks[0] if self.looks else None,
            ),
            self.policy,
            now,
        )
        for run_id in plan.removed_ids:
            del self.runs[run_id]
        for session_id in plan.released_ids:
            self.sessions[session_id] = replace(self.sessions[session_id], job_run_id=None)
        for planned in (*plan.new, *plan.changed, *plan.unchanged):
            self.number += planned.run_id is None
            run_id = planned.run_id or self.number
            reviewed = self.runs[run_id].reviewed if run_id in self.runs else False
            content = planned.content
            self.runs[run_id] = RecordedRun(
                content.run_at, content.status, content.remark, run_id, reviewed, is_uncertain=content.is_uncertain
            )
            for session_id in planned.session_ids:
                self.sessions[session_id] = replace(self.sessions[session_id], job_run_id=run_id)
        for session_id in plan.context_ids:
            self.sessions[session_id] = replace(self.sessions[session_id], is_context=True)
        self.writes += len(plan.new) + len(plan.changed) + len(plan.removed_ids)
        moments = [run.run_at for run in self.runs.values()]
        assert len(moments) == len(set(moments)), "two runs at one moment"

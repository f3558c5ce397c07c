"""What is recorded of a device from some moment on, and what follows from it at each moment. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TypeVar

from cove_poller.records.columns import DataSource
from cove_poller.records.runs.rounds import by_end
from cove_poller.records.session import Origin, RecordedSession, Session, TimeIs
from cove_poller.records.source_history import SourceHistory
from cove_poller.records.statuses import SEVERITY, Status

S = TypeVar("S", bound=Session)
SECOND = timedelta(seconds=1)


OBJECT_TYPE = "Cove data source"
"""The device's backup type would mislead beside the name: it is the job's, and "SQL Server" is no server here."""


@dataclass(frozen=True, order=True)
class RunObject:
    """A data source of a run as Backupchecks lists it; a field that is not kept there is empty."""

    name: str = ""
    type: str = ""
    status: str = ""
    message: str = ""


@dataclass(frozen=True)
class JobRun:
    """A job run's content, in Backupchecks' words. Its objects are only told where they are kept.

    One that `is_uncertain` is of a time of which not all is known, so nobody may mark it as reviewed unseen.
    """

    run_at: datetime
    status: str
    remark: str
    objects: tuple[RunObject, ...] = field(default=(), kw_only=True, compare=False)
    is_uncertain: bool = field(default=False, kw_only=True, compare=False)


@dataclass(frozen=True)
class RecordedRun(JobRun):
    """A job run as the database has it. One that somebody has reviewed is never touched."""

    id: int
    reviewed: bool

    @property
    def content(self) -> JobRun:
        return JobRun(self.run_at, self.status, self.remark, objects=self.objects)

    def differs_from(self, content: JobRun) -> bool:
        """Whether it is to be written. That it has no objects is no reason: it was written when none were kept."""
        return self.content != content or bool(self.objects and sorted(self.objects) != sorted(content.objects))


@dataclass(frozen=True)
class DeviceHistory:
    """What is recorded of a device from some moment on.

    `earlier` has, of the sessions before that moment, the newest of each source and status. `runs` are those
    whose `run_at` is not before that moment, and those that the sessions are part of. `changed_ids` are the
    sessions that are new or changed, `worse_ids` those that became worse, `orphaned_run_ids` the runs of sessions
    that were removed. `running` says whether the newest round may still grow, `first_seen_at` when the device was
    polled first.
    """

    sessions: Sequence[RecordedSession]
    earlier: Sequence[RecordedSession]
    runs: Sequence[RecordedRun]
    sources: Mapping[str, SourceHistory]
    running: bool
    changed_ids: frozenset[int] = frozenset()
    worse_ids: frozenset[int] = frozenset()
    orphaned_run_ids: frozenset[int] = frozenset()
    first_seen_at: datetime | None = None
    awaits_history: bool = False

    @cached_property
    def _by_source(self) -> dict[str, list[RecordedSession]]:
        """All sessions of each source, the oldest first."""
        return _by_source(sorted((*self.earlier, *self.sessions), key=by_end))

    @cached_property
    def _successes(self) -> dict[str, list[RecordedSession]]:
        return {
            source: [one for one in sessions if one.status is Status.SUCCESS]
            for source, sessions in self._by_source.items()
        }

    def newest_at(self, moment: datetime) -> dict[str, RecordedSession]:
        """Return each source's newest session at that moment.

        Of one whose end is not known nobody can say that it had ended by then, so a graver one before it stands.
        """
        newest = _newest_at(self._by_source, moment)
        open_ended = {one.session_at for one in newest.values() if one.time_is is TimeIs.START}
        before = {at: _newest_at(self._by_source, at - SECOND) for at in open_ended}
        return {code: _graver(one, before.get(one.session_at, {}).get(code), moment) for code, one in newest.items()}

    def newest_success_at(self, moment: datetime) -> dict[str, RecordedSession]:
        """Each source's newest success at that moment."""
        return _newest_at(self._successes, moment)

    @cached_property
    def sources_known_since(self) -> datetime | None:
        """From when on a session of a source is known; before that Cove's total makes the rounds."""
        known = (
            one.session_at
            for code, sessions in self._by_source.items()
            for one in sessions
            if code != DataSource.TOTAL and not one.is_context and one.origin is not Origin.GAP
        )
        return min(known, default=None)

    def active_at(self, moment: datetime) -> set[str]:
        """Return the data sources that were active at that moment."""
        wanted = (code for code, one in self.sources.items() if one.was_active(moment) and not one.was_ignored(moment))
        return {*wanted} - {DataSource.TOTAL}

    def unknown_since(self, source: str, moment: datetime) -> datetime | None:
        """Return from when on nobody knows what the source did until after that moment; None if all is known."""
        sessions = self._by_source.get(source, [])
        following = sessions[bisect_right(sessions, moment, key=_end) :][:1]
        unknown = following[0].unknown_since if following else None
        return unknown if unknown is not None and unknown < moment else None

    def totals_between(self, begin: datetime, end: datetime) -> list[RecordedSession]:
        """The total's sessions that ended in that span, the oldest first."""
        totals = self._by_source.get(DataSource.TOTAL, [])
        return totals[bisect_left(totals, begin, key=_end) : bisect_right(totals, end, key=_end)]

    @cached_property
    def reviewed_ids(self) -> frozenset[int]:
        return frozenset(run.id for run in self.runs if run.reviewed)

    @cached_property
    def _cut_ids(self) -> frozenset[int]:
        """The runs of which only the end is here, in the very second in which the first round begins."""
        begin = min((one.session_at for one in self.sessions), default=None) if self.earlier else None
        first = {
            one.job_run_id for one in self.sessions if one.session_at == begin and one.data_source != DataSource.TOTAL
        }
        runs = sorted((run.run_at, run.id) for run in self.runs if run.id in first)
        return frozenset(run_id for _, run_id in runs[:-1])

    @cached_property
    def fixed_ids(self) -> frozenset[int]:
        """The runs that stay as they are, with their sessions."""
        return self.reviewed_ids | self._cut_ids

    @cached_property
    def fixed_moments(self) -> frozenset[datetime]:
        return frozenset(run.run_at for run in self.runs if run.id in self.fixed_ids)


def _end(session: Session) -> datetime:
    return session.session_at


def _graver(newest: RecordedSession, before: RecordedSession | None, moment: datetime) -> RecordedSession:
    """The newest session, or the one before it if that is graver and the newest may not have ended yet."""
    may_last = newest.time_is is TimeIs.START and newest.session_at < moment
    return before if before and may_last and SEVERITY[before.status] > SEVERITY[newest.status] else newest


def _by_source(ordered: Iterable[S]) -> dict[str, list[S]]:
    found: dict[str, list[S]] = {}
    for session in ordered:
        found.setdefault(session.data_source, []).append(session)
    return found


def _newest_at(by_source: Mapping[str, Sequence[S]], moment: datetime) -> dict[str, S]:
    """The last session of each source that had ended at that moment."""
    ended = {source: bisect_right(sessions, moment, key=_end) for source, sessions in by_source.items()}
    return {source: by_source[source][count - 1] for source, count in ended.items() if count}

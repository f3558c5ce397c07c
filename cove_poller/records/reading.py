"""From what Cove says of a data source to the sessions that have ended. Pure: no clock, network or database.

A row shows up to three sessions of a source: the last (F15, F00), the last completed (F18, F17) and the last
successful one (F09, F16). Often they are the same. F18 is an end; whether F15 and F09 are starts or ends is not
documented, so every conclusion here holds for both:

- a session's time that is earlier than its known end is its start;
- the last successful session *is* the last (or last completed) one when that one's status is the success's;
- whether F12 is the completed session's duration while the next one runs is to be seen from the other rows.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from cove_poller.records.columns import DataSource
from cove_poller.records.device import DECISIVE_FIELDS, Device, SourceFields, column_code
from cove_poller.records.session import Origin, Session, is_near
from cove_poller.records.statuses import COMPLETED, SEVERITY, SUCCESSFUL_CODES, Status, Statuses, code_name, worst

UNREADABLE = "could not be read"
NO_FIELDS = SourceFields.model_construct()


@dataclass(frozen=True)
class Blindness:
    """Why a source's health is not known, and the status that no run may be better than therefore."""

    floor: Status
    reason: str


@dataclass(frozen=True)
class Doubt:
    """A session's end, and its start if F12 is its duration and not that of the one that runs now."""

    session_at: datetime
    started_at: datetime


@dataclass(frozen=True)
class SourceReading:
    """What a row says of one data source: `sessions` are ended ones, the last first."""

    running: bool = False
    sessions: tuple[Session, ...] = ()
    blindness: Blindness | None = None
    doubt: Doubt | None = None


@dataclass(frozen=True)
class DeviceReading:
    """What a row says of a device, per data source."""

    sources: Mapping[str, SourceReading]
    active_sources: tuple[str, ...]

    @property
    def running(self) -> bool:
        return any(reading.running for reading in self.sources.values())

    @property
    def blindness(self) -> dict[str, Blindness]:
        """The sources whose health is not known, for those that count: the active ones and the total."""
        counting = (*self.active_sources, DataSource.TOTAL)
        found = ((code, self.sources[code].blindness) for code in counting if code in self.sources)
        return {code: blindness for code, blindness in found if blindness}

    @property
    def total_stands_in(self) -> bool:
        """Whether only Cove's total can tell of some active source, so that its sessions count like a source's."""
        return not self.active_sources or any(code != DataSource.TOTAL for code in self.blindness)


class _Reader:
    """Reads the sessions of one source."""

    def __init__(self, source: str, fields: SourceFields, statuses: Statuses) -> None:
        self.source = source
        self.fields = fields
        self.statuses = statuses
        self.running = statuses.meaning(fields.last_status) is Status.RUNNING

    def session(
        self, at: datetime, code: int | None, started_at: datetime | None = None, origin: Origin = Origin.POLL
    ) -> Session:
        return Session(self.source, at, started_at, self.statuses.meaning(code), code, None, origin)

    def read(self) -> tuple[Session, ...]:
        """The ended sessions that the fields show, the last first."""
        last, completed = self._last(), self._completed()
        if last and completed and self._last_is_completed:
            last, completed = self._united(last, completed), None
        sessions = self._with_success([session for session in (last, completed) if session])
        return tuple(session for session in sessions if session.status not in (Status.NONE, Status.RUNNING))

    def undated(self, sessions: Sequence[Session]) -> Blindness | None:
        """A last session that is none of the `sessions`, since its time or its status was not told."""
        code = self.fields.last_status
        if self.running or self.fields.last_session_at:
            return None
        if code in (None, 0):
            return Blindness(Status.WARNING, "Cove does not tell how its last session went") if sessions else None
        if any(session.status_code == code for session in sessions):
            return None
        floor = worst([Status.WARNING, self.statuses.meaning(code)])
        return Blindness(floor, f"{code_name(code)}, at a time that Cove does not tell")

    def _last(self) -> Session | None:
        fields = self.fields
        if self.running or fields.last_session_at is None:
            return None
        last = self.session(fields.last_session_at, fields.last_status)
        return replace(last, errors_count=fields.errors_count, is_last=True)

    @cached_property
    def _start_by_duration(self) -> datetime | None:
        """F18 - F12: the completed session's start, if F12 is its duration."""
        end, seconds = self.fields.last_completed_at, self.fields.duration_seconds
        return end - timedelta(seconds=seconds) if end and seconds and seconds > 0 else None

    @cached_property
    def _last_is_completed(self) -> bool:
        last, end = self.fields.last_session_at, self.fields.last_completed_at
        if self.running or last is None or end is None or last > end:
            return False
        if self.source != DataSource.TOTAL:
            return True  # sessions of one source do not overlap, so none begins before the last completed one's end
        same_status = self.fields.last_status == self.fields.last_completed_status
        return last == end or is_near(last, self._start_by_duration) or same_status

    def _completed(self) -> Session | None:
        """The last completed session; its start only where F12 is its duration for certain."""
        end, start, success = self.fields.last_completed_at, self._start_by_duration, self.fields.last_success_at
        code = self.fields.last_completed_status
        if end is None:
            return None
        if start and is_near(success, start) and self._is_successful(code):
            start = success
        elif not self._last_is_completed:
            start = None
        return self.session(end, code, start)

    def doubt(self) -> Doubt | None:
        """The completed session's start while the next session runs, when F12 may be either's duration."""
        end, start = self.fields.last_completed_at, self._start_by_duration
        return Doubt(end, start) if self.running and end and start else None

    def _united(self, last: Session, completed: Session) -> Session:
        """The last and the completed session as the one that they are, with the graver of their statuses."""
        known = [one for one in (last, completed) if one.status_code is not None]
        graver = max(known or [last], key=lambda session: SEVERITY[session.status])
        start = last.session_at if last.session_at < completed.session_at else completed.started_at
        return replace(
            last,
            session_at=completed.session_at,
            started_at=start,
            status=graver.status,
            status_code=graver.status_code,
        )

    def _with_success(self, sessions: list[Session]) -> list[Session]:
        """The sessions and the last successful one: one of them, or one that came and went between two polls."""
        time, code = self.fields.last_success_at, self.fields.last_success_status
        if time is None:
            return sessions
        for number, session in enumerate(sessions):
            if self._is_success(session, time):
                sessions[number] = self._told_by_success(session, time)
                return sessions
        return [*sessions, self.session(time, code, origin=Origin.GAP)]

    def _is_success(self, session: Session, time: datetime) -> bool:
        if time in (session.session_at, session.started_at):
            return True
        end_is_known = session.session_at == self.fields.last_completed_at
        if self.source == DataSource.TOTAL:  # its sessions overlap, so near or later times may be another one's
            return not (time > session.session_at and end_is_known) and self._is_successful(session.status_code)
        if is_near(time, session.session_at) or is_near(time, session.started_at):
            return True
        if time > session.session_at:
            # F18 is an end for certain, so nothing of that session is later; any other time may be a start.
            return not end_is_known and session.status_code in (None, *SUCCESSFUL_CODES)
        return self._is_successful(session.status_code)

    def _is_successful(self, code: int | None) -> bool:
        """Whether a session with this code, than which none is newer, must be the last successful one."""
        return code in SUCCESSFUL_CODES and code == (self.fields.last_success_status or COMPLETED)

    def _told_by_success(self, session: Session, time: datetime) -> Session:
        """The session with its status or its other end, where the success gives that away."""
        if session.status_code is None:
            code = self.fields.last_success_status
            session = replace(session, status_code=code, status=self.statuses.meaning(code))
        if session.started_at or time == session.session_at:
            return session
        start, end = sorted((time, session.session_at))
        return replace(session, session_at=end, started_at=start)


def read_source(source: str, fields: SourceFields, *, readable: bool, statuses: Statuses) -> SourceReading:
    """What `fields` say of `source`; `readable` is false where Cove refuses, or garbles, the decisive columns."""
    reader = _Reader(source, fields, statuses)
    sessions = reader.read()
    blindness = reader.undated(sessions) if readable else Blindness(Status.WARNING, UNREADABLE)
    return SourceReading(reader.running, sessions, blindness, reader.doubt())


def read_device(device: Device, refused: Iterable[str], statuses: Statuses) -> DeviceReading:
    """What a row says of all of a device's data sources.

    `refused` are the column codes that Cove does not let this user read. A source that is active but refused,
    unknown to this program or garbled is blind, and never taken for healthy; so are all of them where Cove tells
    of none although the total has sessions.
    """
    unreadable = set(refused) | device.malformed
    known = {source: {column_code(source, field) for field in DECISIVE_FIELDS} for source in DataSource}
    codes = {*device.active_sources, *device.sources, DataSource.TOTAL.value}
    total = device.sources.get(DataSource.TOTAL, NO_FIELDS)
    silent = total != NO_FIELDS and not device.sources.keys() & set(device.active_sources)
    sources = {
        code: read_source(
            code,
            device.sources.get(code, NO_FIELDS),
            readable=code == DataSource.TOTAL
            or (code in known and not silent and not known[DataSource(code)] & unreadable),
            statuses=statuses,
        )
        for code in sorted(codes)
    }
    reading = DeviceReading(sources, device.active_sources)
    if not reading.total_stands_in:
        of_total = sources[DataSource.TOTAL]
        # A success between two polls is seen where it belongs, at its source, and with its status.
        seen = tuple(session for session in of_total.sessions if session.origin is not Origin.GAP)
        sources[DataSource.TOTAL] = replace(of_total, sessions=seen)
    return reading


def with_silence(reading: DeviceReading, told: Collection[str], newest: Mapping[str, Session]) -> DeviceReading:
    """The reading, blind in each active source that has sessions on record but of which the row `told` nothing."""
    silence = Blindness(Status.WARNING, "Cove no longer says anything of it")
    silent = [code for code in reading.active_sources if code not in told and code in newest]
    blind = {
        code: replace(reading.sources[code], blindness=reading.sources[code].blindness or silence) for code in silent
    }
    return replace(reading, sources={**reading.sources, **blind})


SourceKey = tuple[int, str]
"""A device's account id and one of its data sources."""


def settle_doubts(
    readings: Mapping[SourceKey, SourceReading],
    known: Mapping[SourceKey, Sequence[Session]],
    polled_at: datetime,
) -> dict[SourceKey, tuple[Session, ...]]:
    """The sessions of each source, with their doubtful starts where all readings together show what F12 means.

    Cove means the same by F12 in every row. It is the completed session's duration if it is longer than anything
    can have run since, or if it is the duration that is known; if it differs from that, it is not. The total's
    starts stay unknown then: its sessions overlap, and what others show depends on what happens to be known.
    """
    votes = {
        vote
        for key, reading in readings.items()
        if reading.doubt and key[1] != DataSource.TOTAL
        for vote in _votes(reading.doubt, known.get(key, ()), polled_at)
    }
    is_completed = votes == {True}
    return {
        key: tuple(_with_start(session, reading.doubt) for session in reading.sessions)
        if is_completed and key[1] != DataSource.TOTAL
        else reading.sessions
        for key, reading in readings.items()
    }


def _votes(doubt: Doubt, known: Iterable[Session], polled_at: datetime) -> Iterator[bool]:
    if doubt.session_at - doubt.started_at > polled_at - doubt.session_at:
        yield True
    for session in known:
        if session.session_at == doubt.session_at and session.started_at:
            yield is_near(session.started_at, doubt.started_at)


def _with_start(session: Session, doubt: Doubt | None) -> Session:
    if doubt is None or session.started_at or session.session_at != doubt.session_at:
        return session
    return replace(session, started_at=doubt.started_at)

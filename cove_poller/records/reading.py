"""From what a row of the listing says of a data source to the sessions that have ended. Pure.

A row shows up to three sessions of a source: the last (F15, F00), the last completed (F18, F17) and the last
successful one (F09, F16). Often they are the same. F18 is an end; whether F15 and F09 are starts or ends is not
documented, so a row tells it where F18 and F12 give it away, and else what an earlier row of the source told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from cove_poller.records.columns import DataSource
from cove_poller.records.device import SourceFields
from cove_poller.records.session import CLOSE, MINUTE, Origin, Session, TimeIs, is_close
from cove_poller.records.statuses import (
    COMPLETED,
    COMPLETED_WITH_ERRORS,
    NO_BACKUP,
    NOT_STARTED,
    SEVERITY,
    SUCCESSFUL_CODES,
    Status,
    Statuses,
    code_name,
    worst,
)

UNREADABLE = "could not be read"
NO_FIELDS = SourceFields.model_construct()
AHEAD = timedelta(minutes=10)
FIRST_BELIEVED = datetime(2005, 1, 1, tzinfo=UTC)
LONGEST = timedelta(days=31)
SECOND = timedelta(seconds=1)
TIMES = ("last_session_at", "last_completed_at", "last_success_at")


@dataclass(frozen=True)
class Problem:
    """Why a source's health is not known, and the status that nothing may be better than therefore."""

    floor: Status
    reason: str


@dataclass(frozen=True)
class TimesAre:
    """What F15 and F09 of a source are, as far as its rows have shown."""

    last: TimeIs | None = None
    success: TimeIs | None = None


@dataclass(frozen=True)
class SourceReading:
    """What a row says of one data source: `sessions` are ended ones, the last first.

    `not_started` is for a source whose session was due while the device was off.
    """

    running: bool = False
    sessions: tuple[Session, ...] = ()
    problem: Problem | None = None
    not_started: bool = False
    times_are: TimesAre = TimesAre()


@dataclass(frozen=True)
class Circumstances:
    """What a source's fields are read by: the clock, the device's kind and age, and what earlier rows have told."""

    now: datetime
    statuses: Statuses = field(default_factory=Statuses)
    created_at: datetime | None = None
    is_workstation: bool = False
    times_are: Mapping[str, TimesAre] = field(default_factory=dict)

    def is_believable(self, moment: datetime) -> bool:
        """Return whether something can have happened then, whatever the device's own clock said."""
        return FIRST_BELIEVED <= moment <= self.now + AHEAD


class _Reader:
    """Reads the sessions of one source."""

    def __init__(self, source: str, fields: SourceFields, around: Circumstances) -> None:
        told = {name: moment for name in TIMES if (moment := getattr(fields, name))}
        self.wrong_times = [moment for moment in told.values() if not around.is_believable(moment)]
        wrong = {name: None for name, moment in told.items() if moment in self.wrong_times}
        self.fields = fields.model_copy(update=wrong) if wrong else fields
        self.source = source
        self.around = around
        self.is_total = source == DataSource.TOTAL
        self.memory = around.times_are.get(source, TimesAre())
        self.running = around.statuses.meaning(fields.last_status) is Status.RUNNING
        self.not_started = fields.last_status == NOT_STARTED and (
            self.fields.last_session_at is None or around.is_workstation
        )

    def read(self) -> SourceReading:
        sessions = self._sessions()
        return SourceReading(
            self.running,
            tuple(one for one in sessions if one.status not in (Status.NONE, Status.RUNNING)),
            self._problem(sessions),
            self.not_started,
            TimesAre(self._last_is, self._success_is),
        )

    def _session(self, at: datetime, code: int | None, is_: TimeIs | None, **more: Any) -> Session:
        facts = {"errors_count": None, "started_at": at if is_ is TimeIs.START else None, "origin": Origin.POLL} | more
        status = self.around.statuses.meaning(code)
        return Session(data_source=self.source, session_at=at, status=status, status_code=code, time_is=is_, **facts)

    def _sessions(self) -> list[Session]:
        """The ended sessions that the fields show, the last first."""
        last, completed = self._last(), self._completed()
        if last and completed and self._last_is_completed:
            last, completed = _united(last, completed), None
        elif last and completed and last.session_at == completed.session_at:
            # It began in the second in which the other ended. A source has one session a second: it stands in the next.
            last = replace(last, session_at=last.session_at + SECOND, started_at=last.session_at, time_is=TimeIs.START)
        return self._with_success([session for session in (last, completed) if session])

    @cached_property
    def _derived_start(self) -> datetime | None:
        """F18 - F12: the completed session's start, if F12 can be its duration; for Microsoft 365 it may be a count.

        While a session runs F12 may be that one's, unless it is longer than anything can have run since.
        """
        end, seconds = self.fields.last_completed_at, self.fields.duration_seconds
        if end is None or seconds is None or not 0 <= seconds <= LONGEST.total_seconds():
            return None
        start, success, created_at = (
            end - timedelta(seconds=seconds),
            self.fields.last_success_at,
            self.around.created_at,
        )
        if created_at and start < created_at - CLOSE:
            return None
        if success and start + CLOSE < success < end - CLOSE:
            return None
        if self.running and timedelta(seconds=seconds) <= self.around.now - end:
            return start if success and is_close(success, start) and seconds > CLOSE.total_seconds() else None
        return start

    @cached_property
    def _last_is_completed(self) -> bool:
        last, end = self.fields.last_session_at, self.fields.last_completed_at
        if self.running or self.not_started or last is None or end is None or last > end + _tolerance(last):
            return False
        if self.memory.last is TimeIs.END and last < end - _tolerance(last):
            return False  # the end of another session, in a row that is not of one instant
        if self.memory.last is not TimeIs.END and last >= end and self._is_after_a_success:
            return False  # where F17 tells successes only, and this is the start of a session right after one
        if not self.is_total:
            return True  # sessions of one source do not overlap, so none begins before the last completed one's end
        same_status = self.fields.last_status == self.fields.last_completed_status
        return is_close(last, end) or is_close(last, self._derived_start) or same_status

    @property
    def _is_after_a_success(self) -> bool:
        """Whether F00 and F17 are of two sessions: one that failed and does not count as completed, and a success."""
        success = self.fields.last_completed_status in SUCCESSFUL_CODES
        return success and self.fields.last_status not in (None, *SUCCESSFUL_CODES)

    @cached_property
    def _last_is(self) -> TimeIs | None:
        """What F15 is: shown by this row, else by an earlier one."""
        last, end, start = self.fields.last_session_at, self.fields.last_completed_at, self._derived_start
        if not self._last_is_completed or last is None or end is None:
            return self.memory.last
        if abs(last - end) <= _tolerance(last):
            return self.memory.last if is_close(last, start) else TimeIs.END
        is_near_the_end = end - last < MINUTE and start is not None and start < last - CLOSE
        return TimeIs.END if is_near_the_end else TimeIs.START

    @cached_property
    def _success_is(self) -> TimeIs | None:
        """What F09 is: shown by this row where the completed session was a success, else by an earlier one."""
        success, end, start = self.fields.last_success_at, self.fields.last_completed_at, self._derived_start
        codes = {self.fields.last_completed_status, *([self.fields.last_status] if self._last_is_completed else [])}
        if codes - {None} and codes <= {None, *SUCCESSFUL_CODES}:
            if is_close(success, end) and not is_close(success, start):
                return TimeIs.END
            if is_close(success, start) and not is_close(success, end):
                return TimeIs.START
        return self.memory.success

    def _last(self) -> Session | None:
        fields = self.fields
        if self.running or self.not_started or fields.last_session_at is None:
            return None
        code = fields.last_status
        if code == COMPLETED and (fields.errors_count or 0) > 0:
            code = COMPLETED_WITH_ERRORS
        return self._session(fields.last_session_at, code, self._last_is, errors_count=fields.errors_count)

    def _completed(self) -> Session | None:
        """The last completed session; its start only where F12 is its duration, not the last session's."""
        end, start, code = self.fields.last_completed_at, self._derived_start, self.fields.last_completed_status
        if end is None:
            return None
        is_its_own = self._last_is_completed or self.running or self.fields.last_session_at is None
        if not is_its_own and not (is_close(self.fields.last_success_at, start) and code in SUCCESSFUL_CODES):
            start = None
        return self._session(end, code, TimeIs.END, started_at=start, is_sure=True)

    def _with_success(self, sessions: list[Session]) -> list[Session]:
        """The sessions and the last successful one: one of them, or one that came and went between two polls."""
        time, code = self.fields.last_success_at, self.fields.last_success_status
        if time is None:
            return sessions
        for is_success in (self._is_success_then, self._is_success_since):
            for number, session in enumerate(sessions):
                if self._can_be_success(session) and is_success(session, time):
                    sessions[number] = self._told_by_success(session, time)
                    return sessions
        return [*sessions, self._session(time, code, self._success_is, origin=Origin.GAP)]

    def _can_be_success(self, session: Session) -> bool:
        return session.status_code is None or session.status_code in SUCCESSFUL_CODES

    def _is_success_then(self, session: Session, time: datetime) -> bool:
        """Whether the success is this session, by its times."""
        return is_close(time, session.session_at) or is_close(time, session.started_at)

    def _is_success_since(self, session: Session, time: datetime) -> bool:
        """Whether the success is this session, and its time the one that is not known of it otherwise."""
        if time > session.session_at:
            return session.ended_at is None and not self.is_total  # nothing of a session is later than its end
        if not self.is_total and not self._may_begin(session, time):
            return False
        # None is newer than this one, so where it was a success it is the last, and the earlier time its start.
        wanted = self.fields.last_success_status or COMPLETED
        return session.status_code == wanted or (wanted == COMPLETED and bool(session.errors_count))

    def _may_begin(self, session: Session, time: datetime) -> bool:
        """Whether a session can have begun at a time before it: not where the row is not of one instant."""
        if session.time_is is TimeIs.START or self._success_is is TimeIs.END:
            return False
        before = self.fields.last_completed_at  # sessions of one source do not overlap
        return before is None or time > before or is_close(before, session.session_at)

    def _told_by_success(self, session: Session, time: datetime) -> Session:
        """The session with its status or its other end, where the success gives that away."""
        if session.status_code is None:
            code = self.fields.last_success_status
            session = replace(session, status_code=code, status=self.around.statuses.meaning(code))
        start, end = min(time, session.session_at), max(time, session.session_at)
        if is_close(start, end) or (session.started_at and session.time_is is not TimeIs.START):
            return session
        return replace(session, session_at=end, started_at=start, time_is=TimeIs.END)

    def _problem(self, sessions: Sequence[Session]) -> Problem | None:
        """Why these sessions do not tell how the source is: a time that cannot be, or a last session without one."""
        code = None if self.running else self.fields.last_status
        floor = worst([Status.WARNING, self.around.statuses.meaning(code)])
        if self.wrong_times:
            moment = max(self.wrong_times)
            why = "which has not come yet" if moment > self.around.now else "which nobody believes"
            return Problem(floor, f"Cove tells of {moment:%Y-%m-%d %H:%M}Z, {why}; is the device's clock right?")
        if self.running or self.not_started or self.fields.last_session_at:
            return None
        if code in (None, NO_BACKUP):
            return Problem(floor, "Cove does not tell how its last session went") if sessions else None
        if any(session.status_code == code for session in sessions):
            return None
        return Problem(floor, f"{code_name(code)}, at a time that Cove does not tell")


def _tolerance(time: datetime) -> timedelta:
    """How far F15 may be from the F18 of its session: one that is told in whole minutes almost a minute."""
    return CLOSE if time.second else MINUTE - timedelta(seconds=1)


def _united(last: Session, completed: Session) -> Session:
    """The last and the completed session as the one that they are, with the graver of their statuses."""
    known = [one for one in (last, completed) if one.status_code is not None]
    graver = max(known or [last], key=lambda session: SEVERITY[session.status])
    is_start = last.time_is is TimeIs.START and not is_close(last.session_at, completed.session_at)
    return replace(
        completed,
        started_at=last.session_at if is_start else completed.started_at,
        status=graver.status,
        status_code=graver.status_code,
        errors_count=last.errors_count,
    )


def read_source(source: str, fields: SourceFields, around: Circumstances, *, readable: bool = True) -> SourceReading:
    """Return what `fields` say of `source`; not `readable` where Cove refuses or garbles the decisive columns."""
    reading = _Reader(source, fields, around).read()
    return reading if readable else replace(reading, problem=Problem(Status.WARNING, UNREADABLE))

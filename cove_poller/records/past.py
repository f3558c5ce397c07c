"""What Cove knows of a device's past, however it was read. Pure: no clock, network or database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from cove_poller.records.matching import Coverage
from cove_poller.records.reading import Problem
from cove_poller.records.session import Origin, Session
from cove_poller.records.window import Window

WAYS = {"sessions": Origin.SESSIONS, "snapshots": Origin.SNAPSHOT, "colorbar": Origin.COLORBAR}
"""How the past may be read, the best way first."""

RESUMABLE = timedelta(hours=24)
"""How long a run that was interrupted may be gone on with; then it is begun anew."""


@dataclass(frozen=True)
class Span:
    """A time of which a device's past is wanted: what ended in it had begun after `begun_after`, for all we know.

    So a history that is told newest first need not be read further back than that.
    """

    window: Window
    begun_after: datetime


@dataclass(frozen=True)
class Request:
    """What somebody wants of the past.

    Without a `way` it is the best that there is, without `devices` all of them. The window `reaches_now` if nobody
    set its end.
    """

    window: Window
    reaches_now: bool = True
    way: Origin | None = None
    devices: frozenset[int] = frozenset()
    reviewed: bool = False
    dry_run: bool = False
    spans: Mapping[int, "Span"] = field(default_factory=dict)
    """Of devices of which only some time is wanted, that time; their accounts are the keys."""

    def window_of(self, account_id: int) -> Window:
        """Return the window in which a device's past is wanted."""
        span = self.spans.get(account_id)
        return span.window if span else self.window

    def allows(self, way: Origin) -> bool:
        return self.way in (None, way)

    def note(self, begun_at: datetime) -> dict[str, Any]:
        """Return what is kept of it, so that a run may go on with it; ready for JSON, times in ISO 8601."""
        return {
            **self._terms(),
            "since": self.window.since.isoformat(),
            "until": self.window.until.isoformat(),
            "begun_at": begun_at.isoformat(),
        }

    def _terms(self) -> dict[str, Any]:
        return {
            "way": self.way.value if self.way else None,
            "devices": sorted(self.devices),
            "reviewed": self.reviewed,
            "reaches_now": self.reaches_now,
        }

    def resumed_from(self, note: Mapping[str, Any] | None, now: datetime) -> tuple["Request", datetime] | None:
        """Return this request with the window of the one that was noted and when it was begun; None if it is another.

        It is the same if it asks for as much, but for the little that time has gone on.
        """
        if note is None or any(note[name] != value for name, value in self._terms().items()):
            return None
        since, until, begun_at = (datetime.fromisoformat(note[name]) for name in ("since", "until", "begun_at"))
        is_fresh = now - begun_at <= RESUMABLE and since <= self.window.since <= since + RESUMABLE
        if not is_fresh or not (self.reaches_now or until == self.window.until):
            return None
        return replace(self, window=Window(since, until)), begun_at


@dataclass(frozen=True)
class Past:
    """A device's ended sessions in a window, and how far they are all there were.

    Of the `complete_sources` every session in the window is among them, and `context` has what came last before it.
    `problems` say why a source's past could not be read whole. `failures` are the same in words for people, `warnings`
    what was read less well than it could be.
    """

    window: Window | None = None
    read_at: datetime | None = None
    sessions: tuple[Session, ...] = ()
    complete_sources: frozenset[str] = frozenset()
    ways: tuple[Origin, ...] = ()
    failures: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    context: Mapping[str, Session] = field(default_factory=dict)
    problems: Mapping[str, Problem] = field(default_factory=dict)
    is_refused: bool = False
    """Whether Cove does not let the user read it."""

    digest: str = ""
    """What Cove told, so short that it can be kept; empty where not all of it could be read."""

    is_known: bool = False
    """Whether Cove told the same as before, so that it was not read."""

    @cached_property
    def _by_source(self) -> dict[str, list[Session]]:
        found: dict[str, list[Session]] = {}
        for session in self.sessions:
            found.setdefault(session.data_source, []).append(session)
        return found

    @property
    def sources(self) -> frozenset[str]:
        """Return the data sources that have sessions in it."""
        return frozenset(self._by_source)

    def sessions_of(self, source: str) -> Sequence[Session]:
        return self._by_source.get(source, ())

    @property
    def read_sources(self) -> frozenset[str]:
        """The data sources of which the window was read, whole or not."""
        return self.complete_sources | self.sources | self.problems.keys()

    def problem_of(self, source: str) -> Problem | None:
        """Return why the source's past is not known whole, if it is not."""
        return self.problems.get(source)

    def coverage(self, source: str) -> Coverage | None:
        """Return how well the past covers its window, for one source; None if it tells nothing of it."""
        if self.window is None or source not in self.read_sources:
            return None
        is_complete = source in self.complete_sources and source not in self.problems
        return Coverage(self.window, is_complete, self.context.get(source) if is_complete else None)

    def note(self) -> dict[str, Any]:
        """Return what is kept of it with the device, ready for JSON, in Unix seconds; {} if nothing was read."""
        if self.window is None or self.read_at is None:
            return {}
        times = {"since": self.window.since, "until": self.window.until, "read_at": self.read_at}
        return {
            "history": {
                **{name: int(moment.timestamp()) for name, moment in times.items()},
                "ways": [way.value for way in self.ways],
                "is_complete": not self.failures,
            }
        }


NO_PAST = Past()

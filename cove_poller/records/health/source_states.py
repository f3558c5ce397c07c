"""The states of a device's sources as they are kept: read without all that is kept beside them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cove_poller.records.health.device_state import SourceState
from cove_poller.records.health.silence import rhythm_limit_of_seconds
from cove_poller.records.statuses import SEVERITY, Status

STATUSES = {one.value: one for one in Status}


def source_states(
    states: Mapping[str, Mapping[str, Any]], histories: Mapping[str, Mapping[str, Any]] | None, known_since: datetime
) -> tuple[SourceState, ...]:
    """Return the sources as `cove_devices` has them in `data_sources` and `source_history`, the worst first.

    The latter are not read as a whole: there are many devices, and only what is so now is of interest.
    """
    kept = histories or {}
    found = [_source_state(code, state, kept.get(code, {}), known_since) for code, state in states.items()]
    return tuple(sorted(found, key=lambda one: (one.problem is None, -SEVERITY[one.status], one.source)))


def newest_success(reported: datetime | None, sessions: Iterable[tuple[Status, datetime | None]]) -> datetime | None:
    """Return the last success: what Cove reports, or the newest session where that was one.

    The former may be hidden from the API's user.
    """
    known = [at for status, at in sessions if at and status is Status.SUCCESS]
    return max([reported, *known] if reported else known, default=None)


def worst_success(sources: Iterable[SourceState]) -> datetime | None:
    """Return the last success of the source that has been without one for the longest; None if one never had any."""
    successes = [one.last_success_at for one in sources]
    known = [one for one in successes if one]
    return min(known, default=None) if len(known) == len(successes) else None


def _source_state(
    code: str, state: Mapping[str, Any], history: Mapping[str, Any], known_since: datetime
) -> SourceState:
    status, last_session_at = STATUSES[str(state["status"])], _moment(state["last_session_at"])
    color_bar = str(state["color_bar"] or "")
    return SourceState(
        source=code,
        status=status,
        status_code=_number(state["status_code"]),
        errors_count=_number(state["errors_count"]),
        last_session_at=last_session_at,
        last_success_at=newest_success(_moment(state["last_success_at"]), [(status, last_session_at)]),
        color_bar=color_bar,
        running=bool(state["running"]),
        problem=str(state["problem"]) if state["problem"] else None,
        not_started=bool(state.get("not_started")),
        silent_since=_moment(state.get("silent_since")),
        gap_since=_moment(state.get("gap_since")),
        gap_why=str(state["gap_why"]) if state.get("gap_why") else None,
        known_since=known_since,
        active_since=_active_since(history.get("active")),
        rhythm=rhythm_limit_of_seconds(history.get("recent", ()), color_bar),
    )


def _active_since(periods: Sequence[Sequence[Any]] | None) -> datetime | None:
    """Return since when the last of these periods is open; None if it is not, or has been open from the first."""
    since, until, *_ = periods[-1] if periods else (None, None)
    return _moment(since) if until is None else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _moment(value: object) -> datetime | None:
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int) else None

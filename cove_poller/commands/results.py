"""What a command did, as plain values: their outcome, exit code and JSON follow from them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cove_poller.commands.outcome import Outcome, Preview, preview_of
from cove_poller.errors import PARTIAL_EXIT_CODE, CovePollerError, DatabaseError, LockHeld, Terminated
from cove_poller.records.health.news import Conditions, Trouble
from cove_poller.records.window import Window
from cove_poller.text import counted

ENDS_ALL = (Terminated, DatabaseError, LockHeld)
"""Errors whose code a run keeps also where some of it was saved before."""


@dataclass
class LoginResult:
    """How one login went. `error` is what ended it early; what was saved before stays saved.

    `learnt` is what is kept for the next run of what was found out about the columns.
    `spooled` counts the polls that wait for the database.
    `not_due` counts the devices whose customers' intervals left them out; None where nobody has an interval.
    `troubles` are what is wrong with the login itself, by keys that stay while it lasts; `is_listed` tells that its
    listing came to its end, so that there are no others.
    """

    login: str
    partner_id: int | None = None
    outcome: Outcome = field(default_factory=Outcome)
    request_count: int = 0
    login_count: int = 0
    error: CovePollerError | None = None
    login_fingerprint: str | None = None
    poll_id: int = 0
    spooled: int = 0
    not_due: int | None = None
    is_complete: bool = False
    is_listed: bool = False
    troubles: dict[str, Trouble] = field(default_factory=dict)
    learnt: dict[str, Any] | None = None
    conditions: Conditions | None = None
    error_note: str | None = ""
    """What is said before the error's text; None where it was said before and nothing is said now."""

    @property
    def other_standing(self) -> int:
        """Return how many conditions stand of which nothing is said now."""
        return sum(not one.is_told for one in self.outcome.standing)

    @property
    def exit_code(self) -> int:
        if self.error and (not self.outcome.devices or isinstance(self.error, ENDS_ALL)):
            return self.error.exit_code
        return PARTIAL_EXIT_CODE if self.error or self.outcome.failures else 0

    @property
    def word(self) -> str:
        return outcome_word(self.exit_code)

    def in_a_line(self, took: timedelta) -> str:
        """Return what a person wants to know of a run that went well."""
        outcome, runs = self.outcome, self.outcome.job_runs
        return (
            f"login {self.login}: {counted(outcome.devices, 'device')} with {counted(self.request_count, 'request')},"
            f" {counted(outcome.sessions.new, 'new session')}, {counted(runs.new, 'new job run')}"
            f" and {runs.updated} changed, in {took.total_seconds():.1f} s"
        )

    def to_json(self) -> dict[str, Any]:
        sessions = asdict(self.outcome.sessions)
        del sessions["protected"]  # only job runs are reviewed
        return {
            "login": self.login,
            "partner_id": self.partner_id,
            "devices": self.outcome.devices,
            **({} if self.not_due is None else {"not_due": self.not_due}),
            "requests": self.request_count,
            "login_requests": self.login_count,
            "sessions": sessions,
            "job_runs": asdict(self.outcome.job_runs),
            "running": self.outcome.running,
            "unlinked": self.outcome.unlinked,
            "gaps": {"closed": self.outcome.gaps_closed, "open": len(self.outcome.gap_ids)},
            "spooled": self.spooled,
            "warnings": [*self.outcome.failures, *self.outcome.warnings],
            "standing": [
                {"account_id": one.account_id, "what": one.what, "since": in_json(one.since)}
                for one in self.outcome.standing
            ],
            "error": error_to_json(self.error),
        }


@dataclass
class BackfillResult(LoginResult):
    """How a backfill went in the `window` that it came to.

    `ways` counts the devices by what was read of them, `resumed` those that an interrupted run had done before.
    """

    window: Window | None = None
    ways: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    listed: int = 0

    @property
    def sources(self) -> dict[str, dict[str, int]]:
        """How many sessions of each data source are new, by their origin."""
        found: dict[str, dict[str, int]] = {}
        for (source, origin), count in sorted(self.outcome.new_by_source.items()):
            found.setdefault(source, {})[origin] = count
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            **super().to_json(),
            **window_in_json(self.window),
            "sources": self.sources,
            "ways": dict(self.ways),
            "resumed": self.resumed,
        }


@dataclass
class LoginTest:
    """What `test-login` found out about one login."""

    login: str
    host: str
    user: str | None = None
    partner_id: int | None = None
    partner_name: str | None = None
    devices: int = 0
    refused_columns: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)
    error: CovePollerError | None = None

    @property
    def exit_code(self) -> int:
        return self.error.exit_code if self.error else 0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "error": error_to_json(self.error)}


@dataclass
class Stop:
    """What told the process to stop, if anything did."""

    error: Terminated | None = None


@contextmanager
def noting_stop() -> Iterator[Stop]:
    """Note what ends this block early, and go on behind it: what was done before is still to be told."""
    stop = Stop()
    try:
        yield stop
    except Terminated as error:
        stop.error = error


@dataclass
class CommandResult:
    """How a command went over all its logins. `ended_by` is what told the process to stop before it was done."""

    command: str
    started_at: datetime
    finished_at: datetime
    logins: Sequence[LoginResult | LoginTest]
    window: Window | None = None
    dry_run: bool = False
    ended_by: Terminated | None = None

    @property
    def preview(self) -> Preview:
        """Return what of it would be new in Backupchecks, over all logins."""
        return preview_of([login.outcome for login in self.logins if isinstance(login, LoginResult)])

    @property
    def exit_code(self) -> int:
        """The logins' common code if they all went alike, else partial."""
        if self.ended_by:
            return self.ended_by.exit_code
        codes = {login.exit_code for login in self.logins}
        return codes.pop() if len(codes) == 1 else PARTIAL_EXIT_CODE

    def to_json(self) -> dict[str, Any]:
        return {
            **envelope(self.command, self.exit_code, self.started_at, self.finished_at),
            **window_in_json(self.window),
            **({"preview": self.preview.to_json()} if self.dry_run else {}),
            "logins": [login.to_json() for login in self.logins],
            **({"error": error_to_json(self.ended_by)} if self.ended_by else {}),
        }


@dataclass(frozen=True)
class Answer:
    """What a command found or changed that has no logins; `content` is its JSON behind the envelope."""

    command: str
    started_at: datetime
    finished_at: datetime
    content: Mapping[str, Any]
    exit_code: int = 0

    def to_json(self) -> dict[str, Any]:
        return {**envelope(self.command, self.exit_code, self.started_at, self.finished_at), **self.content}


def failed(command: str, started_at: datetime, finished_at: datetime, results: str, error: CovePollerError) -> Answer:
    """Return the answer of a command that an error ended before it had anything to say under `results`."""
    content: dict[str, Any] = {results: [], "error": error_to_json(error)}
    return Answer(command, started_at, finished_at, content, error.exit_code)


def outcome_word(exit_code: int) -> str:
    return {0: "ok", PARTIAL_EXIT_CODE: "partial"}.get(exit_code, "error")


def envelope(command: str, exit_code: int, started_at: datetime, finished_at: datetime) -> dict[str, Any]:
    """What every JSON answer begins with."""
    return {
        "command": command,
        "outcome": outcome_word(exit_code),
        "exit_code": exit_code,
        "started_at": in_json(started_at),
        "duration_seconds": round((finished_at - started_at).total_seconds(), 3),
    }


def window_in_json(window: Window | None) -> dict[str, str]:
    return {"since": in_json(window.since), "until": in_json(window.until)} if window else {}


def in_json(moment: datetime) -> str:
    """A time as JSON has it: ISO 8601, in UTC, to the second."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def error_to_json(error: CovePollerError | None) -> dict[str, str] | None:
    return {"code": error.code, "message": str(error)} if error else None

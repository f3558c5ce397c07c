"""What `doctor` found out, as plain values, and as text. Knows nothing of what is looked at."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from cove_poller.commands.results import envelope
from cove_poller.errors import PARTIAL_EXIT_CODE, CovePollerError, Terminated
from cove_poller.text import aligned

NEVER_POLLED = "never_polled"
FIX_FIRST = "Fix that first."
SEE_MESSAGE = "See the message."

T = TypeVar("T")


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_TRIED = "not tried"


SYMBOLS = {Verdict.OK: "+", Verdict.WARNING: "!", Verdict.FAILED: "x", Verdict.NOT_TRIED: "-"}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `advice` is what to do next, for whatever is not ok.

    `subject` is the login or host that it was about. Of one that failed, `code` and `exit_code` say how.
    """

    name: str
    verdict: Verdict
    message: str
    advice: str = ""
    subject: str = ""
    code: str = ""
    exit_code: int = 0

    @property
    def is_usable(self) -> bool:
        """Tell whether what depends on it can be tried."""
        return self.verdict in (Verdict.OK, Verdict.WARNING)

    def about(self, subject: str) -> "Check":
        return replace(self, subject=subject)

    def to_json(self) -> dict[str, Any]:
        return {
            "check": self.name,
            "subject": self.subject or None,
            "verdict": self.verdict.value,
            "message": self.message,
            "advice": self.advice or None,
            "code": self.code or None,
        }


def fine(name: str, message: str) -> Check:
    return Check(name, Verdict.OK, message)


def warning(name: str, message: str, advice: str) -> Check:
    return Check(name, Verdict.WARNING, message, advice)


def failed(name: str, error: CovePollerError, advice: str, *, kind: str = "") -> Check:
    """Return a check that ended with `error`, in its words; `kind` goes before them."""
    message = f"{kind}: {error}" if kind else str(error)
    return Check(name, Verdict.FAILED, message, advice, code=error.code, exit_code=error.exit_code)


def attempted(name: str, look: Callable[[], Iterable[Check]], advice: str = SEE_MESSAGE) -> list[Check]:
    """Return the checks that `look` gives. What it raises is a failed check `name` after them, and hides no other."""
    found: list[Check] = []
    try:
        for check in look():
            found.append(check)
    except Exception as error:  # noqa: BLE001 - one broken check must not hide the others
        found.append(_broken(name, error, advice))
    return found


def tried(
    name: str, look: Callable[[], tuple[list[Check], T]], advice: str = SEE_MESSAGE
) -> tuple[list[Check], T | None]:
    """Return the checks and the value that `look` gives; a failed check `name` and no value if it raises."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - one broken check must not hide the others
        return [_broken(name, error, advice)], None


def _broken(name: str, error: Exception, advice: str) -> Check:
    """Return the check that `error` kept from being made. Raise it if the process is to end."""
    if isinstance(error, Terminated):
        raise error
    if isinstance(error, CovePollerError):
        return failed(name, error, advice)
    message = f"the check itself broke ({type(error).__name__}); the others are as they say"
    return Check(name, Verdict.FAILED, message, "Report this as a bug.", code="bug", exit_code=1)


def completed(checks: Sequence[Check], names: Iterable[str]) -> list[Check]:
    """Return the checks, and of those `names` that something kept from being made that it did."""
    made = {check.name for check in checks}
    return [*checks, *(not_tried(name, "a check before it failed") for name in names if name not in made)]


def not_tried(name: str, reason: str, advice: str = FIX_FIRST) -> Check:
    """Return a check that could not be made: `reason` goes on after "not tried, since"."""
    return Check(name, Verdict.NOT_TRIED, f"not tried, since {reason}", advice)


@dataclass(frozen=True)
class Report:
    """All that was looked at."""

    started_at: datetime
    finished_at: datetime
    checks: Sequence[Check]

    @property
    def exit_code(self) -> int:
        """Return 0 if nothing failed, else the code that all failures share, else partial."""
        codes = {check.exit_code for check in self.checks if check.verdict is Verdict.FAILED}
        if len(codes) > 1:
            return PARTIAL_EXIT_CODE
        return codes.pop() if codes else 0

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(check.verdict.value for check in self.checks)
        return {verdict.value: found[verdict.value] for verdict in Verdict}

    def to_json(self) -> dict[str, Any]:
        return {
            **envelope("doctor", self.exit_code, self.started_at, self.finished_at),
            "counts": self.counts,
            "checks": [check.to_json() for check in self.checks],
            "next": self.next_step,
        }

    @property
    def next_step(self) -> str:
        """Return the one thing to do next: what the first failure advises, else what a warning does, else to look."""
        for verdict in (Verdict.FAILED, Verdict.WARNING):
            for check in self.checks:
                if check.verdict is verdict and check.advice:
                    first = check.advice.splitlines()[0]
                    is_new = check.code == NEVER_POLLED
                    return "cove-poller sync --dry-run" if is_new else f"{_title(check)}: {first}"
        return "cove-poller status"


def as_text(report: Report) -> str:
    """Return the checks as lines: a sign and the verdict in words, what was looked at and found, what to do next."""
    heads = aligned([(SYMBOLS[one.verdict], one.verdict.value, _title(one)) for one in report.checks])
    width = max(map(len, heads), default=0)
    indent = " " * (width + 2)
    lines = []
    for head, one in zip(heads, report.checks, strict=True):
        first, *others = one.message.splitlines() or [""]
        lines.append(f"{head.ljust(width)}  {first}")
        lines += [f"{indent}{line.strip()}" for line in others]
        lines += [f"{indent}-> {line}" for line in one.advice.splitlines()]
    counts = ", ".join(f"{count} {verdict}" for verdict, count in report.counts.items() if count)
    return "\n".join([*lines, "", counts, f"Next: {report.next_step}"])


def _title(check: Check) -> str:
    return f"{check.name} {check.subject}".rstrip()

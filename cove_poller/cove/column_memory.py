"""What a login has found out about its columns, kept from run to run so that nothing is asked for twice.

It holds until the login or the program changes, and is asked anew each day, since nobody says when rights do.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cove_poller import __version__
from cove_poller.config.settings import LoginSettings
from cove_poller.cove.column_query import NOTHING_LEARNT, Learnt
from cove_poller.records.device import OPTIONAL_COLUMNS

ASKED_ANEW = timedelta(days=1)


@dataclass(frozen=True)
class ColumnMemory:
    """What was learnt, when Cove was asked, and of which login and program."""

    learnt: Learnt
    asked_at: datetime
    basis: str

    @classmethod
    def recalled(cls, note: Mapping[str, Any] | None, basis: str, now: datetime) -> "ColumnMemory":
        """Return what the newest `note` tells, if that still holds; else that Cove is asked now."""
        if note is None or note.get("basis") != basis or "asked_at" not in note:
            return cls(NOTHING_LEARNT, now, basis)
        asked_at = datetime.fromisoformat(note["asked_at"])
        if not timedelta() <= now - asked_at < ASKED_ANEW:
            return cls(NOTHING_LEARNT, now, basis)
        refused = tuple(code for code in note["refused"] if code in OPTIONAL_COLUMNS)
        return cls(Learnt(refused, bool(note["unpadded"])), asked_at, basis)

    def note(self, learnt: Learnt, now: datetime) -> dict[str, Any]:
        """Return what is kept after a run that has `learnt` this, ready for JSON."""
        asked_at = self.asked_at if learnt == self.learnt else now
        return {
            "refused": list(learnt.refused),
            "unpadded": learnt.unpadded,
            "asked_at": asked_at.isoformat(timespec="seconds"),
            "basis": self.basis,
        }


def basis_of(url: str, login: LoginSettings) -> str:
    """Return what tells a login and this program's version from others, in a few letters."""
    parts = (url, login.username, login.partner, str(login.partner_id), __version__)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

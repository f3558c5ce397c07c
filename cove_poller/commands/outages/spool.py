"""Polls that the database could not take, each in a file of its own, until the next run records them.

A file is there whole or not at all, only its owner may read it, and nothing in it is a secret: devices as Cove listed
them. Beside them is kept, of a login that Cove rejected, what it was tried with, as a salted fingerprint.
"""

import gzip
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cove_poller.commands.installation import Installation
from cove_poller.database.connecting.locks import file_lock, held
from cove_poller.errors import CovePollerError
from cove_poller.files import write_whole
from cove_poller.records.device import Device, UnreadableRow

MOST_BYTES = 64 * 2**20
"""How much the polls of a login may take; what is more costs the oldest."""

MOST_UNPACKED = 512 * 2**20
LONGEST = timedelta(days=7)
PRIVATE = 0o600
FORMAT = 1
STAMP = "%Y%m%dT%H%M%S%fZ"


class SpoolUnreadable(CovePollerError):
    """A file of the spool that does not hold a poll."""


@dataclass(frozen=True)
class SpooledPage:
    """What a page of the listing told."""

    devices: Sequence[Device]
    unreadable: Sequence[UnreadableRow] = ()


@dataclass(frozen=True)
class SpooledPoll:
    """A poll of a login: when it was, and what Cove told. `is_complete` says that no device was missing."""

    at: datetime
    clock_ahead: timedelta
    refused: tuple[str, ...]
    pages: Sequence[SpooledPage]
    is_complete: bool

    @property
    def seen_ids(self) -> set[int]:
        """Return the accounts that were listed, readable or not."""
        devices = {device.account_id for page in self.pages for device in page.devices}
        return devices | {row.account_id for page in self.pages for row in page.unreadable if row.account_id}

    def to_json(self) -> dict[str, Any]:
        pages = [
            {
                "devices": [device.model_dump() for device in page.devices],
                "unreadable": [[row.account_id, row.what] for row in page.unreadable],
            }
            for page in self.pages
        ]
        return {
            "format": FORMAT,
            "at": self.at.isoformat(),
            "clock_ahead": self.clock_ahead.total_seconds(),
            "refused": self.refused,
            "is_complete": self.is_complete,
            "pages": pages,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "SpooledPoll":
        """Return what `to_json` made. Raise some ValueError, TypeError or LookupError where it is anything else."""
        if content["format"] != FORMAT:
            raise ValueError("another format")
        pages = [
            SpooledPage(
                [Device.model_validate(one) for one in page["devices"]],
                [UnreadableRow(account_id, what) for account_id, what in page["unreadable"]],
            )
            for page in content["pages"]
        ]
        return cls(
            datetime.fromisoformat(content["at"]),
            timedelta(seconds=content["clock_ahead"]),
            tuple(content["refused"]),
            pages,
            bool(content["is_complete"]),
        )


class Spool:
    """The waiting polls of one login, the oldest first."""

    def __init__(self, folder: Path, login: str) -> None:
        self.folder = folder
        self._login = login
        self._name = quote(login, safe="")
        self._rejection = folder / f"{self._name}.rejected"
        self._standing = folder / f"{self._name}.standing"

    @classmethod
    def of(cls, installation: Installation, login: str) -> "Spool":
        return cls(installation.credentials.spool_folder(), login)

    def lock(self) -> AbstractContextManager[None]:
        """Keep other runs away from the login, also where no database does. Raise LockHeld, or OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return file_lock(str(self.folder / f"{self._name}.lock"), held(self._login, "sync"))

    def waiting(self) -> list[Path]:
        """Return the files of the polls that wait, the oldest first."""
        mine = re.compile(rf"{re.escape(self._name)}\.\d{{8}}T\d{{12}}Z\.json\.gz")
        with suppress(OSError):
            return sorted(one for one in self.folder.iterdir() if mine.fullmatch(one.name))
        return []

    def save(self, poll: SpooledPoll) -> int:
        """Keep a poll. Return how many older ones had to go, since they were too old or too much. Raise OSError."""
        text = json.dumps(poll.to_json(), default=_plain).encode()
        stamp = poll.at.astimezone(UTC).strftime(STAMP)
        write_whole(self.folder / f"{self._name}.{stamp}.json.gz", gzip.compress(text, 6), PRIVATE)
        oldest = (poll.at - LONGEST).astimezone(UTC).strftime(STAMP)
        files, size, dropped = self.waiting(), 0, 0
        for file in reversed(files):
            size += file.stat().st_size
            if file != files[-1] and (size > MOST_BYTES or file.name.split(".")[-3] < oldest):
                file.unlink()
                dropped += 1
        return dropped

    def load(self, file: Path) -> SpooledPoll:
        """Return the poll in a file. Raise SpoolUnreadable if there is none."""
        try:
            with gzip.open(file) as packed:
                return SpooledPoll.from_json(json.loads(packed.read(MOST_UNPACKED)))
        except (ValueError, TypeError, LookupError, AttributeError, EOFError, zlib.error) as error:
            raise SpoolUnreadable(f"{file} does not hold a poll") from error
        except OSError as error:
            raise SpoolUnreadable(f"{file} cannot be read: {error.strerror or 'it is damaged'}") from error

    def set_aside(self, file: Path) -> Path:
        """Move a file out of the way; leave it if even that cannot be done. Return where it is."""
        with suppress(OSError):
            return file.rename(file.with_name(f"{file.name}.unreadable"))
        return file

    def rejection(self) -> dict[str, Any] | None:
        """Return what is kept of a rejected login: `at`, `message`, `fingerprint` and how often it was tried."""
        try:
            found = json.loads(self._rejection.read_bytes())
            return {"at": datetime.fromisoformat(found.pop("at")), **found}
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return None

    def keep_rejection(self, at: datetime, message: str, fingerprint: str) -> None:
        """Keep that Cove rejected the login, so that it is not tried again where the database cannot tell."""
        before = self.rejection()
        tries = before["tries"] + 1 if before else 1
        content = {"at": at.isoformat(), "message": message, "fingerprint": fingerprint, "tries": tries}
        with suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self._rejection, json.dumps(content), PRIVATE)

    def forget_rejection(self) -> None:
        """Keep nothing of a rejection any more: Cove has accepted the login."""
        with suppress(OSError):
            self._rejection.unlink()

    def standing(self) -> dict[str, Any] | None:
        """Return the conditions that were told while the database was away; None if it was not."""
        try:
            return dict(json.loads(self._standing.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def keep_standing(self, conditions: Mapping[str, Any]) -> None:
        """Keep what was told, so that the next run in this outage need not say it again."""
        with suppress(OSError):
            write_whole(self._standing, json.dumps(conditions), PRIVATE)

    def forget_standing(self) -> bool:
        """Keep nothing of an outage any more. Return whether there was one."""
        try:
            self._standing.unlink()
        except OSError:
            return False
        return True


def _plain(value: object) -> object:
    """Times as Unix seconds, as Cove tells them; sets as lists."""
    if isinstance(value, datetime):
        return int(value.timestamp())
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value)} is not for JSON")

"""`backfill`: ask Cove what happened in the past, session by session, and write what is missing into the database."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cove_poller.client import CoveClient
from cove_poller.config import Config
from cove_poller.credentials import Credentials
from cove_poller.database import Database, open_database
from cove_poller.errors import ApiError, DatabaseError
from cove_poller.linker import Linker
from cove_poller.listing import Listing
from cove_poller.login_run import LoginRun, remember_rejections, utc_now
from cove_poller.models import Device
from cove_poller.past import Past, Request
from cove_poller.past_reader import PastReader
from cove_poller.polls import unfinished_since
from cove_poller.recording import Recorder, device_name
from cove_poller.results import BackfillResult, CommandResult
from cove_poller.runs import Review
from cove_poller.store import Store
from cove_poller.sync import known_partner, nameless_failures, refusal_warning
from cove_poller.text import counted, listed

COMMAND = "backfill"


@dataclass(frozen=True)
class Progress:
    """How far the run of a login is; `total` is how many devices are known of so far."""

    login: str
    devices: int = 0
    total: int = 0
    sessions: int = 0

    def __str__(self) -> str:
        return f"login {self.login}: {self.devices} of {self.total} devices, {self.sessions} new sessions"


def ignore_progress(progress: Progress) -> None:
    """For whoever does not want to see how far a run is."""


def backfill(
    config: Config,
    credentials: Credentials,
    logins: Sequence[str],
    request: Request,
    *,
    now: Callable[[], datetime] = utc_now,
    progress: Callable[[Progress], None] = ignore_progress,
) -> CommandResult:
    """Write what of the past is requested, with each login. One that fails does not stop the others.

    Raise CovePollerError if nothing could be begun, for instance since the database is not prepared.
    """
    started_at = now()
    results = [BackfillResult(login) for login in logins]
    with open_database(config, credentials.database_password(), dry_run=request.dry_run) as database:
        if request.reviewed:
            check_for_review(database)
        runner = LoginRun(COMMAND, config, credentials, database, now)
        for result in results:
            run = Backfill(config, database, request, now, progress, result)
            runner.run(result, run.record)
    if request.dry_run:
        remember_rejections(COMMAND, config, credentials, results, now)
    return CommandResult(COMMAND, started_at, now(), results, window=request.window)


def check_for_review(database: Database) -> None:
    """Raise DatabaseError if the live table has no place for a review."""
    if "reviewed_at" not in database.tables.job_runs.c:
        raise DatabaseError(
            "job_runs has no column reviewed_at, so no run can be written as reviewed; leave --reviewed out, or name"
            ' the right column with [backupchecks.columns.job_runs] reviewed_at = "..."'
        )


class Backfill:
    """One backfill with one login, whose outcome goes into `result`. Every device is committed by itself."""

    def __init__(
        self,
        config: Config,
        database: Database,
        request: Request,
        now: Callable[[], datetime],
        progress: Callable[[Progress], None],
        result: BackfillResult,
    ) -> None:
        settings = config.backupchecks
        review = Review(now(), settings.reviewed_by) if request.reviewed else None
        self._config = config
        self._database = database
        self._request = request
        self._now = now
        self._progress = progress
        self._result = result
        self._recorder = Recorder(result.login, settings, config.status_overrides(), Linker(settings), review)
        self._told: dict[tuple[bool, str], list[str]] = defaultdict(list)

    def record(self, client: CoveClient) -> None:
        """Every page of devices; of each device what is to be had of its past, into the database."""
        listing = Listing(client, known_partner(self._result))
        resumed_since = unfinished_since(self._database, COMMAND, self._result.login)
        reader: PastReader | None = None
        try:
            for page in listing.iter_pages():
                reader = reader or PastReader(
                    client, listing, self._request, self._config.status_overrides(), self._now
                )
                devices = list(self._left_to_do(page.devices, resumed_since))
                self._result.listed += len(devices)
                self._result.outcome.failures += nameless_failures(page.nameless_ids)
                for device, past in reader.read(devices, self._tick):
                    self._save(device, past, listing.refused)
                    self._tick()
        finally:
            self._tell(listing.refused)
        if not listing.seen_ids:
            raise ApiError(f"Cove lists no device for partner {listing.partner_id}, so there is no past to read")
        self._result.outcome.failures += [
            f"device {account}: Cove does not list it" for account in sorted(self._request.devices - listing.seen_ids)
        ]

    def _store(self, connection: Any) -> Store:
        return Store(connection, self._database.tables, self._config.backupchecks)

    def _left_to_do(self, devices: Iterable[Device], resumed_since: datetime | None) -> Iterator[Device]:
        """The devices that are wanted and that the run which is gone on with had not done."""
        asked = self._request.devices
        wanted = [one for one in devices if not asked or one.account_id in asked]
        with self._database.transaction() as connection:
            recorded = self._store(connection).devices(one.account_id for one in wanted)
        for device in wanted:
            note = recorded.get(device.account_id, {}).get("history")
            if resumed_since and note and self._is_done(note, resumed_since):
                self._result.resumed += 1
            else:
                yield device

    def _is_done(self, note: Mapping[str, Any], resumed_since: datetime) -> bool:
        window, way = self._request.window, self._request.way
        return bool(
            note["is_complete"]
            and note["read_at"] >= int(resumed_since.timestamp())
            and note["since"] <= window.since.timestamp()
            and (self._request.reaches_now or note["until"] >= int(window.until.timestamp()))
            and (way is None or note["ways"] == [way.value])
        )

    def _save(self, device: Device, past: Past, refused: Sequence[str]) -> None:
        with self._database.transaction() as connection:
            store, pasts = self._store(connection), {device.account_id: past}
            outcome = self._recorder.save_page(store, [device], refused, self._now(), pasts)
        self._result.outcome.add(outcome)  # not before it is committed
        self._result.ways.update(way.value for way in past.ways)
        for is_failure, texts in ((True, past.failures), (False, past.warnings)):
            for text in texts:
                self._told[is_failure, text].append(device_name(device))

    def _tell(self, refused: Sequence[str]) -> None:
        """What was said of the devices, what is the same of several of them once."""
        outcome = self._result.outcome
        if refused:
            outcome.warnings.append(refusal_warning(refused))
        for (is_failure, text), names in self._told.items():
            who = names[0] if len(names) == 1 else f"{counted(len(names), 'device')} ({listed(names)})"
            (outcome.failures if is_failure else outcome.warnings).append(f"{who}: {text}")

    def _tick(self) -> None:
        result = self._result
        total = len(self._request.devices) or result.listed
        self._progress(Progress(result.login, result.outcome.devices, total, result.outcome.sessions.new))

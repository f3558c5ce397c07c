"""A page of devices into the database: gather what is recorded, decide what is new, write it.

This is the place where Cove's words become Backupchecks'. One transaction, a fixed number of statements.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType

from cove_poller.commands.outcome import Noted, Outcome, said
from cove_poller.commands.page_work import Work, as_known, graver_days, rereads, subject_of
from cove_poller.commands.record_jobs import Linker, Links
from cove_poller.commands.record_runs import Subject, Tally, recorded_histories, run_policy, save_runs, waiting_for_runs
from cove_poller.commands.record_sessions import Recorded, SavedSessions, recorded_sessions, save_sessions
from cove_poller.config.settings import Config
from cove_poller.database.store import Store
from cove_poller.records import due
from cove_poller.records.device import Device, UnreadableRow
from cove_poller.records.device_changes import device_changes, left_after
from cove_poller.records.device_reading import read_device
from cove_poller.records.gap_evidence import Evidence, with_evidence
from cove_poller.records.health import news
from cove_poller.records.health.device_record import (
    LAST_SEEN_PRECISION,
    Row,
    continued,
    device_row,
    differs,
    row_called,
)
from cove_poller.records.health.device_silence import silence_changes_at, with_silences
from cove_poller.records.health.device_troubles import BY_HAND, ROW, Limits, device_troubles
from cove_poller.records.health.overview import alert_after
from cove_poller.records.health.past_silence import Watched, newly_silent, with_past_silences
from cove_poller.records.intervals import interval_of
from cove_poller.records.job_matching import mapped_name
from cove_poller.records.open_gaps import Verdict, open_gaps
from cove_poller.records.past import NO_PAST, Past
from cove_poller.records.reading import Circumstances
from cove_poller.records.runs.run_content import RunPolicy
from cove_poller.records.runs.run_plan import Review
from cove_poller.records.source_history import Look, SourceHistory
from cove_poller.records.statuses import Statuses

DAY = timedelta(days=1)
SHORTEST_PAUSE = timedelta(minutes=5)
BY_HAND_ONLY = Verdict(BY_HAND)
NO_PASTS: Mapping[int, Past] = MappingProxyType({})


@dataclass
class Recorder:
    """Records the pages of one login. `looked_at` is when a poll last saw all of its devices.

    `rhythm` is how far apart its polls are, None where that is not known yet. What Cove tells is compared with its own
    clock, which is `clock_ahead` of the poller's. `verdict` says why gaps stay open of all devices, or of those of the
    page whose history was tried. `digests` are those of the rows of the page, by account: a device without one is
    looked at again by the next poll.
    """

    login: str
    config: Config
    linker: Linker
    looked_at: datetime | None = None
    review: Review | None = None
    clock_ahead: timedelta = timedelta()
    rhythm: timedelta | None = None
    verdict: Verdict | None = None
    digests: Mapping[int, str] = field(default_factory=dict)

    def save_page(
        self,
        store: Store,
        devices: Sequence[Device],
        refused: Iterable[str],
        now: datetime,
        pasts: Mapping[int, Past] = NO_PASTS,
    ) -> Outcome:
        """Write what `devices`, and the `pasts` of some of them, show that is not recorded yet.

        Return what that was, true once it is committed.
        """
        if not devices:
            return Outcome()
        page = self._gathered(store, devices, frozenset(refused), now, pasts)
        recorded = recorded_sessions(store, (one.seen for one in page))
        page = [self._decided(one, recorded.get(one.account_id, {})) for one in page]
        before = {one.account_id: one.previous for one in page if one.previous is not None}
        links = self.linker.link(store, [one.device for one in page if not one.is_ignored], before)
        told = {one.account_id: self._news(one, links, frozenset(refused), now) for one in page}
        saved = save_sessions(store, {one.account_id: one.changes for one in page})
        policy = self._policy(store)
        subjects = {
            one.account_id: subject_of(one, links.jobs[one.account_id], saved, waits=self._waits(one, policy))
            for one in page
            if one.account_id in links.jobs
        }
        runs = save_runs(store, subjects, policy, now, self.review)
        waiting = waiting_for_runs(store, {one: subjects[one] for one in subjects if one in self.digests})
        self._save_devices(store, page, links, told, now, waiting)
        return _outcome(page, links, told, saved, runs)

    def save_gone(self, store: Store, now: datetime) -> Tally:
        """Write what waits of devices that Cove no longer lists: nothing of them will join their newest round."""
        rows = store.devices.gone_and_waiting(self.login, now)
        subjects = {
            account: Subject(
                row["job_id"],
                recorded_histories(row, {}),
                changed_since=row["replan_since"],
                first_seen_at=row["first_seen_at"],
            )
            for account, row in rows.items()
        }
        tally = save_runs(store, subjects, self._policy(store), now, self.review)
        store.devices.note_replanned(rows)
        return tally

    def _policy(self, store: Store) -> RunPolicy:
        return run_policy(self.config.backupchecks, store.runs.remark_limit(), store.runs.objects.limits())

    def _waits(self, work: Work, policy: RunPolicy) -> bool:
        """Whether the newest round may still grow, and a poll that will see it is due before it has settled."""
        return work.reading.running and self._pause(work.device) <= policy.settle

    def _pause(self, device: Device) -> timedelta:
        """How far apart the polls of a device are; nothing where that is not known yet."""
        interval = interval_of(device.fields.customer_name or "", self.config.intervals)
        return max(filter(None, [self.rhythm, interval]), default=timedelta())

    def note_unreadable(self, store: Store, rows: Iterable[UnreadableRow], now: datetime) -> Noted:
        """Keep with the recorded devices among `rows` that their row could not be read; nothing else is known of them.

        Return what there is to say, and which devices these are.
        """
        return self.note_left_out(store, {row.account_id: row.why for row in rows if row.account_id}, now)

    def note_left_out(self, store: Store, whys: Mapping[int, str], now: datetime) -> Noted:
        """Keep with the recorded devices why nothing of them is known or saved now, so that a gap remains."""
        recorded = store.devices.rows(whys) if whys else {}
        told = {}
        for account, row in recorded.items():
            before = news.from_json(row["conditions"])
            kept = {key: news.Trouble(one.what, one.is_failure) for key, one in before.items()}
            present = kept | {ROW: news.Trouble(f"{row_called(row)}: {whys[account]}", is_failure=True)}
            told[account] = news.news(before, present, now, self.config.alerts.remind)
        standing = {account: news.to_json(one.standing) for account, one in told.items()}
        changed = [{**row, "conditions": standing[one], **due.NO_MARK.row()} for one, row in recorded.items()]
        if changed := [row for row in changed if row != recorded[row["account_id"]]]:
            store.devices.save([], changed)
        jobs = {account: row["job_id"] for account, row in recorded.items() if row["job_id"]}
        return Noted(said(told, jobs), frozenset(recorded))

    def _gathered(
        self, store: Store, devices: Sequence[Device], refused: frozenset[str], now: datetime, pasts: Mapping[int, Past]
    ) -> list[Work]:
        """Each device with what is recorded of it, and what its row means by that."""
        rows = store.devices.rows(device.account_id for device in devices)
        old = [one for one, row in rows.items() if row["source_history"] is None]
        ends = store.sessions.newest_ends(dict.fromkeys(old, now + DAY))
        statuses = Statuses.from_config(self.config.status)
        page = []
        for device in devices:
            row = rows.get(device.account_id)
            histories = recorded_histories(row, ends.get(device.account_id, {}))
            times_are = {code: one.times_are for code, one in histories.items()}
            around = Circumstances(now + self.clock_ahead, statuses, times_are=times_are)
            read = read_device(device, refused, around)
            reading = as_known(device, read, row, histories)
            look = Look(now, self._look_before(row))
            past = pasts.get(device.account_id, NO_PAST)
            days = graver_days(device, row, around, look) if past is NO_PAST else {}
            work = Work(device, row, look, histories, reading, past, grave_days=days)
            page.append(replace(work, rereads=partial(rereads, device, read, refused, around)))
        ends = store.sessions.newest_ends({one.account_id: since for one in page if (since := one.first_gap)})
        return [replace(one, ends_before=ends.get(one.account_id, {})) for one in page]

    @property
    def _look_gap(self) -> timedelta:
        return timedelta(minutes=self.config.api.gap_minutes)

    def _look_before(self, row: Row | None) -> datetime | None:
        """When the device was last seen; a poll that saw all devices saw it, unless it was gone or left out."""
        if row is None:
            return None
        last_seen_at: datetime = row["last_seen_at"]
        was_left_out = row["gone_at"] or row["missing_since"] or ROW in (row["conditions"] or {})
        return last_seen_at if was_left_out or self.looked_at is None else max(last_seen_at, self.looked_at)

    def _decided(self, work: Work, recorded: Recorded) -> Work:
        """The device with what its reading and its past add to what is recorded, and which sources are silent."""
        changes = device_changes(work.reading, work.past, recorded, work.histories, work.look, self._look_gap)
        device, api = work.device, self.config.api_of(self.login)
        sources: Mapping[str, SourceHistory] = changes.sources
        if work.past.window is None:
            args = (work.look, work.reading, changes, recorded, work.first_seen_at, self._look_gap, work.grave_days)
            sources = with_evidence(work.histories, Evidence(*args, is_always=api.histories == "always"))
        customer = device.fields.customer_name or ""
        names = [mapped_name(customer, self.config.backupchecks.customers) or customer, customer]
        alert = alert_after(self.config.alerts, device.device_type, names)
        moments = changes.moments
        if work.first_gap:
            known = {code: left_after(recorded.get(code, ()), one) for code, one in changes.sessions.items()}
            pause = max(self._pause(device) or self._look_gap, SHORTEST_PAUSE)
            watched = Watched(device, alert, work.first_seen_at, work.look.at, pause, known, work.ends_before)
            then = with_past_silences(sources, work.histories, work.past, watched)
            moments, sources = (*moments, *newly_silent(sources, then)), then
        sources = with_silences(sources, device, work.reading, alert, work.first_seen_at, work.look.at)
        before = work.previous["data_sources"] if work.previous else {}
        verdict = self.verdict or (BY_HAND_ONLY if api.histories == "never" else None)
        gaps = open_gaps(sources, work.reading.active_sources, before, verdict)
        due_at = silence_changes_at(sources, device, work.reading, alert, work.first_seen_at, work.look.at)
        return replace(work, changes=replace(changes, sources=sources, gaps=gaps, moments=moments), due_at=due_at)

    def _news(self, work: Work, links: Links, refused: frozenset[str], now: datetime) -> news.News:
        round_gap = timedelta(minutes=self.config.backupchecks.round_gap_minutes)
        look_gap = timedelta() if work.past.window else self._look_gap  # a history has what lay between the polls
        is_by_hand = self.config.api_of(self.login).histories == "never"
        whys = {code: one.why for code, one in work.changes.gaps.items() if one.retry_at}
        limits = Limits(round_gap, look_gap, refused, None if is_by_hand else whys)
        unlinked = links.unlinked.get(work.account_id)
        present = device_troubles(work.device, work.reading, work.changes, unlinked, limits)
        before = news.from_json(work.previous["conditions"] if work.previous else None)
        return news.news(before, present, now, self.config.alerts.remind)

    def _save_devices(
        self,
        store: Store,
        page: Sequence[Work],
        links: Links,
        told: Mapping[int, news.News],
        now: datetime,
        waiting: Collection[int],
    ) -> None:
        """Write the newest state of each device that differs, with the mark by which the next poll may pass over it."""
        new, changed = [], []
        # where some customers are left out of a poll, only the device's own row tells when it was seen
        precision = timedelta() if self.config.intervals.are_set else LAST_SEEN_PRECISION
        for one in page:
            row = device_row(one.device, one.reading, one.changes, one.previous, login=self.login, now=now)
            is_linked = one.account_id in links.jobs
            row |= {"job_id": links.jobs.get(one.account_id), "conditions": news.to_json(told[one.account_id].standing)}
            row |= {"replan_since": None if is_linked else one.replan_since} | one.past.note()
            mark = self._mark(one, row, is_waiting=one.account_id in waiting).row()
            if one.previous is None:
                new.append({**row, **mark, "first_seen_at": now, "ignored": False})
            elif differs(complete := continued(row, one.previous), one.previous, precision):
                changed.append({**complete, **mark})
            elif (one.account_id in self.digests or one.changes.moments) and any(
                one.previous[name] != value for name, value in mark.items()
            ):
                changed.append({**one.previous, **mark})
        store.devices.save(new, changed)

    def _mark(self, work: Work, row: Row, *, is_waiting: bool) -> due.Mark:
        """By which row the device may be passed over, and until when."""
        digest = self.digests.get(work.account_id)
        looked = due.Looked(
            work.device,
            work.reading,
            work.changes,
            work.look.at,
            self.clock_ahead,
            is_linked=row["job_id"] is not None,
            is_ignored=work.is_ignored,
            waits=is_waiting,
            conditions=row["conditions"],
            has_past=work.past.window is not None,
            replan_since=row["replan_since"],
        )
        if digest is None or due.reasons_due(looked) or work.rereads(work.changes.sources):
            return due.NO_MARK
        return due.Mark(digest, due.due_at(looked, work.due_at), due.shown_count(work.reading))


def _outcome(
    page: Sequence[Work], links: Links, told: Mapping[int, news.News], saved: SavedSessions, runs: Tally
) -> Outcome:
    """What became of a page, and what is to be said of it."""
    news_of_page = said(told, links.jobs)
    return replace(
        news_of_page,
        warnings=[*news_of_page.warnings, *links.events],
        devices=len(page),
        gaps_closed=sum(one.had_gaps and not one.changes.gaps for one in page),
        gap_ids={one.account_id for one in page if one.changes.gaps},
        missing={one.account_id: found for one in page if (found := one.missing)},
        running=sum(one.reading.running for one in page),
        unlinked=len(links.unlinked),
        sessions=Tally(saved.new, saved.updated, sum(one.changes.unchanged_count for one in page)),
        new_by_source=saved.new_by_source,
        job_runs=runs,
        new_customers=links.new_customers,
        new_jobs=links.new_jobs,
    )

"""The truth behind the fake Cove: customers, their devices, and every session on a time line.

Made from a seed, so a test knows what really happened and compares it with what the poller wrote. Knows nothing
of the poller.
"""

import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

ROOT_PARTNER = 1000
SUCCESS, WITH_ERRORS, FAILED = 5, 8, 2
OTHER_ENDS = (3, 6, 7, 10, 11, 0, 4, 13)
M365 = ("D19", "D20", "D05", "D23")


@dataclass(frozen=True)
class TrueSession:
    """What really happened: one data source, from start to end, with Cove's status code."""

    source: str
    start: datetime
    end: datetime
    status: int
    errors: int = 0


@dataclass(frozen=True)
class Partner:
    id: int
    name: str
    parent_id: int | None


@dataclass
class FakeDevice:
    """A device and its sessions per data source, the oldest first."""

    account_id: int
    partner_id: int
    name: str
    computer_name: str | None
    kind: str
    active: tuple[str, ...]
    sessions: dict[str, list[TrueSession]] = field(default_factory=dict)
    totals: dict[str, list[TrueSession]] = field(default_factory=dict)  # the total's time line, once it was asked for

    def all_sessions(self) -> Iterator[TrueSession]:
        for sessions in self.sessions.values():
            yield from sessions


@dataclass
class Fleet:
    partners: list[Partner]
    devices: list[FakeDevice]

    def device(self, account_id: int) -> FakeDevice:
        return next(device for device in self.devices if device.account_id == account_id)

    def below(self, partner_id: int) -> set[int]:
        """The ids of a partner and of all below it."""
        found = {partner_id}
        while more := {partner.id for partner in self.partners if partner.parent_id in found} - found:
            found |= more
        return found

    def partner_name(self, partner_id: int) -> str:
        return next(partner.name for partner in self.partners if partner.id == partner_id)


def make_fleet(seed: int, begin: datetime, days: float, devices: int = 40) -> Fleet:
    """A fleet with `days` of history from `begin` on: servers, workstations, Microsoft 365, and one that never ran."""
    chance = random.Random(seed)
    partners = [Partner(ROOT_PARTNER, "Example MSP (admin@example.com)", None)]
    count = max(3, devices // 12)
    partners += [
        Partner(1001 + number, _customer_name(number), ROOT_PARTNER if number % 5 else 1000 + max(number, 0))
        for number in range(count)
    ]
    fleet = Fleet(partners, [])
    for number in range(devices):
        partner = partners[1 + number % count]
        device = _make_device(chance, number, partner.id, never_ran=number == devices - 1)
        fleet.devices.append(device)
        if device.active:
            _fill(chance, device, begin, begin + timedelta(days=days))
    return fleet


def _customer_name(number: int) -> str:
    trade = ("Bakery", "Dental", "Garage", "Museum", "Brewery", "Florist")[number % 6]
    mail = f" (it{number}@example.com)" if number % 3 == 0 else ""
    return f"Example {trade} {number}{mail}"


def _make_device(chance: random.Random, number: int, partner_id: int, *, never_ran: bool) -> FakeDevice:
    account_id = 500_000 + number * 7
    suffix = "".join(chance.choices("abcdefghijkmnpqrstuvwxyz23456789", k=5))
    if never_ran:
        return FakeDevice(account_id, partner_id, f"new{number}_{suffix}", None, "workstation", ())
    if number % 10 == 3:
        active = tuple(chance.sample(M365, chance.randint(2, 4)))
        return FakeDevice(account_id, partner_id, f"tenant{number}.example.com", None, "m365", active)
    if number % 10 in (1, 6, 8):
        return FakeDevice(account_id, partner_id, f"pc{number}_{suffix}", f"PC{number}", "workstation", ("D01", "D02"))
    more = chance.sample(("D04", "D06", "D08", "D10", "D11", "D14", "D15"), chance.randint(0, 2))
    active = ("D01", "D02", *sorted(more))
    return FakeDevice(account_id, partner_id, f"srv{number}_{suffix}", f"SRV{number}", "server", active)


def _fill(chance: random.Random, device: FakeDevice, begin: datetime, end: datetime) -> None:
    hourly = device.kind == "server" and device.account_id % 4 == 0
    period = timedelta(hours={"m365": 6, "workstation": 24}.get(device.kind, 1 if hourly else 24))
    first = begin + timedelta(seconds=chance.randrange(int(period.total_seconds())))
    free: dict[str, datetime] = {}
    moment = first
    while moment < end:
        start = moment
        for source in device.active:
            start += timedelta(seconds=chance.randrange(5, 240))
            if start < free.get(source, begin):
                continue
            longest = 20 if hourly else 90
            if source == "D08" and chance.random() < 0.5:
                longest = 30 * 60
            for session in _attempts(chance, source, start, longest):
                if session.end < end:
                    device.sessions.setdefault(source, []).append(session)
                free[source] = session.end + timedelta(seconds=60)
        moment += period


def _attempts(chance: random.Random, source: str, start: datetime, longest_minutes: int) -> Iterator[TrueSession]:
    """A session, and its repetition some minutes later where it did not go well."""
    longest = longest_minutes * 60
    seconds = chance.randrange(longest // 2, longest) if longest_minutes > 1000 else chance.randrange(30, longest)
    end = start + timedelta(seconds=seconds)
    lot = chance.random()
    if lot < 0.82:
        yield TrueSession(source, start, end, SUCCESS)
    elif lot < 0.89:
        yield TrueSession(source, start, end, WITH_ERRORS, chance.randrange(1, 50))
    elif lot < 0.95:
        yield TrueSession(source, start, end, FAILED, chance.randrange(1, 5))
        if chance.random() < 0.6:
            again = end + timedelta(seconds=chance.randrange(61, 900))
            status = SUCCESS if chance.random() < 0.5 else FAILED
            yield TrueSession(source, again, again + timedelta(seconds=chance.randrange(30, 600)), status)
    else:
        status = chance.choice(OTHER_ENDS)
        duration = timedelta(seconds=1) if status in (7, 11) else end - start
        yield TrueSession(source, start, start + duration, status)


def ended(sessions: Sequence[TrueSession], now: datetime) -> Sequence[TrueSession]:
    """Those of a source's sessions that have ended at `now`."""
    return sessions[: bisect_right(sessions, now, key=lambda session: session.end)]


def running(sessions: Sequence[TrueSession], now: datetime) -> TrueSession | None:
    """The one of a source's sessions that runs at `now`."""
    following = sessions[len(ended(sessions, now)) :][:1]
    return next((session for session in following if session.start <= now), None)

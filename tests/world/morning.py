"""A large fleet in the morning: 2,000 devices of forty customers, of which sixty need attention, each in its way.

97 of the others are polled; the rest are theirs over again, under other ids.
"""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.conftest import Cli
from tests.world.fake_cove import FakeCove, FakeDevice, Fleet, Partner, TrueSession, serving

TROUBLED, WELL, TIMES, DAYS = 60, 97, 20, 28
DEVICES = TROUBLED + WELL * TIMES
FIRST = 500_000
CUSTOMERS = (
    "Example Bakery", "Müller & Söhne Steuerberatungsgesellschaft mbH", "Żółta Łódź Sp. z o.o.", "日本の例株式会社",
    "Dental", "Example Garage 24/7", "Stichting Voorbeeld voor Onderwijs en Opvang", "L'Exemple [Paris]",
)  # fmt: skip
COMPUTERS = ("SRV", "HV-CLUSTER-NODE", "sql-prod-finance-emea.corp.example.com-", "PC")
SOURCES = (("D01", "D02"), ("D01", "D02", "D10"), ("D01",), ("D14",))


def make_morning_fleet(now: datetime) -> Fleet:
    """The fleet at `now`, two hours after the night's backups ended."""
    partners = [Partner(1000, "Example MSP", None)]
    partners += [Partner(1001 + number, f"{CUSTOMERS[number % 8]}{suffix(number // 8)}", 1000) for number in range(40)]
    return Fleet(partners, [_device(number, now) for number in range(TROUBLED + WELL)])


def suffix(number: int) -> str:
    return f" {number + 1}" if number else ""


def _device(number: int, now: datetime) -> FakeDevice:
    name, sources = f"{COMPUTERS[number % 4]}{number}", SOURCES[number % 4]
    device = FakeDevice(FIRST + number, 1001 + number % 40, f"{name}_x", name, "server", sources)
    days = DAYS if number < TROUBLED else 2
    for place, source in enumerate(sources):
        ends = [now - timedelta(days=back, hours=2, minutes=-place) for back in reversed(range(days))]
        codes = _codes(number, place, days) if number < TROUBLED else [5] * days
        device.sessions[source] = [
            TrueSession(source, end - timedelta(minutes=10), end, code)
            for end, code in zip(ends, codes, strict=True)
            if code
        ]
    return device


def _codes(number: int, place: int, days: int) -> list[int]:
    """How each day of a source went: one that fails, warns, runs over its quota, is silent, or does all of that."""
    kind, nights = number % 6, 1 + number % 5
    well, mixed = [5] * days, [5, 5, 2, 5, 8, 5, 5]
    if kind == 0 and not place:
        return [*well[nights:], *[2] * nights]
    if kind == 1:
        return [*well[nights:], *[8] * nights]
    if kind == 2:
        return [*well[4:], *[0] * 4]
    if kind == 3 and not place:
        return [*well[1:], 10]
    if kind == 4:
        return [*(mixed * 4)[1:], 2 if place != 1 else 6]
    return [*well[1:], 3]


def morning(directory: Path) -> Cli:
    """The command in a directory, where it has polled the fleet just now."""
    now, cli = datetime.now(UTC).replace(microsecond=0), Cli(directory)
    with serving(FakeCove(make_morning_fleet(now), now)) as cove:
        cli.configure(cove)
        assert cli("sync").returncode == 0
    with closing(sqlite3.connect(directory / "cove.db")) as connection, connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(cove_devices)") if row[1] != "account_id"]
        for time in range(1, TIMES):
            connection.execute(
                f"INSERT INTO cove_devices (account_id, {', '.join(names)})"
                f" SELECT account_id + {1000 * time}, {', '.join(names)} FROM cove_devices"
                f" WHERE account_id BETWEEN {FIRST + TROUBLED} AND {FIRST + TROUBLED + WELL - 1}"
            )
    return cli

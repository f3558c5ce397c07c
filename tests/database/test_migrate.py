"""`migrate` on an empty database and on those that others laid out, and `sync` on what it has made of them."""

import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cove_poller.database import migrate
from cove_poller.database.connecting import limits
from cove_poller.database.engine import migrate_database
from cove_poller.errors import DatabaseError
from tests.conftest import BEGIN, Cli, Site
from tests.world.fake_cove import FakeCove, Fleet, Partner, TrueSession, make_fleet
from tests.world.first_edition import counted_on, device_rows, run_rows, tables
from tests.world.layouts import EMPTY, FOUND, GRANTS, RENAMED, STRICT, Layout, LiveSite, run_script
from tests.world.small_fleet import make_device, make_small_fleet

MakeSite = Callable[[Layout], LiveSite]
LIVE_TABLES = ("customers", "jobs", "job_runs")
OUR_TABLES = ("cove_devices", "cove_sessions", "cove_polls")

on_postgresql = pytest.mark.parametrize("make_site", ["postgresql"], indirect=True)
on_sqlite = pytest.mark.parametrize("make_site", ["sqlite"], indirect=True)
of_found_layouts = pytest.mark.parametrize("live", FOUND, indirect=True, ids=lambda layout: layout.name)


@pytest.fixture
def fleet() -> Fleet:
    """Ten devices of three customers."""
    return make_fleet(seed=7, begin=BEGIN, days=3, devices=10)


@pytest.fixture(params=["sqlite", "postgresql"])
def make_site(request: pytest.FixtureRequest, cove: FakeCove, tmp_path: Path) -> MakeSite:
    """Makes installations on databases as they are found, not migrated; on both kinds in turn."""

    def make(layout: Layout) -> LiveSite:
        url = f"sqlite:///{tmp_path / uuid.uuid4().hex}.db"
        if request.param == "postgresql":
            url = request.getfixturevalue("make_postgres")()
            set_default(url, "timezone", "Asia/Tokyo")  # local time must not matter
        run_script(url, layout.script(url))
        return LiveSite(cove, url, tmp_path, layout=layout)

    return make


@pytest.fixture(params=[EMPTY, *FOUND], ids=lambda layout: layout.name)
def live(request: pytest.FixtureRequest, make_site: MakeSite) -> LiveSite:
    """An installation on each layout in turn, not migrated."""
    return make_site(request.param)


def set_default(url: str, name: str, value: str) -> None:
    """Set a parameter for all sessions of a PostgreSQL database."""
    run_script(url, f"ALTER DATABASE {sa.make_url(url).database} SET {name} TO '{value}'")


def altered(layout: Layout, old: str, new: str, defaults: dict[str, dict[str, Any]] | None = None) -> Layout:
    """The layout with a piece of its SQL replaced, and with more constants."""
    piece = re.compile(re.escape(old), re.IGNORECASE)
    assert piece.search(layout.postgresql)
    assert piece.search(layout.sqlite)
    constants = {**layout.settings.get("defaults", {}), **(defaults or {})}
    return replace(
        layout,
        postgresql=piece.sub(new, layout.postgresql),
        sqlite=piece.sub(new, layout.sqlite),
        settings={**layout.settings, "defaults": constants},
    )


@contextmanager
def transaction(site: Site, statement: str) -> Iterator[None]:
    """Somebody else's transaction, open meanwhile."""
    engine = sa.create_engine(site.database_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
        yield


def utc(value: Any) -> datetime:
    """A time as the database has it, which is UTC where no zone is kept."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def cut(text: str, limit: int | None) -> str:
    """A remark as it fits into its column."""
    return text if limit is None or len(text) <= limit else f"{text[: limit - 1]}…"


def problems(command: Callable[[], object]) -> str:
    """What a person reads when the database is not as it must be."""
    with pytest.raises(DatabaseError) as caught:
        command()
    return str(caught.value)


def test_migrate_prepares_a_database_and_finds_nothing_to_do_the_second_time(live: LiveSite) -> None:
    assert live.prepare()
    before = live.snapshot()
    assert live.prepare() == ""
    assert live.snapshot() == before


@of_found_layouts
def test_migrate_leaves_the_rows_that_are_there_untouched_to_the_byte(live: LiveSite) -> None:
    columns = live.columns()
    before = live.stored(columns)
    assert len(before["job_runs"]) >= 2
    live.prepare()
    live.prepare()
    assert live.stored(columns) == before


@on_postgresql
@of_found_layouts
def test_migrate_changes_nothing_of_backupchecks_but_the_mail_column(live: LiveSite) -> None:
    before = set(live.catalogue())
    live.prepare()
    after = set(live.catalogue())
    lost = {name for kind, name, *_ in before - after if kind != "constraint"}  # as which 18 has each NOT NULL, too
    gained = {name.partition(".")[2] for _, name, *_ in after - before}
    mail_column = {"job_runs.mail_id"} if live.layout is RENAMED else set()
    assert lost == {f"public.{name}" for name in mail_column}
    assert {name for name in gained if "cove_" not in name} == {
        "job_runs.source_type",
        "job_runs.external_id",
        *mail_column,
    }
    assert {"jobs.cove_account_id", "ux_job_runs_cove_key", *OUR_TABLES} <= gained


def test_migrate_adds_a_column_that_an_earlier_version_of_the_poller_did_not_have(live: LiveSite) -> None:
    live.prepare()
    before = live.columns()
    live.execute(f"ALTER TABLE {live.named('cove_polls')} DROP COLUMN learnt")  # the last one
    assert live.columns() != before
    live.prepare()
    assert {table: set(names) for table, names in live.columns().items()} == {
        table: set(names) for table, names in before.items()
    }


def test_a_statement_that_fails_leaves_the_database_as_it_was(live: LiveSite) -> None:
    last = "ix_cove_polls_login"  # what migrate makes last
    assert last in live.prepare(dry_run=True).splitlines()[-2]
    live.execute(
        f"CREATE TABLE {live.named('theirs')} (id integer)", f"CREATE INDEX {last} ON {live.named('theirs')} (id)"
    )
    before = live.snapshot()
    assert last in problems(live.prepare)
    assert live.snapshot() == before


class TestDryRun:
    def test_the_printed_sql_makes_what_migrate_makes_and_printing_it_changes_nothing(
        self, live: LiveSite, make_site: MakeSite
    ) -> None:
        before = live.snapshot()
        printed = live.prepare(dry_run=True)
        assert live.snapshot() == before
        run_script(live.database_url, printed)
        assert live.prepare(dry_run=True) == ""
        other = make_site(live.layout)
        other.prepare()
        assert live.catalogue() == other.catalogue()
        assert live.catalogue() != before[0]

    def test_the_command_prints_nothing_but_the_sql(self, make_site: MakeSite, cli: Cli) -> None:
        live = make_site(RENAMED)
        cli.write_config(live.toml())
        sql = live.prepare(dry_run=True)
        printed = cli("migrate", "--dry-run")
        assert (printed.returncode, printed.stdout, printed.stderr) == (0, sql, "")
        live.prepare()
        printed = cli("migrate", "--dry-run")
        assert (printed.returncode, printed.stdout, printed.stderr) == (0, "", "")


class TestSync:
    SHORT_REMARKS = replace(altered(RENAMED, "comment varchar(120)", "comment varchar(60)"), remark_limit=60)

    @pytest.mark.parametrize("layout", [SHORT_REMARKS, STRICT], ids=lambda layout: layout.name)
    def test_what_is_written_into_a_found_database_is_what_is_written_into_our_own(
        self, layout: Layout, make_site: MakeSite, cove: FakeCove
    ) -> None:
        sites = ours, live = make_site(EMPTY), make_site(layout)
        for site in sites:
            site.prepare()
        polls = [BEGIN + timedelta(days=2, hours=hour) for hour in range(0, 12, 6)]
        for cove.now in polls:
            first, second = (site.sync().logins[0].to_json() for site in sites)
            assert (first["error"], second["error"]) == (None, None)
            assert second["job_runs"] == first["job_runs"]
            assert second["sessions"] == first["sessions"]
        found, wanted = (
            {(run["external_id"], utc(run["run_at"]), run["status"], cut(run["remark"], limit)) for run in site.runs()}
            for site, limit in ((live, None), (ours, layout.remark_limit))
        )
        assert found == wanted
        longest = max(len(run["remark"]) for run in live.runs())
        assert longest == layout.remark_limit or (longest > 60 and layout.remark_limit is None)
        assert len(live.runs()) == len(ours.runs()) == len(wanted) > 15
        assert {run["mail_message_id"] for run in live.runs()} == {None}
        assert {utc(run["created_at"]) for run in live.runs()} <= set(polls)

    def test_a_second_poll_at_the_same_time_writes_no_run(self, live: LiveSite) -> None:
        live.prepare()
        live.sync()
        before = live.stored()["job_runs"]
        assert live.runs()
        again = live.sync().logins[0].to_json()
        assert [(again[rows]["new"], again[rows]["updated"]) for rows in ("sessions", "job_runs")] == [(0, 0)] * 2
        assert live.stored()["job_runs"] == before

    def test_constants_fill_the_columns_that_the_poller_does_not_know(self, make_site: MakeSite) -> None:
        live = make_site(RENAMED)
        live.prepare()
        live.sync()
        assert {(bool(run["missed"]), float(run["ticket_weight"])) for run in live.runs()} == {(False, 1.25)}
        assert {row["customer_name"]: row["tier"] for row in live.rows("SELECT * FROM customers")} == {
            "Example Bakery 0": "gold",
            'Example Café "Zoë"': "none",
            "Example Dental 1": "standard",
            "Example Garage 2": "standard",
        }

    def test_a_job_that_is_there_is_linked_and_its_mail_runs_stay(self, make_site: MakeSite) -> None:
        live = make_site(STRICT)
        live.prepare()
        before = live.stored()["job_runs"]
        live.sync()
        assert live.rows(f"SELECT id FROM {live.named('jobs')} WHERE cove_account_id = 500000") == [{"id": 2}]
        assert live.stored()["job_runs"][: len(before)] == before

    @on_sqlite
    def test_sqlite_is_prepared_by_the_first_sync_that_is_no_dry_run(self, live: LiveSite) -> None:
        before = live.snapshot()
        assert live.sync(dry_run=True).exit_code == 0
        assert live.snapshot() == before
        assert live.sync().exit_code == 0
        assert live.prepare() == ""
        assert live.runs()

    @on_postgresql
    def test_postgresql_that_is_not_prepared_is_refused_with_the_command_to_run(self, live: LiveSite, cli: Cli) -> None:
        before = live.snapshot()
        cli.write_config(live.toml())
        done = cli("sync")
        assert (done.returncode, done.stdout) == (14, "")
        assert "run: cove-poller migrate" in done.stderr
        assert "Traceback" not in done.stderr
        assert live.snapshot() == before

    @on_postgresql
    def test_what_is_missing_is_named(self, make_site: MakeSite) -> None:
        said = problems(make_site(RENAMED).sync)
        missing = ("jobs.cove_account_id", "job_runs.source_type", "job_runs.mail_id", "unique index", *OUR_TABLES)
        assert [name for name in missing if name not in said] == []
        assert "customers, jobs and job_runs" in problems(make_site(EMPTY).sync)


class TestWhatIsNoneOfOurs:
    """Other people's columns and indexes must not get in the way, whatever they are called or hold."""

    def test_a_constant_may_be_for_a_column_with_one_of_the_pollers_names(self, make_site: MakeSite) -> None:
        old = "missed boolean NOT NULL"
        constants = {**RENAMED.settings["defaults"]["job_runs"], "status": "new"}
        live = make_site(
            altered(RENAMED, old, f"{old}, status varchar(9) NOT NULL DEFAULT 'old'", {"job_runs": constants})
        )
        live.prepare()
        live.sync()
        query = "SELECT DISTINCT status FROM job_runs WHERE source_type"
        assert live.rows(f"{query} = 'api'") == [{"status": "new"}]
        assert live.rows(f"{query} IS NULL") == [{"status": "old"}]
        assert {run["status"] for run in live.runs()} >= {"Success", "Failed"}

    def test_a_constant_may_be_a_time(self, make_site: MakeSite) -> None:
        new = "updated_at timestamp NOT NULL DEFAULT '2000-01-01 00:00:00.000000', notes text NOT NULL"
        live = make_site(altered(RENAMED, "notes text NOT NULL", new, {"jobs": {"updated_at": "2026-01-01T12:00:00"}}))
        live.prepare()
        live.sync()
        query = "SELECT DISTINCT updated_at FROM jobs WHERE cove_account_id <> 500000"
        assert [utc(row["updated_at"]) for row in live.rows(query)] == [datetime(2026, 1, 1, 12, tzinfo=UTC)]

    def test_a_customer_whose_name_is_too_long_for_its_column_is_named_with_what_to_do(
        self, make_site: MakeSite
    ) -> None:
        live = make_site(altered(STRICT, "name text NOT NULL,\n    active", "name varchar(17) NOT NULL,\n    active"))
        partners = live.cove.fleet.partners
        partners[3] = Partner(partners[3].id, "Example Garage and Sons", 1000)
        live.prepare()
        login = live.sync().logins[0].to_json()
        assert login["error"] is None
        assert login["unlinked"] == sum(device.partner_id == partners[3].id for device in live.cove.fleet.devices)
        assert "'Example Garage and Sons' is too long a name for Backupchecks; map it" in " ".join(login["warnings"])
        customers = live.rows(f"SELECT name FROM {live.named('customers')} ORDER BY id")
        assert customers == [{"name": "Example Dental 1"}, {"name": "Example Bakery 0"}]

    def test_an_index_over_an_expression_is_no_trouble(self, make_site: MakeSite) -> None:
        live = make_site(STRICT)
        live.execute(f"CREATE UNIQUE INDEX by_remark ON {live.named('job_runs')} (lower(remark), id)")
        live.prepare()
        assert live.sync().exit_code == 0

    @on_postgresql
    def test_a_column_of_a_type_that_the_library_does_not_know_is_no_trouble(self, make_site: MakeSite) -> None:
        live = make_site(STRICT)
        live.execute(f"ALTER TABLE {live.named('job_runs')} ADD COLUMN details xml")
        live.prepare()
        assert live.sync().exit_code == 0

    @pytest.mark.parametrize("condition", ["", " WHERE remark IS NOT NULL"], ids=["whole", "partial"])
    def test_a_unique_index_over_the_key_is_enough_unless_it_covers_some_rows_only(
        self, condition: str, make_site: MakeSite
    ) -> None:
        live = make_site(EMPTY)
        live.prepare()
        live.execute(
            "DROP INDEX ux_job_runs_cove_key",
            f"CREATE UNIQUE INDEX theirs ON job_runs (external_id, run_at, source_type){condition}",
        )
        assert ("ux_job_runs_cove_key" in live.prepare()) == bool(condition)
        assert live.sync().exit_code == 0


class TestRefusal:
    """What a person must solve first is said, and nothing is changed."""

    def test_rows_that_are_there_twice_are_listed(self, live: LiveSite) -> None:
        live.prepare()
        live.sync()
        run, runs = live.runs()[0], live.named("job_runs")
        columns = ", ".join(name for name in live.columns()["job_runs"] if name != "id")
        twice = f"FROM {runs} WHERE external_id = '{run['external_id']}' AND id <= {run['id']}"
        live.execute(
            f"DROP INDEX {live.named('ux_job_runs_cove_key')}",
            f"INSERT INTO {runs} ({columns}) SELECT {columns} {twice}",
        )
        newest = live.rows(f"SELECT max(id) AS id FROM {runs}")[0]["id"]
        before = live.snapshot()
        for dry_run in (True, False):
            said = problems(lambda dry_run=dry_run: live.prepare(dry_run=dry_run))  # type: ignore[misc]
            assert f"2 rows (ids {run['id']} to {newest})" in said
            assert f"external_id '{run['external_id']}', run_at {utc(run['run_at']):%Y-%m-%d %H:%M:%S}Z" in said
            assert live.snapshot() == before
        live.execute(f"DELETE FROM {runs} WHERE id = {newest}")
        assert "ux_job_runs_cove_key" in live.prepare()

    def test_all_problems_are_named_at_once_with_the_key_that_fixes_each(self, make_site: MakeSite) -> None:
        broken = """
            CREATE TABLE customers (id integer PRIMARY KEY, active boolean, tier text NOT NULL);
            CREATE TABLE jobs (id integer PRIMARY KEY, customer_id text, backup_software text, backup_type text,
                job_name text, active boolean);
            CREATE TABLE job_runs (id integer PRIMARY KEY, job_id integer, run_at text, remark text,
                mail_message_id integer, reviewed_at timestamp NOT NULL, owner text NOT NULL);
        """
        fixed_by = {
            "customers.name": "[backupchecks.columns.customers] name",
            "customers.tier": "[backupchecks.defaults.customers] tier",
            "jobs.customer_id": "[backupchecks.columns.jobs] customer_id",
            "jobs.colour": "[backupchecks.defaults.jobs]",
            "job_runs.run_at": "[backupchecks.columns.job_runs] run_at",
            "job_runs.status": "[backupchecks.columns.job_runs] status",
            "job_runs.reviewed_at": "[backupchecks.columns.job_runs] reviewed_at",
            "job_runs.owner": "[backupchecks.defaults.job_runs] owner",
        }
        settings = {"defaults": {"jobs": {"colour": "red"}}}
        live = make_site(Layout("broken", postgresql=broken, sqlite=broken, settings=settings))
        before = live.snapshot()
        lines = problems(live.prepare).splitlines()[1:]
        said = {column: line for line in lines for column in fixed_by if line.split()[0] == column}
        assert {column for column, key in fixed_by.items() if key not in said.get(column, "")} == set()
        assert len(lines) == len(fixed_by)
        assert live.snapshot() == before

    def test_every_column_that_is_needed_and_missing_is_named(self, make_site: MakeSite) -> None:
        bare = "".join(f"CREATE TABLE {table} (other integer);" for table in LIVE_TABLES)
        lines = problems(make_site(Layout("bare", postgresql=bare, sqlite=bare)).prepare).splitlines()[1:]
        needed = {
            "customers": ("id", "name", "active"),
            "jobs": ("id", "customer_id", "backup_software", "backup_type", "job_name", "active"),
            "job_runs": ("id", "job_id", "run_at", "status", "remark", "mail_message_id"),
        }
        wanted = {f"{table}.{column}" for table, columns in needed.items() for column in columns}
        assert {line.split()[0] for line in lines} == wanted
        assert all("(there are: other)" in line and "[backupchecks.columns." in line for line in lines)

    @pytest.mark.parametrize("table", LIVE_TABLES)
    def test_a_missing_table_is_named_with_the_schema_that_may_be_wrong(self, table: str, make_site: MakeSite) -> None:
        others = "".join(f"CREATE TABLE {name} (id integer);" for name in LIVE_TABLES if name != table)
        live = make_site(Layout("partial", postgresql=others, sqlite=others))
        before = live.snapshot()
        assert re.search(rf"table {table} is missing.*\[database\] schema", problems(live.prepare))
        assert live.snapshot() == before

    @on_postgresql
    def test_a_schema_that_does_not_exist_is_named_with_its_key(self, make_site: MakeSite) -> None:
        live = make_site(replace(EMPTY, schema="nowhere"))
        for command in (live.prepare, live.sync):
            assert 'no schema "nowhere" ([database] schema)' in problems(command)

    @on_sqlite
    def test_a_mail_column_that_sqlite_cannot_make_nullable_is_named_with_what_to_do(self, make_site: MakeSite) -> None:
        live = make_site(replace(RENAMED, sqlite=RENAMED.sqlite.replace("mail_id INTEGER", "mail_id INTEGER NOT NULL")))
        before = live.snapshot()
        for command in (live.prepare, live.sync):
            said = problems(command)
            assert "job_runs.mail_id is NOT NULL" in said
            assert "make the table anew" in said
        assert live.snapshot() == before


class TestBusyDatabase:
    """Better a migration that fails than a Backupchecks that waits behind it."""

    @pytest.fixture
    def busy(self, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> LiveSite:
        """A PostgreSQL installation that waits for locks as briefly as a test may; and if not, then not forever."""
        monkeypatch.setattr(migrate, "LOCK_TIMEOUT", "SET LOCAL lock_timeout = '200ms'")
        live = make_site(RENAMED)
        set_default(live.database_url, "statement_timeout", "5s")
        return live

    @on_postgresql
    @pytest.mark.parametrize("mode", ["ACCESS SHARE", "ROW EXCLUSIVE", "ACCESS EXCLUSIVE"])
    def test_migrate_does_not_wait_long_for_a_lock_on_job_runs(self, mode: str, busy: LiveSite) -> None:
        before = busy.snapshot()
        with transaction(busy, f"LOCK TABLE job_runs IN {mode} MODE"):
            assert "lock timeout" in problems(busy.prepare)
        assert busy.snapshot() == before
        busy.prepare()

    @on_postgresql
    def test_neither_does_the_printed_sql(self, busy: LiveSite, capfd: pytest.CaptureFixture[str]) -> None:
        printed = busy.prepare(dry_run=True)
        before = busy.snapshot()
        locked = transaction(busy, "LOCK TABLE job_runs IN ACCESS SHARE MODE")
        with locked, pytest.raises(subprocess.CalledProcessError):
            run_script(busy.database_url, printed)
        assert "lock timeout" in capfd.readouterr().err
        assert busy.snapshot() == before

    @on_sqlite
    def test_migrate_does_not_wait_forever_for_another_writer(
        self, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "BUSY", 0.2)
        live = make_site(RENAMED)
        with transaction(live, "UPDATE customers SET tier = 'silver'"):
            assert "locked" in problems(live.prepare)
        live.prepare()


@on_postgresql
class TestLeastRights:
    def limited(self, owner: LiveSite, role: str) -> LiveSite:
        """The prepared installation for a role that has the granted rights only."""
        url, schema = sa.make_url(owner.database_url), f'"{owner.layout.schema}"'
        nobody = f"REVOKE ALL ON DATABASE {url.database} FROM PUBLIC; REVOKE ALL ON SCHEMA {schema} FROM PUBLIC;"
        granted = GRANTS.format(role=role, database=url.database, schema=schema)
        run_script(owner.database_url, f"CREATE TABLE {owner.named('secrets')} (id integer); {nobody} {granted}")
        limited = url.set(username=role, password="example").render_as_string(hide_password=False)
        return replace(owner, database_url=limited)

    def test_the_granted_rights_are_enough_for_sync_and_for_nothing_else(
        self, role: str, live: LiveSite, cove: FakeCove
    ) -> None:
        live.prepare()
        limited = self.limited(live, role)
        assert limited.sync().exit_code == 0
        cove.now += timedelta(hours=6)
        again = limited.sync()
        assert again.exit_code == 0
        assert again.logins[0].to_json()["job_runs"]["new"] > 0
        jobs, customers = live.named("jobs"), live.named("customers")
        columns = live.columns()
        for statement in (
            f"SELECT * FROM {live.named('secrets')}",
            f"UPDATE {jobs} SET {columns['jobs'][2]} = 'theirs'",
            f"DELETE FROM {jobs}",
            f"UPDATE {customers} SET {columns['customers'][1]} = 'theirs'",
            f"DROP TABLE {live.named('job_runs')}",
            f"DROP TABLE {live.named('cove_polls')}",
            f"CREATE TABLE {live.named('mine')} (id integer)",
        ):
            with pytest.raises(sa.exc.ProgrammingError, match=r"permission denied|must be owner"):
                limited.execute(statement)

    def test_migrate_grants_what_sync_needs_and_a_refusal_says_so(self, role: str, live: LiveSite) -> None:
        live.prepare()
        url = sa.make_url(live.database_url).set(username=role, password="example")
        limited = replace(live, database_url=url.render_as_string(hide_password=False))
        run_script(live.database_url, f'GRANT USAGE ON SCHEMA "{live.layout.schema}" TO {role}')
        script = migrate_database(live.config(), None, dry_run=True, grant=role)
        text = str(limited.sync().logins[0].error)  # the dry run has granted nothing
        assert "permission denied for table" in text
        assert "cove-poller migrate --url URL --grant ROLE" in text
        assert migrate_database(live.config(), None, dry_run=False, grant=role) == script
        assert limited.sync().exit_code == 0

    def test_migrate_is_left_to_the_owner(self, role: str, live: LiveSite) -> None:
        live.prepare()
        limited = self.limited(live, role)
        live.execute(f"DROP INDEX {live.named('ux_job_runs_cove_key')}")
        assert "must be owner" in problems(limited.prepare)
        assert "run: cove-poller migrate" in problems(limited.sync)


class TestFirstEdition:
    """A database that the first edition of the rules has filled: hourly sessions that it chained into one run."""

    HOURS = 48
    FAILED = (5, 6, 7, 30)

    @pytest.fixture
    def fleet(self) -> Fleet:
        """Three servers: one with an hourly job, one that is backed up each night, an hourly one that has gone."""
        begin = BEGIN - timedelta(minutes=50)
        hours = [begin + timedelta(hours=hour + 1) for hour in range(self.HOURS)]
        hourly, nightly, gone = (make_device(number, f"srv{number}_x", active=("D01",)) for number in (1, 2, 3))
        for device, starts in ((hourly, hours), (gone, hours[:8])):
            device.sessions["D01"] = [
                TrueSession("D01", start, start + timedelta(minutes=50), 2 if hour in self.FAILED else 5)
                for hour, start in enumerate(starts)
            ]
        nights = [BEGIN + timedelta(hours=hour) for hour in (-22, 2, 26)]
        nightly.sessions["D01"] = [TrueSession("D01", at, at + timedelta(minutes=30), 5) for at in nights]
        return make_small_fleet(hourly, nightly, gone)

    @pytest.fixture
    def old(self, make_site: MakeSite, fleet: Fleet, cove: FakeCove) -> LiveSite:
        """The database after two days; of the nightly device the second night is reviewed."""
        site = make_site(EMPTY)
        kind = "sqlite" if site.is_sqlite else "postgresql"
        hourly, nightly, gone = fleet.devices
        cove.now = BEGIN + timedelta(hours=self.HOURS, minutes=20)
        last = BEGIN + timedelta(hours=self.HOURS - 1)
        statements = [
            *(sql for one in (hourly, nightly) for sql in device_rows(one, BEGIN, last)),
            *device_rows(gone, BEGIN, last, is_gone=True),
            *run_rows(1, hourly.sessions["D01"], 1),
            *(sql for number, one in enumerate(nightly.sessions["D01"], 2) for sql in run_rows(number, [one], 2)),
            *run_rows(5, gone.sessions["D01"], 3),
            f"UPDATE job_runs SET reviewed_at = '{BEGIN:%Y-%m-%d} 08:08:08.000000' WHERE id = 3",
        ]
        begin = "SET TIME ZONE 'UTC';" if kind == "postgresql" else ""
        run_script(site.database_url, begin + tables(kind) + ";\n".join([*statements, *counted_on(kind, 5)]) + ";")
        fleet.devices.remove(gone)
        return site

    SESSIONS = (
        "SELECT account_id, session_at, started_at, status, origin FROM cove_sessions WHERE data_source = 'D01'"
        " ORDER BY id"
    )

    def reviewed(self, site: LiveSite) -> list[dict[str, Any]]:
        return [row for row in site.stored()["job_runs"] if ":08:08" in str(row.values())]

    def test_the_next_sync_makes_its_unreviewed_runs_anew_and_leaves_the_reviewed_ones_to_the_byte(
        self, old: LiveSite
    ) -> None:
        reviewed, sessions = self.reviewed(old), old.rows(self.SESSIONS)
        assert len(reviewed) == 1
        said = "-- the next sync makes 4 job runs anew, by the rules of this version; those that were reviewed stay\n"
        assert old.prepare(dry_run=True).startswith(said)
        assert old.prepare().startswith(said)
        assert old.prepare() == ""
        result = old.sync()
        assert (result.exit_code, result.to_json()["logins"][0]["warnings"]) == (0, [])
        for account, hours in ((1, 48), (3, 8)):
            assert self.told(old, account) == [
                (hour + 1, "Failed" if hour in self.FAILED else "Success") for hour in range(hours)
            ]
        assert self.told(old, 2) == [(-21.5, "Success"), (2.5, "Success"), (26.5, "Success")]
        assert {run["id"] for run in old.runs()} >= {1, 2, 3, 4, 5}
        assert (self.reviewed(old), old.rows(self.SESSIONS)) == (reviewed, sessions)
        again = old.sync().to_json()["logins"][0]["job_runs"]
        assert (again["new"], again["updated"]) == (0, 0)

    def test_what_it_knew_of_its_sessions_is_kept_beside_them(self, old: LiveSite) -> None:
        old.prepare()
        rows = old.rows("SELECT account_id, session_at, time_is, unknown_since FROM cove_sessions ORDER BY id")
        assert {row["time_is"] for row in rows} == {"end"}
        unknown = [
            (row["account_id"], utc(row["session_at"]), utc(row["unknown_since"]))
            for row in rows
            if row["unknown_since"]
        ]
        assert unknown == [(2, BEGIN - timedelta(hours=21.5), datetime(1970, 1, 1, tzinfo=UTC))]

    def told(self, site: LiveSite, account: int) -> list[tuple[float, str]]:
        """The runs of a device: how many hours after BEGIN, and with which status."""
        runs = [(utc(run["run_at"]), run["status"]) for run in site.runs() if run["external_id"] == str(account)]
        return sorted(((run_at - BEGIN) / timedelta(hours=1), status) for run_at, status in runs)

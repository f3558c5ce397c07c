"""Connections, locks, transactions, and values on their way into the database and back, on both kinds."""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cove_poller.database import engine as database
from cove_poller.database.bulk import as_rows, insert_rows
from cove_poller.database.engine import Database, Mode, open_database
from cove_poller.database.tables import UtcDateTime
from cove_poller.errors import DatabaseError, LockHeld
from tests.conftest import Cli, Site
from tests.world.fake_cove import FakeCove

PASSWORD = "pass-word-of-nobody"
COMMANDS = (("sync",), ("migrate",), ("migrate", "--dry-run"), ("-vv", "sync"))


def write_config(cli: Cli, url: str) -> None:
    cli.write_config(f'[database]\nurl = "{url}"\n[logins.main]\nusername = "api-poller"\npassword = "token"\n')


@contextmanager
def engine_of(url: str, **options: Any) -> Iterator[sa.Engine]:
    engine = sa.create_engine(url, poolclass=sa.NullPool, **options)
    yield engine
    engine.dispose()


@contextmanager
def opened(site: Site, mode: Mode = Mode.WRITE) -> Iterator[Database]:
    with open_database(site.config(), None, mode) as found:
        yield found


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


class TestConnection:
    @pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
    @pytest.mark.parametrize("place", ["url", "variable"])
    def test_a_wrong_password_ends_with_14_and_is_shown_nowhere(
        self, place: str, command: tuple[str, ...], cli: Cli, guarded_url: sa.URL
    ) -> None:
        url = guarded_url if place == "url" else guarded_url.set(password="")
        write_config(cli, url.render_as_string(hide_password=False))
        done = cli(*command, **({} if place == "url" else {"COVE_POLLER_DATABASE_PASSWORD": PASSWORD}))
        assert done.returncode == 14
        assert "password authentication failed" in done.stderr
        assert "Traceback" not in done.stderr
        assert PASSWORD not in done.stdout + done.stderr

    @pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            (f"postgresql://poller:{PASSWORD}@127.0.0.1:1/backupchecks", "refused"),
            (f"postgresql://poller:{PASSWORD}@/backupchecks?host=/nowhere", "No such file"),
            ("sqlite:////nowhere/cove.db", "unable to open"),
            ("sqlite:///cove.toml", "not a database"),
        ],
        ids=["port", "socket", "directory", "file"],
    )
    def test_a_database_that_is_not_there_ends_with_14_and_the_reason(
        self, url: str, reason: str, command: tuple[str, ...], cli: Cli
    ) -> None:
        write_config(cli, url)
        done = cli(*command)
        assert done.returncode == 14
        assert reason in done.stderr
        assert "Traceback" not in done.stderr
        assert PASSWORD not in done.stdout + done.stderr

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
    def test_an_address_that_makes_no_sense_is_said_without_showing_it(self, url: str, cli: Cli) -> None:
        write_config(cli, url)
        done = cli("migrate")
        assert done.returncode in (10, 14)
        assert "database" in done.stderr
        assert "url" in done.stderr
        assert "Traceback" not in done.stderr
        assert PASSWORD not in done.stdout + done.stderr


class TestLock:
    @pytest.mark.parametrize("other", ["second", "ma in", "ma/in", "../main", "Grüße"])
    def test_a_login_is_worked_on_by_one_run_at_a_time_and_other_logins_are_not_in_its_way(
        self, other: str, site: Site
    ) -> None:
        logins = ("ma_in", other)
        for mine, theirs in (logins, logins[::-1]):
            with opened(site) as first, opened(site) as second, first.lock(mine):
                with pytest.raises(LockHeld, match=mine), second.lock(mine):
                    pass
                with second.lock(theirs):
                    pass
            with opened(site) as third, third.lock(mine):
                pass

    def test_a_sync_that_finds_its_login_locked_ends_with_15_and_asks_cove_nothing(self, site: Site) -> None:
        with opened(site) as other, other.lock("main"):
            result = site.sync()
        assert result.exit_code == 15
        assert site.cove.requests == []
        assert site.sync().exit_code == 0

    def test_the_lock_of_one_database_does_not_hold_in_another(self, site: Site, tmp_path: Path) -> None:
        other = Site(site.cove, f"sqlite:///{tmp_path / 'other.db'}", tmp_path)
        other.migrate()
        with opened(site) as first, opened(other) as second, first.lock("main"), second.lock("main"):
            pass

    def test_a_lock_file_that_cannot_be_made_is_a_database_error(self, cove: FakeCove, tmp_path: Path) -> None:
        site = Site(cove, f"sqlite:///{tmp_path / 'cove.db'}", tmp_path)
        site.migrate()
        (tmp_path / "cove.db.main.lock").mkdir()
        with opened(site) as found, pytest.raises(DatabaseError, match=r"cove\.db\.main\.lock"), found.lock("main"):
            pass


class TestTransaction:
    ADD = "INSERT INTO customers (name) VALUES ('{}')"

    def break_off(self, found: Database) -> None:
        """A transaction of which the first half works."""
        with found.transaction() as connection:
            connection.exec_driver_sql(self.ADD.format("lost"))
            connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")

    def test_it_is_done_whole_or_not_at_all(self, site: Site) -> None:
        with opened(site) as found:
            with found.transaction() as connection:
                connection.exec_driver_sql(self.ADD.format("kept"))
            with pytest.raises(DatabaseError, match="nowhere"):
                self.break_off(found)
        assert [row["name"] for row in site.rows("SELECT name FROM customers")] == ["kept"]

    def test_a_dry_run_sees_what_it_wrote_and_leaves_nothing(self, site: Site) -> None:
        with opened(site, Mode.DRY) as found, found.together():
            with found.transaction() as connection:
                connection.exec_driver_sql(self.ADD.format("tried"))
            with pytest.raises(DatabaseError, match="nowhere"):
                self.break_off(found)
            with found.transaction() as connection:
                assert connection.exec_driver_sql("SELECT name FROM customers").scalars().all() == ["tried"]
        assert site.rows("SELECT name FROM customers") == []

    def test_no_value_gets_into_an_error(self, site: Site) -> None:
        with opened(site) as found, pytest.raises(DatabaseError) as caught, found.transaction() as connection:
            connection.execute(sa.text("INSERT INTO nowhere VALUES (:value)"), {"value": PASSWORD})
        assert PASSWORD not in str(caught.value)

    def test_sqlite_waits_for_another_writer_and_then_says_that_it_is_locked(
        self, cove: FakeCove, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "BUSY_TIMEOUT_SECONDS", 0.2)
        site = Site(cove, f"sqlite:///{tmp_path / 'cove.db'}", tmp_path)
        site.migrate()
        with opened(site) as first, opened(site) as second, first.transaction():
            begin = time.monotonic()
            with pytest.raises(DatabaseError, match="locked"), second.transaction():
                pass
            assert time.monotonic() - begin >= 0.2


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest) -> Iterator[sa.Connection]:
    """A connection to each kind of database, PostgreSQL's with a local time that is not UTC."""
    if request.param == "sqlite":
        with engine_of("sqlite://") as engine, engine.connect() as connection:
            yield connection
        return
    server = sa.make_url(request.getfixturevalue("postgres_url")).set(drivername="postgresql+psycopg2")
    with engine_of(server.render_as_string(hide_password=False)) as engine, engine.connect() as connection:
        connection.exec_driver_sql("SET LOCAL TIME ZONE 'Asia/Tokyo'")
        yield connection
        connection.rollback()


NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MOMENTS = [
    NOON,
    NOON.replace(microsecond=123456),
    NOON.astimezone(timezone(timedelta(hours=5, minutes=30))),
    datetime(2026, 3, 2, 23, 59, 59, tzinfo=timezone(-timedelta(hours=8))),
    datetime(1970, 1, 1, tzinfo=UTC),
]


class TestUtcDateTime:
    @pytest.fixture
    def moments(self, connection: sa.Connection) -> sa.Table:
        """A table with a column of both kinds, as far as the database knows a difference."""
        table = sa.Table(
            "moments",
            sa.MetaData(),
            sa.Column("zoned", UtcDateTime(timezone=True)),
            sa.Column("zoneless", UtcDateTime(timezone=False)),
            prefixes=["TEMPORARY"],
        )
        table.create(connection)
        return table

    @pytest.mark.parametrize("moment", [*MOMENTS, None], ids=str)
    @pytest.mark.parametrize("in_rows", [False, True], ids=["value", "rows"])
    def test_a_time_comes_back_as_the_same_moment_in_utc(
        self, in_rows: bool, moment: datetime | None, connection: sa.Connection, moments: sa.Table
    ) -> None:
        row = {"zoned": moment, "zoneless": moment}
        if in_rows:
            connection.execute(insert_rows(moments, list(moments.c), [row], connection.dialect))
        else:
            connection.execute(moments.insert(), row)
        found = connection.execute(sa.select(moments)).one()
        assert tuple(found) == (moment, moment)
        if moment:
            assert {one.tzinfo for one in found} == {UTC}
            same = [column == moment for column in moments.c]
            assert connection.scalar(sa.select(sa.func.count()).where(*same)) == 1

    @pytest.mark.parametrize("moment", MOMENTS, ids=str)
    def test_utc_is_what_a_column_without_a_zone_holds(
        self, moment: datetime, connection: sa.Connection, moments: sa.Table
    ) -> None:
        connection.execute(moments.insert(), {"zoned": moment, "zoneless": moment})
        zoned = "zoned" if connection.dialect.name == "sqlite" else "zoned AT TIME ZONE 'UTC'"
        for expression in ("zoneless", zoned):
            text = connection.exec_driver_sql(f"SELECT CAST({expression} AS text) FROM moments").scalar_one()
            assert datetime.fromisoformat(text).replace(tzinfo=UTC) == moment


VALUES: list[tuple[sa.types.TypeEngine[Any], Any]] = [
    (sa.Text(), 'it\'s "quoted", a \\ and a \\n, %s %(name)s :name $1 {} ; -- /*'),
    (sa.Text(), "Grüße, 東京, 😀, e\u0301, \u202e, \t\r\n"),
    (sa.Text(), '{"looks": ["like", "JSON"]}'),
    (sa.Text(), "null"),
    (sa.Text(), "true"),
    (sa.Text(), "007"),
    (sa.Text(), ""),
    (sa.Text(), "long " * 400_000),
    (sa.Text(), None),
    (sa.String(5), "five!"),
    (sa.String(5), None),
    (sa.Boolean(), True),
    (sa.Boolean(), False),
    (sa.Boolean(), None),
    (sa.BigInteger(), 2**63 - 1),
    (sa.BigInteger(), -(2**63)),
    (sa.BigInteger(), 2**53 + 1),
    (sa.BigInteger(), 0),
    (sa.BigInteger(), None),
    (sa.Float(), 0.1),
    (sa.JSON(), {"D01": {"status": 'it\'s "ok" 😀', "code": 5, "big": 2**53 + 1, "none": None, "yes": True}}),
    (sa.JSON(), []),
]


class TestRows:
    @pytest.mark.parametrize(("kind", "value"), VALUES, ids=[f"{kind} {str(value)[:20]!a}" for kind, value in VALUES])
    def test_a_value_comes_back_as_it_was(
        self, kind: sa.types.TypeEngine[Any], value: Any, connection: sa.Connection
    ) -> None:
        columns: list[sa.Column[Any]] = [sa.Column("number", sa.Integer), sa.Column("value", kind)]
        rows = [{"number": number, "value": value} for number in range(2)]
        found = connection.execute(sa.select(as_rows("given", columns, rows, connection.dialect)))
        assert [dict(row) for row in found.mappings()] == rows

    def test_a_text_that_is_too_long_for_its_column_is_cut_with_a_mark(self, connection: sa.Connection) -> None:
        columns = [sa.Column("value", sa.String(5))]
        rows = as_rows("given", columns, [{"value": "sixsix"}, {"value": "😀" * 6}], connection.dialect)
        assert connection.execute(sa.select(rows)).scalars().all() == ["sixs…", "😀😀😀😀…"]

    def test_what_a_row_does_not_have_is_null(self, connection: sa.Connection) -> None:
        columns: list[sa.Column[Any]] = [sa.Column("a", sa.Integer), sa.Column("b", sa.Text)]
        rows = as_rows("given", columns, [{"a": 1}, {"b": "two", "c": "not asked for"}], connection.dialect)
        assert [tuple(row) for row in connection.execute(sa.select(rows))] == [(1, None), (None, "two")]

    def test_no_rows_are_no_rows(self, connection: sa.Connection) -> None:
        rows = as_rows("given", [sa.Column("a", sa.Integer)], [], connection.dialect)
        assert connection.execute(sa.select(rows)).all() == []

    def test_columns_may_be_called_anything(self, connection: sa.Connection) -> None:
        names = ["select", "Mixed Case", "with.dot", "percent%", "=live", "ünï"]
        columns = [sa.Column(name, sa.Text) for name in names]
        rows = as_rows("given", columns, [dict.fromkeys(names, "value")], connection.dialect)
        assert dict(connection.execute(sa.select(rows)).mappings().one()) == dict.fromkeys(names, "value")

    def test_rows_whose_key_is_there_already_are_left_out(self, connection: sa.Connection) -> None:
        table = sa.Table(
            "things",
            sa.MetaData(),
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("value", sa.Text),
            prefixes=["TEMPORARY"],
        )
        table.create(connection)
        made: list[Callable[[], Any]] = []
        for rows in ([{"id": 1, "value": "first"}], [{"id": 1, "value": "second"}, {"id": 2, "value": "new"}]):
            statement = insert_rows(table, list(table.c), rows, connection.dialect, key=["id"])
            made.append(connection.execute(statement.returning(table.c.id)).scalars().all)
        assert [ids() for ids in made] == [[1], [2]]
        assert [tuple(row) for row in connection.execute(sa.select(table).order_by(table.c.id))] == [
            (1, "first"),
            (2, "new"),
        ]

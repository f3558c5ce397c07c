"""`sync` as the installed command while its database is away, and when it is back: on PostgreSQL, and killed."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from cove_poller.database.engine import migrate_database
from tests.conftest import BEGIN, NEVER_STALE, Cli, Site, the_json, wait_for
from tests.world.fake_cove import FakeCove
from tests.world.prepared import make_config
from tests.world.recorded import plain_rows


@contextmanager
def refusing(url: str) -> Iterator[None]:
    """Let a PostgreSQL database take no connections."""
    name = sa.make_url(url).database
    admin = sa.create_engine(
        sa.make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with admin.connect() as connection:
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
        yield
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')


def configured(cli: Cli, cove: FakeCove, url: str, database: str = "") -> None:
    cli.configure(cove, NEVER_STALE)
    text = (cli.directory / "cove.toml").read_text()
    cli.write_config(text.replace('"sqlite:///cove.db"\n', f'"{url}"\n{database}\n'))


def test_a_postgresql_that_takes_no_connections_loses_no_poll_and_the_mail_says_what_is_safe(
    cli: Cli, cove: FakeCove, make_postgres: Callable[[], str]
) -> None:
    url = make_postgres()
    migrate_database(make_config(url), None, dry_run=False)
    configured(cli, cove, url)
    with refusing(url):
        mail = cli("sync")
        content = the_json(cli("sync", "--json").stdout)
    assert (mail.returncode, mail.stdout) == (14, "")
    assert "what Cove tells of 20 devices is safe and will be recorded" in mail.stderr
    (login,) = content["logins"]
    assert (content["exit_code"], login["spooled"], login["error"]["code"]) == (14, 2, "database")
    (folder,) = (cli.directory / ".local/state/cove-poller").iterdir()
    assert len([*folder.glob("main.*.json.gz")]) == 2
    content = the_json(cli("sync", "--json").stdout)
    (login,) = content["logins"]
    assert (content["exit_code"], login["spooled"], login["error"]) == (0, 0, None)
    assert login["sessions"]["new"] > 0
    assert [*folder.glob("main.*.json.gz")] == []


def killed_at(cli: Cli, waiting: Callable[[], list[Path]], wanted: int, chance: random.Random) -> None:
    """Start a sync; kill it some moments after no more than so many polls wait."""
    process = cli.start("sync")
    time.sleep(chance.uniform(0, 0.4))
    wait_for(lambda: len(waiting()) <= wanted or process.poll() is not None)
    time.sleep(chance.uniform(0, 0.1))
    process.kill()
    process.communicate()


@pytest.mark.long
def test_killed_again_and_again_while_it_records_what_was_kept_the_rows_are_the_same(
    cli: Cli, cove: FakeCove, soaks: bool, measured: Callable[[str], None]
) -> None:
    kills, chance = (50 if soaks else 4), random.Random(7)
    own = 'spool_directory = "spool"'

    def waiting() -> list[Path]:
        return [*(cli.directory / "spool").glob("main.*.json.gz")]

    cove.now = BEGIN + timedelta(days=1)
    for name in ("clean", "killed"):
        configured(cli, cove, f"sqlite:///{name}.db", own)
        assert cli("sync").returncode == 0
    for _ in range(6):
        cove.now += timedelta(hours=6)
        configured(cli, cove, "sqlite:///clean.db")
        assert cli("sync").returncode == 0
        configured(cli, cove, "postgresql://nobody@127.0.0.1:1/nothing", own)
        assert cli("sync").returncode == 14
    configured(cli, cove, "sqlite:///killed.db", own)
    left = [6]
    for _ in range(kills):
        killed_at(cli, waiting, left[-1] - chance.choice([0, 1] if left[-1] > 2 else [0]), chance)
        left.append(len(waiting()))
    measured(f"{kills} kills left {left} of 6 polls to be recorded")
    assert sum(0 < one < 6 for one in left) >= 2
    assert cli("sync").returncode == 0
    assert waiting() == []
    sites = [Site(cove, f"sqlite:///{cli.directory / name}.db", cli.directory) for name in ("clean", "killed")]
    assert plain_rows(sites[1]) == plain_rows(sites[0])

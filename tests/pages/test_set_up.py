"""The set-up of the README: its lines of shell, in order as written, lead from nothing to a sync that cron can run."""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from cove_poller.database.tables import default_tables
from tests.conftest import Cli
from tests.pages.readme import README
from tests.world.fake_cove import FakeCove
from tests.world.layouts import run_script
from tests.world.terminal import Terminal

SET_UP = re.compile(r"\n## Set-up\n(.*?)\n## ", re.DOTALL)
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
AS_POLLER = "sudo -u cove-poller cove-poller "


def written() -> list[str]:
    """The lines of shell that the set-up tells a new user to type, without their comments."""
    (section,) = SET_UP.findall(README.read_text(encoding="utf-8"))
    lines = [line.partition("  #")[0].rstrip() for block in BLOCK.findall(section) for line in block.splitlines()]
    return [line for line in lines if line]


def test_every_line_of_the_set_up_is_one_that_this_test_knows() -> None:
    """A line that is new is to be added to the test below, or is one of those that only a real machine can run."""
    others = [line for line in written() if "cove-poller config init" not in line and not line.startswith(AS_POLLER)]
    assert others == [
        "sudo apt-get install --yes python3-venv",
        "sudo adduser --system --group --home /var/lib/cove-poller cove-poller",
        "sudo python3 -m venv /opt/cove-poller",
        "sudo /opt/cove-poller/bin/pip install .",
        "sudo ln -s /opt/cove-poller/bin/cove-poller /usr/local/bin/cove-poller",
        "sudo -u postgres createuser --pwprompt cove_poller",
        "sudo sh -c 'umask 077; cat > /etc/cove-poller/cove-password'",
        "sudo sh -c 'umask 077; cat > /etc/cove-poller/database-password'",
        "sudo chown -R cove-poller: /etc/cove-poller",
        "sudo cp /opt/cove-poller/lib/python3*/site-packages/cove_poller/samples/cove-poller.cron"
        " /etc/cron.d/cove-poller",
    ]


def test_the_set_up_leads_from_a_database_of_two_roles_to_a_sync_without_a_word(
    cli: Cli, cove: FakeCove, role: str, owner: str
) -> None:
    etc = cli.directory / "etc"
    mine = sa.make_url(owner).set(username=role, password=None).render_as_string()
    lines = [line for line in written() if "cove-poller " in line and ("config init" in line or AS_POLLER in line)]
    init, *polling = lines
    assert init == "sudo cove-poller config init /etc/cove-poller/cove.toml"
    configure(cli, etc, cove, mine)
    ran: list[str] = []
    for line in polling:
        command, _, pipe = line.removeprefix(AS_POLLER).partition(" | ")
        words = command.replace("cove_poller", role).split()
        done = cli("--config", f"{etc}/cove.toml", *words)
        assert done.returncode == (14 if command == "doctor" and not ran else 0), done
        if pipe:
            assert pipe == "sudo -u postgres psql -v ON_ERROR_STOP=1 backupchecks"
            run_script(owner, done.stdout)
        ran.append(command)
        if command == "doctor":
            assert "Next: " in done.stdout
    assert ran == [
        "test-login", "migrate --dry-run --grant cove_poller", "doctor", "sync --dry-run", "sync",
    ]  # fmt: skip
    quiet = cli("--config", f"{etc}/cove.toml", "sync")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def configure(cli: Cli, etc: Path, cove: FakeCove, database: str) -> None:
    """Answer the questions of `config init`, and put the two passwords where the README says."""
    terminal = Terminal(cli, "config", "init", str(etc / "cove.toml"))
    for question, answer in (("API user", cove.username), ("partner", ""), ("Database", database)):
        terminal.read_until(question)
        terminal.type(f"{answer}\n")
    assert terminal.finish() == 0
    assert "file cove-password beside it, the database's password into database-password, then run" in terminal.text
    for name, password in (("cove-password", cove.password), ("database-password", "example")):
        (etc / name).write_text(password)
        (etc / name).chmod(0o600)
    with (etc / "cove.toml").open("a", encoding="utf-8") as file:  # what a real Cove does not need
        file.write(f'\n[api]\nurl = "{cove.url}"\nrequests_per_second = 1000\n')


@pytest.fixture
def role(postgres_url: str) -> Iterator[str]:
    """A role without any rights, with a name that nobody would take for a token."""
    name = f"poller_{uuid.uuid4().hex[:8]}"
    run_script(postgres_url, f"CREATE ROLE {name} LOGIN PASSWORD 'example'")
    yield name
    run_script(postgres_url, f"DROP ROLE {name}")


@pytest.fixture
def owner(postgres_url: str, role: str) -> Iterator[str]:
    """A database with Backupchecks' tables, as their owner; `migrate` has not been there yet."""
    name = f"backupchecks_{uuid.uuid4().hex[:8]}"
    url = (
        sa.make_url(postgres_url)
        .set(drivername="postgresql+psycopg2", database=name)
        .render_as_string(hide_password=False)
    )
    run_script(postgres_url, f"CREATE DATABASE {name}")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for table in default_tables("public"):
            connection.execute(CreateTable(table))
        connection.exec_driver_sql("ALTER TABLE jobs DROP COLUMN cove_account_id")
        connection.exec_driver_sql("ALTER TABLE job_runs DROP COLUMN source_type, DROP COLUMN external_id")
    engine.dispose()
    yield url
    run_script(url, f"DROP OWNED BY {role}")
    run_script(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")

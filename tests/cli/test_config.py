"""`config init`, `check` and `show`, and a configuration that is wrong, as processes."""

import json
import os
import stat
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.world.configs import BROKEN, BROKEN_PATHS, SECRET, config_text, problem_paths
from tests.world.fake_cove import FakeCove
from tests.world.fake_cove.faults import FORBIDDEN, RpcError
from tests.world.terminal import Terminal

SAMPLE = Path(str(resources.files("cove_poller") / "samples" / "cove.example.toml"))


@pytest.fixture
def open_umask() -> Iterator[None]:
    """The most careless umask, which takes no right away from a new file."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_what_init_writes_is_its_owners_only_and_needs_only_the_password_to_be_checked_and_shown(cli: Cli) -> None:
    written = cli("config", "init")
    assert (written.returncode, written.stderr) == (0, "")
    assert "cove.toml" in written.stdout
    file = cli.directory / "cove.toml"
    assert file.read_bytes() == SAMPLE.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert problem_paths(cli("config", "check").stderr) == ["logins.main.password_file"]
    (cli.directory / "cove-password").write_text(SECRET)
    (cli.directory / "cove-password").chmod(0o600)
    checked = cli("config", "check")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "cove.toml is fine: 1 login(s), main\n", "")
    shown = cli("config", "show")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert tomllib.loads(shown.stdout)["logins"]["main"]["password_file"] == "cove-password"


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("cove.toml", "cove.toml is there already and was left as it is"),
        ("cove.toml/cove.toml", "cove.toml/cove.toml cannot be written: File exists"),
    ],
)
def test_init_leaves_a_file_that_is_there_and_says_why_one_cannot_be_written(
    cli: Cli, argument: str, said: str
) -> None:
    file = cli.write_config("# mine")
    result = cli("config", "init", argument)
    assert (result.returncode, result.stdout, file.read_text()) == (2, "", "# mine")
    assert said in result.stderr


def test_init_writes_to_another_name_that_the_option_then_names(cli: Cli) -> None:
    assert "other.toml" in cli("config", "init", "other.toml").stdout
    checked = cli("--config", "other.toml", "config", "check", COVE_POLLER_PASSWORD_MAIN="x")
    assert (checked.returncode, checked.stdout[:18]) == (0, "other.toml is fine")


def test_init_says_in_json_where_it_wrote_and_why_it_did_not(cli: Cli) -> None:
    written = json.loads(cli("config", "init", "--json").stdout)
    assert (written["file"], written["error"]) == (str(cli.directory / "cove.toml"), None)
    assert written["next"].endswith("cove-poller --config cove.toml doctor")
    again = cli("config", "init", "--json")
    assert again.returncode == 2
    assert "is there already" in json.loads(again.stdout)["error"]["message"]


def test_the_users_own_file_is_found_and_the_passwords_of_all_logins_are_tried(cli: Cli) -> None:
    file = cli.directory / "xdg" / "cove-poller" / "cove.toml"
    file.parent.mkdir(parents=True)
    file.write_text(config_text(login='password_file = "nowhere"', more='[logins.two]\nusername = "api-two"'))
    result = cli("config", "check", XDG_CONFIG_HOME=str(cli.directory / "xdg"), COVE_POLLER_PASSWORD="x")
    assert (result.returncode, result.stdout) == (10, "")
    assert problem_paths(result.stderr) == ["logins.main.password_file"]
    assert str(file.parent / "nowhere") in result.stderr


def test_check_names_all_logins_and_warns_of_a_secret_that_others_can_read(cli: Cli) -> None:
    two = '[logins.two]\nusername = "api-two"\npassword = "an-invented-one"'
    cli.write_config(config_text(more=two)).chmod(0o644)
    result = cli("config", "check")
    assert (result.returncode, result.stdout) == (0, "cove.toml is fine: 2 login(s), main, two\n")
    assert result.stderr == "cove.toml holds a secret and others can read it; run: chmod 600 cove.toml\n"


def test_sync_warns_of_a_secret_that_others_can_read(cli: Cli, cove: FakeCove) -> None:
    text = config_text(login=f'password = "{cove.password}"', more=f'[api]\nurl = "{cove.url}"')
    cli.write_config(text.replace("api-backupchecks", cove.username)).chmod(0o644)
    result = cli("sync")
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr.splitlines()[0] == "cove.toml holds a secret and others can read it; run: chmod 600 cove.toml"


def test_a_chosen_login_does_not_need_the_passwords_of_the_others(cli: Cli, cove: FakeCove) -> None:
    two = f'[logins.two]\nusername = "{cove.username}"\napi.url = "{cove.url}"'
    cli.write_config(config_text(login='password_file = "nowhere"', more=two))
    assert cli("test-login", "--login", "two", COVE_POLLER_PASSWORD_TWO=cove.password).returncode == 0


@pytest.mark.parametrize("command", ["config check", "config show", "sync", "test-login", "migrate"])
def test_everything_wrong_is_named_at_once_and_no_value_is_shown(cli: Cli, command: str) -> None:
    cli.write_config(BROKEN)
    result = cli("-vv", *command.split())
    assert (result.returncode, result.stdout) == (10, ""), result
    assert problem_paths(result.stderr) == BROKEN_PATHS
    assert SECRET not in result.stderr
    assert "13371337" not in result.stderr


@pytest.mark.parametrize(
    ("command", "text"),
    [("sync", BROKEN), ("test-login", "[database"), ("sync", None)],
    ids=["broken", "no TOML", "no file"],
)
def test_json_is_exactly_one_object_on_a_configuration_error(cli: Cli, command: str, text: str | None) -> None:
    if text is not None:
        cli.write_config(text)
    result = cli(command, "--json")
    answer = json.loads(result.stdout)  # refuses anything beside the one object
    assert result.returncode == answer["exit_code"] == 10
    assert (answer["command"], answer["outcome"], answer["logins"]) == (command, "error", [])
    assert answer["error"]["code"] == "configuration"
    assert answer["error"]["message"] in result.stderr
    assert SECRET not in result.stdout + result.stderr


@pytest.mark.parametrize("command", ["sync", "test-login"])
def test_json_is_exactly_one_object_when_a_password_cannot_be_had(cli: Cli, command: str) -> None:
    cli.write_config(config_text(login='password_file = "nowhere"'))
    result = cli(command, "--json")
    answer = json.loads(result.stdout)
    assert result.returncode == answer["exit_code"] == 10, result
    (login,) = answer["logins"]
    assert login["error"]["code"] == "configuration"
    assert login["error"]["message"].startswith("logins.main.password_file: nowhere cannot be read")


def test_a_database_url_with_a_raw_at_sign_in_its_password_is_refused_without_showing_it(cli: Cli) -> None:
    # What stands behind the first @ is taken for the host, so a part of the password is taken for the port.
    cli.write_config(config_text(url=f"postgresql://backupchecks:in@vented:{SECRET}@db.example.com/backupchecks"))
    result = cli("migrate")
    assert result.returncode in (10, 14)
    assert SECRET not in result.stdout + result.stderr


def test_init_asks_three_questions_on_a_terminal_and_writes_a_short_file_in_a_new_folder(cli: Cli) -> None:
    terminal = Terminal(cli, "config", "init", "new/folder/cove.toml")
    for question, answer in (("API user", 'api "x"'), ("partner", "MSP (a@b.example)"), ("Database", "")):
        terminal.read_until(question)
        terminal.type(f"{answer}\n")
    assert terminal.finish() == 0
    file = cli.directory / "new" / "folder" / "cove.toml"
    assert f"chown USER {file}" in terminal.text.replace("\r\n", "")
    assert "--config new/folder/cove.toml doctor" in terminal.text
    assert tomllib.loads(file.read_text()) == {
        "database": {"url": "sqlite:///cove.db"},
        "logins": {
            "main": {"username": 'api "x"', "password_file": "cove-password", "partner": "MSP (a@b.example)"},
        },
    }


def test_init_with_full_asks_nothing_on_a_terminal_either(cli: Cli) -> None:
    assert Terminal(cli, "config", "init", "--full").finish() == 0
    assert (cli.directory / "cove.toml").read_bytes() == SAMPLE.read_bytes()


def test_show_and_doctor_name_the_file_in_effect_by_its_whole_path(cli: Cli, cove: FakeCove) -> None:
    cli.configure(cove)
    whole = cli.directory / "cove.toml"
    assert cli("config", "show").stdout.splitlines()[0] == f"# {whole}"
    assert f"{whole} is understood" in cli("doctor").stdout


def test_doctor_ends_with_the_next_command(cli: Cli, cove: FakeCove) -> None:
    cli.configure(cove)
    assert "Run `cove-poller migrate`" in cli("doctor").stdout.splitlines()[-1]
    assert cli("migrate").returncode == 0
    assert cli("doctor").stdout.splitlines()[-1] == "Next: cove-poller sync --dry-run"
    assert cli("sync").returncode == 0
    assert cli("doctor").stdout.splitlines()[-1] == "Next: cove-poller status"


def test_two_logins_that_poll_one_partner_are_named_with_what_to_do(cli: Cli, cove: FakeCove) -> None:
    cli.configure(cove, f'[logins.two]\nusername = "{cove.username}"\npassword = "{cove.password}"\n')
    said = cli("sync").stderr
    assert "login two: warning: polls partner 1000 as login main does" in said, said
    assert cli("sync").stderr == ""  # once


def test_a_partner_id_below_which_there_is_nothing_is_named_by_its_key(cli: Cli, cove: FakeCove) -> None:
    cli.configure(cove, "partner_id = 999999\n")
    assert "Cove lists no device for partner 999999; check logins.main.partner_id" in cli("sync").stderr


def test_a_partner_id_that_cove_refuses_is_named_by_its_key_and_the_logins_own_is_told(
    cli: Cli, cove: FakeCove, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(query: object) -> object:
        raise RpcError(FORBIDDEN, "Access denied")

    cli.configure(cove, "partner_id = 999999\n")
    monkeypatch.setattr(cove.fleet, "below", refuse)
    done = cli("sync")
    assert done.returncode in (12, 13)
    assert "logins.main.partner_id = 999999: check that key, or leave it out for the login's own partner, 1000" in (
        done.stderr
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is refused to root")
def test_a_folder_that_may_not_be_looked_into_is_said_to_be_so(cli: Cli) -> None:
    (cli.directory / "closed").mkdir(mode=0)
    done = cli("--config", "closed/cove.toml", "sync")
    assert (done.returncode, "closed/cove.toml cannot be read: Permission denied" in done.stderr) == (10, True)


def test_a_database_file_that_cannot_be_opened_is_named(cli: Cli, cove: FakeCove) -> None:
    cli.configure(cove)
    file = cli.directory / "cove.toml"
    file.write_text(file.read_text().replace("cove.db", "nowhere/cove.db"))
    done = cli("migrate")
    assert done.returncode == 14
    assert "unable to open database file" in done.stderr
    assert f"{cli.directory}/nowhere/cove.db; whoever runs this needs the right" in done.stderr


def test_a_role_is_refused_where_there_are_none(cli: Cli, cove: FakeCove) -> None:
    cli.configure(cove)
    done = cli("migrate", "--grant", "someone")
    assert (done.returncode, "SQLite has no roles" in done.stderr) == (2, True)

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
        ("nowhere/cove.toml", "nowhere/cove.toml cannot be written: No such file or directory"),
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

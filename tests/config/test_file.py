"""The configuration's file: where it is looked for, what is said of one that is wrong, and how it is shown."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cove_poller.config.file import find_config, load_config, search_paths, shown
from cove_poller.config.settings import ApiSettings, Config
from cove_poller.errors import ConfigError
from tests.config.conftest import MakeConfig, Refusal
from tests.world.configs import BROKEN, BROKEN_PATHS, SECRET, config_text, problem_lines, problem_paths

SYSTEM_WIDE = Path("/etc/cove-poller/cove.toml")

# Where it is


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory in which somebody works and who is at home there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path


def written(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return path


def test_the_first_place_that_has_a_file_wins(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    places = [written(home / name) for name in ("a.toml", "b.toml", "cove.toml", "xdg/cove-poller/cove.toml")]
    option, variable, directory, own = places
    assert find_config(option, {"COVE_POLLER_CONFIG": str(variable)}) == option
    assert find_config(None, {"COVE_POLLER_CONFIG": str(variable)}) == variable
    assert find_config(None, {"COVE_POLLER_CONFIG": ""}).resolve() == directory
    directory.unlink()
    assert find_config(None, {}) == own


@pytest.mark.parametrize("variable", [None, ""])
def test_without_xdg_config_home_the_home_directory_is_looked_in(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    if variable is not None:
        monkeypatch.setenv("XDG_CONFIG_HOME", variable)
    own = written(home / ".config/cove-poller/cove.toml")
    assert find_config(None, {}) == own


def test_the_system_wide_file_comes_last_of_three(home: Path) -> None:
    assert search_paths() == [Path("cove.toml"), home / ".config/cove-poller/cove.toml", SYSTEM_WIDE]


def test_a_user_without_a_home_has_no_configuration_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError("no such user")))
    assert {Path("cove.toml"), SYSTEM_WIDE} <= {*search_paths()}


@pytest.mark.skipif(SYSTEM_WIDE.exists(), reason="this machine has a configuration")
def test_without_a_configuration_the_places_looked_in_are_named(home: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find_config(None, {})
    assert str(caught.value) == (
        f"no configuration found (cove.toml, {home}/.config/cove-poller/cove.toml, {SYSTEM_WIDE});"
        " write one with: cove-poller config init"
    )


@pytest.mark.parametrize(
    ("named", "environ"), [(Path("nowhere.toml"), {}), (None, {"COVE_POLLER_CONFIG": "nowhere.toml"})]
)
def test_a_named_file_that_is_not_there_is_not_replaced_by_another(
    home: Path, named: Path | None, environ: dict[str, str]
) -> None:
    written(home / "cove.toml")
    with pytest.raises(ConfigError, match=r"^no configuration at nowhere.toml; .*: cove-poller config init nowhere"):
        find_config(named, environ)


def test_a_path_that_cannot_even_be_looked_at_is_an_error_for_people() -> None:
    # What root cannot look at either; for everybody else it is a directory without the right to enter it.
    with pytest.raises(ConfigError):
        find_config(Path("n" * 300), {})


# What is wrong with it


def test_everything_wrong_is_named_at_once_and_no_value_is_shown(refusal: Refusal) -> None:
    message = refusal(BROKEN)
    assert problem_paths(message) == BROKEN_PATHS
    assert f"has {len(BROKEN_PATHS)} problem(s):" in message
    assert SECRET not in message
    assert "13371337" not in message
    assert "database.url: missing" in problem_lines(message)
    assert "database.urll: unknown key (did you mean url?)" in problem_lines(message)


def test_not_even_the_error_behind_the_message_shows_a_value() -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(tomllib.loads(BROKEN))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["database: missing", "logins: missing"]),
        (config_text(database='schem = "public"'), ["database.schem: unknown key (did you mean schema?)"]),
        (config_text(database='db_schema = "public"'), ["database.db_schema: unknown key (did you mean schema?)"]),
        (config_text(more="[api]\nxyzzy = 1"), ["api.xyzzy: unknown key"]),
        (config_text(more="[api]\npage_sise = 3"), ["api.page_sise: unknown key (did you mean page_size?)"]),
        (config_text(more="[backupcheks]"), ["backupcheks: unknown key (did you mean backupchecks?)"]),
        (
            config_text(more="[logins.main.api]\ntimeout = 3"),
            ["logins.main.api.timeout: unknown key (did you mean timeout_seconds?)"],
        ),
        (
            config_text(more="[logins.two]\nusrname = 'x'\npassword = 'x'"),
            ["logins.two.username: missing", "logins.two.usrname: unknown key (did you mean username?)"],
        ),
        (
            config_text(more="[backupchecks.status]\nsucess = 'OK'"),
            ["backupchecks.status.sucess: unknown key (did you mean success?)"],
        ),
        (
            config_text(more="[backupchecks.columns.job]"),
            ["backupchecks.columns.job: unknown key (did you mean jobs?)"],
        ),
        (
            config_text(more='[logins.two]\npassword = "x"\npassword_file = "x"'),
            ["logins.two.username: missing",
             "logins.two: set only one of password, password_file and password_command"],
        ),
        (config_text(more="api = 5"), ["logins.main.api: must be a table"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_path_and_what_was_meant(refusal: Refusal, text: str, lines: list[str]) -> None:
    assert problem_lines(refusal(text)) == lines


def test_a_configuration_without_any_login_is_refused(refusal: Refusal) -> None:
    assert problem_paths(refusal('[database]\nurl = "sqlite:///cove.db"\n[logins]\n')) == ["logins"]


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        ({}, ["logins.main.password_file", "logins.two.password_file"]),
        ({"COVE_POLLER_PASSWORD_MAIN": ""}, ["logins.main.password_file", "logins.two.password_file"]),
        ({"COVE_POLLER_PASSWORD_MAIN": "x"}, ["logins.two.password_file"]),
        ({"COVE_POLLER_PASSWORD": "x"}, []),
    ],
)
def test_every_login_without_a_password_is_named_beside_what_else_is_wrong(
    make_config: MakeConfig, environ: dict[str, str], missing: list[str]
) -> None:
    text = config_text(login="", more='[logins.two]\nusername = "api-two"')
    assert list(make_config(text, **environ).logins) == ["main", "two"]  # by itself it is told when it is wanted
    with pytest.raises(ConfigError) as caught:
        make_config(f"{text}[api]\npage_size = 1", **environ)
    assert problem_paths(str(caught.value)) == ["api.page_size", *missing]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f'[database]\nurl = "x"\npassword = "{SECRET}\n'.encode(), r"cove.toml is not TOML: .*line 3"),
        (SECRET.encode() + b"\xff", r"cove.toml is not UTF-8 text: line 1 is Latin-1 or the like; save it as UTF-8$"),
        (f"# {SECRET}\n# K\xfche\n".encode("latin-1"), r"text: line 2 is Latin-1 or the like; save it as UTF-8$"),
        (SECRET.encode("utf-16"), r"is UTF-16 text, from line 1 on; save it as UTF-8$"),
        (SECRET.encode("utf-16-le"), r"is UTF-16 text, from line 1 on; save it as UTF-8$"),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused_without_its_text(
    tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "cove.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(file, {})
    assert SECRET not in str(caught.value)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "cove.toml").write_text(config_text(), encoding="utf-8-sig")
    assert list(load_config(tmp_path / "cove.toml", {}).logins) == ["main"]


def test_a_directory_in_the_place_of_the_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(str(tmp_path))} cannot be read: Is a directory"):
        load_config(tmp_path, {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_the_right_to_read_it_is_named(tmp_path: Path) -> None:
    file = written(tmp_path / "cove.toml")
    file.chmod(0)
    with pytest.raises(ConfigError, match=r"cove\.toml cannot be read: Permission denied"):
        load_config(file, {})


# How it is shown

EVERYTHING = f"""
[database]
url = "postgresql://backupchecks:{SECRET}@db.example.com:5433/backupchecks?sslmode=require"
schema = "live"
[api]
page_size = 100
requests_per_second = 0.5
[logins.main]
username = "api-backupchecks"
password = "{SECRET}"
partner = "Example MSP (admin@example.com)"
partner_id = 1000
api.page_size = 10
[logins."msp-2.north"]
username = "api-north"
password_command = ["pass", "show", "north"]
[backupchecks]
create_jobs = false
round_gap_minutes = 20
round_span_minutes = 480
settle_minutes = 0
overall = "total"
[backupchecks.status]
success = "OK"
[backupchecks.customers]
"Example Bakery (it@bakery.example.com)" = "Example Bakery Ltd"
[backupchecks.columns.jobs]
job_name = "title"
[backupchecks.defaults.job_runs]
missed = false
tier = 1
share = 1.0
word = "true"
[status]
6 = "failed"
[intervals]
default = "1w"
[healthchecks]
url = "https://hc.example.com/{SECRET}"
"""


def test_what_is_shown_is_toml_in_which_every_secret_is_hidden(make_config: MakeConfig) -> None:
    text = shown(make_config(EVERYTHING))
    content = tomllib.loads(text)
    assert SECRET not in text
    assert content["logins"]["main"]["password"] == "********"
    assert content["healthchecks"]["url"] == "https://hc.example.com/********"
    assert content["database"]["url"] == (
        "postgresql+psycopg2://backupchecks:********@db.example.com:5433/backupchecks?sslmode=require"
    )


def test_the_database_password_is_hidden_too(make_config: MakeConfig) -> None:
    content = tomllib.loads(shown(make_config(config_text(database=f'password = "{SECRET}"'))))
    assert content["database"] == {
        "password": "********",
        "url": "sqlite:///cove.db",
        "schema": "public",
        "spool_directory": "",
    }


def test_what_is_shown_loads_again_as_the_same_configuration(make_config: MakeConfig) -> None:
    config = make_config(EVERYTHING)
    again = make_config(shown(config))
    hidden: Any = {"database": {"url"}, "logins": {"__all__": {"password", "api"}}, "healthchecks": True}
    assert again.model_dump(exclude=hidden) == config.model_dump(exclude=hidden)
    for login in config.logins:
        assert again.api_of(login) == config.api_of(login)
    # 1, 1.0 and true are equal in Python, but not to a database.
    constants = (again.backupchecks.defaults.job_runs, config.backupchecks.defaults.job_runs)
    assert str(constants[0]) == str(constants[1])


def test_defaults_are_shown_and_the_api_settings_that_a_login_ends_up_with(make_config: MakeConfig) -> None:
    content = tomllib.loads(shown(make_config(EVERYTHING)))
    assert content["api"]["max_attempts"] == ApiSettings().max_attempts
    assert content["logins"]["main"]["api"]["page_size"] == 10
    assert content["logins"]["msp-2.north"]["api"]["page_size"] == 100
    assert content["logins"]["msp-2.north"]["api"]["requests_per_second"] == 0.5

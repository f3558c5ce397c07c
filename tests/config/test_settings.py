"""The configuration file and its secrets: what is refused and how, what is hidden, and what the sample claims."""

import json
import os
import re
import stat
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from cove_poller.config import secrets as secret
from cove_poller.config.credentials import Credentials
from cove_poller.config.file import find_config, load_config, search_paths, shown
from cove_poller.config.settings import ApiSettings, Config
from cove_poller.errors import ConfigError
from tests.conftest import Cli
from tests.world.fake_cove import FakeCove

SECRET = "s3cr3t-and-invented"
DATABASE_URL = "sqlite:///cove.db"
OWN, COMMON, DATABASE = "COVE_POLLER_PASSWORD_MAIN", "COVE_POLLER_PASSWORD", "COVE_POLLER_DATABASE_PASSWORD"
SYSTEM_WIDE = Path("/etc/cove-poller/cove.toml")

SAMPLE = Path(str(resources.files("cove_poller") / "samples" / "cove.example.toml"))
TOP_LEVEL_SAMPLE = Path(__file__).parents[2] / "cove.example.toml"
COMMENTED_KEY = re.compile(r'^# (?=("[^"]+"|[\w.]+) = )', re.MULTILINE)
PASSWORD_KEYS = ("password", "password_file", "password_command")

MakeConfig = Callable[..., Config]
MakeCredentials = Callable[..., Credentials]


def config_text(
    *, url: str = DATABASE_URL, database: str = "", login: str = 'password = "an-invented-one"', more: str = ""
) -> str:
    """A configuration that is right, unless it is given something that is not."""
    head = f'[database]\nurl = "{url}"\n{database}\n'
    return f'{head}[logins.main]\nusername = "api-backupchecks"\n{login}\n{more}\n'


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    """Writes a configuration and loads it, with the given variables as its environment."""

    def make(text: str, **environ: str) -> Config:
        file = tmp_path / "cove.toml"
        file.write_text(text, encoding="utf-8")
        return load_config(file, environ)

    return make


@pytest.fixture
def make_credentials(make_config: MakeConfig, tmp_path: Path) -> MakeCredentials:
    """Writes a configuration and makes its credentials, with the given variables as its environment."""

    def make(text: str, **environ: str) -> Credentials:
        return Credentials(make_config(text, **environ), tmp_path / "cove.toml", environ)

    return make


def refusal(make_config: MakeConfig, text: str) -> str:
    """What is said about a configuration that must not be accepted."""
    with pytest.raises(ConfigError) as caught:
        make_config(text)
    return str(caught.value)


def problem_lines(text: str) -> list[str]:
    """The problems that a message lists, one an indented line."""
    return [line.strip() for line in text.splitlines() if line.startswith("  ")]


def problem_paths(text: str) -> list[str]:
    return [line.partition(": ")[0] for line in problem_lines(text)]


# What is wrong with a file

# Every value here is a secret, also where no secret belongs: people paste into the wrong line.
BROKEN = f"""
[database]
urll = "postgresql://backupchecks:{SECRET}@db.example.com/backupchecks"
password = ["{SECRET}"]
[api]
url = "http://admin:{SECRET}@api.example.com/jsonapi"
page_size = "{SECRET}"
[logins.main]
passwrd = "{SECRET}"
password = 13371337
api.max_atempts = "{SECRET}"
[logins.other]
username = "api-other"
password = "{SECRET}"
password_file = "{SECRET}"
[logins.third]
username = "api-third"
[backupchecks]
overall = "{SECRET}"
[backupchecks.columns.jobs]
titel = "{SECRET}"
[status]
6 = "{SECRET}"
"""
BROKEN_PATHS = [
    "api.page_size",
    "api.url",
    "backupchecks.columns.jobs",
    "backupchecks.overall",
    "database.password",
    "database.url",
    "database.urll",
    "logins.main.api.max_atempts",
    "logins.main.password",
    "logins.main.passwrd",
    "logins.main.username",
    "logins.other",
    "logins.third.password_file",
    "status.6",
]


@pytest.mark.parametrize("command", ["config check", "config show", "sync", "test-login", "migrate"])
def test_everything_wrong_is_named_at_once_and_no_value_is_shown(cli: Cli, command: str) -> None:
    cli.write_config(BROKEN)
    result = cli("-vv", *command.split())
    assert result.returncode == 10, result
    assert problem_paths(result.stderr) == BROKEN_PATHS
    assert result.stdout == ""
    assert SECRET not in result.stderr
    assert "13371337" not in result.stderr


def test_not_even_the_error_behind_the_message_shows_a_value() -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(tomllib.loads(BROKEN))
    assert SECRET not in str(caught.value)


def test_a_missing_and_an_unknown_key_are_told_apart(make_config: MakeConfig) -> None:
    lines = problem_lines(refusal(make_config, BROKEN))
    assert "database.url: missing" in lines
    assert "database.urll: unknown key (did you mean url?)" in lines


def test_an_empty_file_is_told_what_it_needs(make_config: MakeConfig) -> None:
    assert problem_lines(refusal(make_config, "")) == ["database: missing", "logins: missing"]


def test_a_configuration_without_any_login_is_refused(make_config: MakeConfig) -> None:
    assert problem_paths(refusal(make_config, f'[database]\nurl = "{DATABASE_URL}"\n[logins]\n')) == ["logins"]


@pytest.mark.parametrize(
    ("more", "path", "meant"),
    [
        ("[backupcheks]", "backupcheks", "backupchecks"),
        ("[api]\npage_sise = 3", "api.page_sise", "page_size"),
        ("[logins.two]\nusrname = 'x'", "logins.two.usrname", "username"),
        ("[logins.main.api]\ntimeout = 3", "logins.main.api.timeout", "timeout_seconds"),
        ("[backupchecks.status]\nsucess = 'OK'", "backupchecks.status.sucess", "success"),
        ("[backupchecks.columns.job]", "backupchecks.columns.job", "jobs"),
    ],
)
def test_a_misspelt_key_is_named_with_its_path_and_what_was_meant(
    make_config: MakeConfig, more: str, path: str, meant: str
) -> None:
    lines = problem_lines(refusal(make_config, config_text(more=more)))
    assert f"{path}: unknown key (did you mean {meant}?)" in lines


@pytest.mark.parametrize("misspelt", ["schem", "db_schema"])
def test_the_schema_is_suggested_by_its_name_in_the_file(make_config: MakeConfig, misspelt: str) -> None:
    lines = problem_lines(refusal(make_config, config_text(database=f'{misspelt} = "public"')))
    assert lines == [f"database.{misspelt}: unknown key (did you mean schema?)"]


def test_a_key_that_is_like_no_other_gets_no_suggestion(make_config: MakeConfig) -> None:
    assert problem_lines(refusal(make_config, config_text(more="[api]\nxyzzy = 1"))) == ["api.xyzzy: unknown key"]


@pytest.mark.parametrize("table", ["customers", "jobs", "job_runs"])
def test_an_unknown_column_is_named_with_the_known_ones(make_config: MakeConfig, table: str) -> None:
    message = refusal(make_config, config_text(more=f'[backupchecks.columns.{table}]\nnmae = "x"'))
    (line,) = problem_lines(message)
    assert line.startswith(f"backupchecks.columns.{table}: unknown column nmae; known are id, ")


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ("[api]\npage_size = 1", "api.page_size"),
        ("[api]\ntimeout_seconds = 0", "api.timeout_seconds"),
        ("[api]\nmax_attempts = 0", "api.max_attempts"),
        ("[api]\nrequests_per_second = inf", "api.requests_per_second"),
        ("[backupchecks]\nround_gap_minutes = -1", "backupchecks.round_gap_minutes"),
        ("[status]\nsix = 'failed'", "status.six"),
        ("[logins.two]\nusername = ''\npassword = 'x'", "logins.two.username"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_path(make_config: MakeConfig, more: str, path: str) -> None:
    assert problem_paths(refusal(make_config, config_text(more=more))) == [path]


SOURCE_LINES = {
    "password": f'password = "{SECRET}"',
    "password_file": f'password_file = "{SECRET}"',
    "password_command": f'password_command = ["echo", "{SECRET}"]',
}


@pytest.mark.parametrize("left_out", [None, *PASSWORD_KEYS])
@pytest.mark.parametrize("where", ["database", "logins.main"])
def test_two_sources_of_one_password_are_refused(make_config: MakeConfig, where: str, left_out: str | None) -> None:
    lines = "\n".join(line for key, line in SOURCE_LINES.items() if key != left_out)
    text = config_text(database=lines) if where == "database" else config_text(login=lines)
    message = refusal(make_config, text)
    assert problem_lines(message) == [f"{where}: set only one of password, password_file and password_command"]
    assert SECRET not in message


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ('[logins.two]\nusername = "x"\npassword_command = 3', "logins.two.password_command"),
        ("[backupchecks.defaults.jobs]\ntier = []", "backupchecks.defaults.jobs.tier"),
    ],
)
def test_a_value_that_may_be_of_several_types_is_named_once(make_config: MakeConfig, more: str, path: str) -> None:
    assert problem_paths(refusal(make_config, config_text(more=more))) == [path]


def test_two_sources_of_one_password_are_named_together_with_a_missing_username(make_config: MakeConfig) -> None:
    more = '[logins.two]\npassword = "x"\npassword_file = "x"'
    paths = problem_paths(refusal(make_config, config_text(more=more)))
    assert sorted(paths) == ["logins.two", "logins.two.username"]


@pytest.mark.parametrize("environ", [{}, {OWN: "", COMMON: ""}], ids=["no variable", "empty variables"])
def test_a_login_without_any_password_is_told_each_way_to_give_one(cli: Cli, environ: dict[str, str]) -> None:
    cli.write_config(config_text(login=""))
    lines = problem_lines(cli("config", "check", **environ).stderr)
    assert lines == [f"logins.main.password_file: missing (or ${OWN} or ${COMMON})"]


def test_a_toml_error_is_named_with_its_line_and_without_its_text(cli: Cli) -> None:
    file = cli.write_config(f'[database]\nurl = "{DATABASE_URL}"\npassword = "{SECRET}\n')
    result = cli("config", "check")
    assert (result.returncode, result.stdout) == (10, "")
    assert f"{file.name} is not TOML: " in result.stderr
    assert "line 3" in result.stderr
    assert SECRET not in result.stderr


def test_a_file_that_is_not_utf8_is_refused_without_its_text(cli: Cli) -> None:
    cli.write_config("").write_bytes(SECRET.encode() + b"\xff")
    result = cli("config", "check")
    assert result.returncode == 10
    assert "cove.toml is not UTF-8 text" in result.stderr
    assert SECRET not in result.stderr


def test_a_directory_in_the_place_of_the_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(str(tmp_path))} cannot be read: Is a directory"):
        load_config(tmp_path, {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_the_right_to_read_it_is_named(cli: Cli) -> None:
    cli.write_config(config_text()).chmod(0)
    result = cli("config", "check")
    assert result.returncode == 10
    assert "cove.toml cannot be read: Permission denied" in result.stderr


@pytest.mark.parametrize("command", ["sync", "test-login"])
@pytest.mark.parametrize("text", [BROKEN, "[database", None], ids=["broken", "no TOML", "no file"])
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


# Where the file is looked for

PLACES = ("option", "variable", "directory", "xdg")


@pytest.mark.parametrize("winner", PLACES)
def test_the_first_place_that_has_a_file_wins(cli: Cli, winner: str) -> None:
    files = dict(zip(PLACES, ("a.toml", "b.toml", "cove.toml", "xdg/cove-poller/cove.toml"), strict=True))
    offered = PLACES[PLACES.index(winner) :]
    for place in offered:
        file = cli.directory / files[place]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(config_text().replace("logins.main", f"logins.{place}"))
    option = ["--config", files["option"]] if "option" in offered else []
    environ = {"COVE_POLLER_CONFIG": files["variable"]} if "variable" in offered else {}
    result = cli(*option, "config", "show", XDG_CONFIG_HOME=str(cli.directory / "xdg"), **environ)
    assert list(tomllib.loads(result.stdout)["logins"]) == [winner], result


def test_an_empty_variable_names_no_file(cli: Cli) -> None:
    cli.write_config(config_text())
    assert cli("config", "check", COVE_POLLER_CONFIG="").returncode == 0


@pytest.mark.parametrize("environ", [{}, {"XDG_CONFIG_HOME": ""}], ids=["not set", "empty"])
def test_without_xdg_config_home_the_home_directory_is_looked_in(cli: Cli, environ: dict[str, str]) -> None:
    file = cli.directory / ".config" / "cove-poller" / "cove.toml"
    file.parent.mkdir(parents=True)
    file.write_text(config_text(login='password_file = "nowhere"'))
    assert str(file.parent / "nowhere") in cli("config", "check", **environ).stderr


def test_the_system_wide_file_comes_last() -> None:
    assert search_paths({"XDG_CONFIG_HOME": "/xdg"})[-1] == SYSTEM_WIDE


@pytest.mark.skipif(SYSTEM_WIDE.exists(), reason="this machine has a configuration")
@pytest.mark.parametrize("xdg", [None, "elsewhere"])
def test_without_a_configuration_the_places_looked_in_are_named(cli: Cli, xdg: str | None) -> None:
    home = str(cli.directory / (xdg or ".config"))
    result = cli("config", "check", **({"XDG_CONFIG_HOME": home} if xdg else {}))
    assert (result.returncode, result.stdout) == (10, "")
    for place in ("cove.toml", f"{home}/cove-poller/cove.toml", str(SYSTEM_WIDE), "cove-poller config init"):
        assert place in result.stderr


@pytest.mark.parametrize("arguments", [["--config", "nowhere.toml"], []], ids=["option", "variable"])
def test_a_named_file_that_is_not_there_is_not_replaced_by_another(cli: Cli, arguments: list[str]) -> None:
    cli.write_config(config_text())
    environ = {} if arguments else {"COVE_POLLER_CONFIG": "nowhere.toml"}
    result = cli(*arguments, "config", "check", **environ)
    assert result.returncode == 10
    assert "no configuration at nowhere.toml; write one with: cove-poller config init nowhere.toml" in result.stderr


def test_a_path_that_cannot_even_be_looked_at_is_an_error_for_people() -> None:
    # What root cannot look at either; for everybody else it is a directory without the right to enter it.
    with pytest.raises(ConfigError):
        find_config(Path("n" * 300), {})


def test_a_password_file_that_cannot_even_be_looked_at_is_an_error_for_people(cli: Cli) -> None:
    cli.write_config(config_text(login=f'password_file = "{"n" * 300}"'))
    result = cli("sync", "--json")
    assert result.returncode == 10
    assert json.loads(result.stdout)["logins"][0]["error"]["code"] == "configuration"


# URLs


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/jsonapi",
        "http://localhost:8080/jsonapi",
        "http://127.0.0.1/jsonapi",
        "http://127.8.9.10:1/",
        "http://[::1]:8080/jsonapi",
    ],
)
def test_an_api_url_is_https_or_on_this_machine(make_config: MakeConfig, url: str) -> None:
    assert make_config(config_text(more=f'[api]\nurl = "{url}"')).api_of("main").url == url


@pytest.mark.parametrize(
    "url",
    [
        f"http://api.example.com/{SECRET}",
        f"http://192.0.2.1/{SECRET}",
        f"http://0.0.0.0/{SECRET}",
        f"http://localhost.example.com/{SECRET}",
        f"http://127.0.0.1.example.com/{SECRET}",
        f"http://localhost@example.com/{SECRET}",
        f"http://localhost:{SECRET}@example.com/",
        f"ftp://localhost/{SECRET}",
        f"api.example.com/{SECRET}",
        f"https://user:{SECRET}@api.example.com/",
        f"https://{SECRET}@api.example.com/",
        f"https://:{SECRET}@api.example.com/",
        f"http://user:{SECRET}@localhost/",
        f"https://[{SECRET}",
    ],
)
@pytest.mark.parametrize("where", ["api", "logins.main.api"])
def test_an_api_url_that_would_show_the_password_is_refused_without_it(
    make_config: MakeConfig, where: str, url: str
) -> None:
    message = refusal(make_config, config_text(more=f'[{where}]\nurl = "{url}"'))
    assert problem_paths(message) == [f"{where}.url"]
    assert SECRET not in message


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_a_postgresql_url_gets_the_driver_that_is_installed(make_config: MakeConfig, scheme: str) -> None:
    rest = "backupchecks@db.example.com/backupchecks?sslmode=require"
    assert make_config(config_text(url=f"{scheme}://{rest}")).database.url == f"postgresql+psycopg2://{rest}"


def test_an_sqlite_url_stays_as_it_is(make_config: MakeConfig) -> None:
    assert make_config(config_text(url="sqlite:////var/lib/cove.db")).database.url == "sqlite:////var/lib/cove.db"


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://backupchecks:{SECRET}@db.example.com/backupchecks",
        f"postgresql+asyncpg://backupchecks:{SECRET}@db.example.com/backupchecks",
        f"postgresql:backupchecks:{SECRET}@db.example.com",
        f"sqlite:{SECRET}",
        f"{SECRET}@db.example.com/backupchecks",
        "",
    ],
)
def test_another_database_url_is_refused_without_showing_it(make_config: MakeConfig, url: str) -> None:
    message = refusal(make_config, config_text(url=url))
    assert problem_lines(message) == ["database.url: must begin with postgresql:// or sqlite:///"]


def test_a_database_url_with_a_raw_at_sign_in_its_password_is_refused_without_showing_it(cli: Cli) -> None:
    # What stands behind the first @ is taken for the host, so a part of the password is taken for the port.
    cli.write_config(config_text(url=f"postgresql://backupchecks:in@vented:{SECRET}@db.example.com/backupchecks"))
    result = cli("migrate")
    assert result.returncode in (10, 14)
    assert SECRET not in result.stdout + result.stderr


# Where the passwords come from

GOOD_SOURCES = {
    "password": 'password = "from the file"',
    "password_file": 'password_file = "secret"',
    "password_command as a list": 'password_command = ["printf", "from the %s", "file"]',
    "password_command as text": "password_command = \"printf 'from the %s' file\"",
}


@pytest.fixture(params=list(GOOD_SOURCES.values()), ids=list(GOOD_SOURCES))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A line that gives the password 'from the file', in each way there is."""
    (tmp_path / "secret").write_text("from the file\n")
    return str(request.param)


@pytest.mark.parametrize(
    ("environ", "password"),
    [
        ({OWN: "own", COMMON: "common"}, "own"),
        ({COMMON: "common"}, "from the file"),
        ({OWN: "", "COVE_POLLER_PASSWORD_OTHER": "other"}, "from the file"),
        ({}, "from the file"),
    ],
)
def test_a_login_prefers_its_own_variable_to_the_file_and_the_file_to_the_common_variable(
    make_credentials: MakeCredentials, source: str, environ: dict[str, str], password: str
) -> None:
    credentials = make_credentials(config_text(login=source), **environ)
    assert credentials.login_password("main").get_secret_value() == password


@pytest.mark.parametrize(
    ("environ", "password"), [({OWN: "own", COMMON: "common"}, "own"), ({COMMON: "common"}, "common")]
)
def test_a_login_without_a_key_takes_a_variable(
    make_credentials: MakeCredentials, environ: dict[str, str], password: str
) -> None:
    credentials = make_credentials(config_text(login=""), **environ)
    assert credentials.login_password("main").get_secret_value() == password


def test_a_variable_has_underscores_where_a_login_has_other_signs(make_credentials: MakeCredentials) -> None:
    text = config_text(login="").replace("logins.main", 'logins."msp-2.north"')
    credentials = make_credentials(text, COVE_POLLER_PASSWORD_MSP_2_NORTH="own")
    assert credentials.login_password("msp-2.north").get_secret_value() == "own"


@pytest.mark.parametrize(
    ("environ", "password"), [({DATABASE: "own"}, "own"), ({COMMON: "common"}, "from the file"), ({}, "from the file")]
)
def test_the_database_prefers_its_variable_to_the_file(
    make_credentials: MakeCredentials, source: str, environ: dict[str, str], password: str
) -> None:
    found = make_credentials(config_text(database=source), **environ).database_password()
    assert found is not None
    assert found.get_secret_value() == password


def test_a_database_may_do_without_a_password(make_credentials: MakeCredentials) -> None:
    assert make_credentials(config_text(), **{COMMON: "common"}).database_password() is None


@pytest.mark.parametrize("given", [True, False], ids=["with $CREDENTIALS_DIRECTORY", "without"])
def test_a_relative_password_file_is_in_the_credentials_directory_or_beside_the_configuration(
    make_credentials: MakeCredentials, tmp_path: Path, given: bool
) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "secret").write_text("from the credentials")
    (tmp_path / "secret").write_text("from beside")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")} if given else {}
    line = 'password_file = "secret"'
    credentials = make_credentials(config_text(database=line, login=line), **environ)
    expected = SecretStr("from the credentials" if given else "from beside")
    assert credentials.login_password("main") == credentials.database_password() == expected


def test_an_absolute_password_file_is_taken_from_there(make_credentials: MakeCredentials, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("absolute")
    text = config_text(login=f'password_file = "{tmp_path / "secret"}"')
    credentials = make_credentials(text, CREDENTIALS_DIRECTORY="/nowhere")
    assert credentials.login_password("main").get_secret_value() == "absolute"


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_only_the_end_of_the_line_is_cut_from_a_password(
    make_credentials: MakeCredentials, tmp_path: Path, end: str
) -> None:
    (tmp_path / "secret").write_bytes(f" p#ss wörd {end}".encode())
    for line in ('password_file = "secret"', f'password_command = ["cat", "{tmp_path / "secret"}"]'):
        credentials = make_credentials(config_text(login=line))
        assert credentials.login_password("main").get_secret_value() == " p#ss wörd "


def test_a_password_command_is_not_run_by_a_shell(make_credentials: MakeCredentials) -> None:
    credentials = make_credentials(config_text(login='password_command = "echo $HOME `id`; id"'))
    assert credentials.login_password("main").get_secret_value() == "$HOME `id`; id"


BAD_SOURCES = {
    "file not there": "password_file = 'nowhere'",
    "file empty": "password_file = 'empty'",
    "file with a line end only": "password_file = 'blank'",
    "file not UTF-8": "password_file = 'binary'",
    "file a directory": "password_file = 'directory'",
    "command fails": f"password_command = ['sh', '-c', 'echo {SECRET}; echo {SECRET} >&2; exit 3']",
    "command says nothing": f"password_command = ['sh', '-c', 'echo {SECRET} >&2']",
    "command says a line end only": "password_command = ['echo']",
    "command says no UTF-8": rf"password_command = ['printf', '\377{SECRET}']",
    "command not there": f"password_command = ['no-such-command', '{SECRET}']",
    "command is empty text": "password_command = ''",
    "command is an empty list": "password_command = []",
    "command is an empty word": "password_command = ['']",
    "command with a zero byte": f'password_command = ["echo", "\\u0000{SECRET}"]',
}


@pytest.fixture
def bad_files(tmp_path: Path) -> None:
    """Files that hold no password."""
    (tmp_path / "empty").touch()
    (tmp_path / "blank").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff" + SECRET.encode())
    (tmp_path / "directory").mkdir()


@pytest.mark.usefixtures("bad_files")
@pytest.mark.parametrize("line", BAD_SOURCES.values(), ids=BAD_SOURCES.keys())
@pytest.mark.parametrize("where", ["database", "logins.main"])
def test_a_password_that_cannot_be_had_is_named_by_its_key_and_not_by_what_was_read(
    make_credentials: MakeCredentials, where: str, line: str
) -> None:
    credentials = make_credentials(config_text(database=line) if where == "database" else config_text(login=line))
    with pytest.raises(ConfigError) as caught:
        credentials.check()
    assert problem_paths(str(caught.value)) == [f"{where}.{line.partition(' ')[0]}"]
    assert SECRET not in str(caught.value)


def test_a_password_command_with_an_open_quote_is_named_by_its_key(make_credentials: MakeCredentials) -> None:
    credentials = make_credentials(config_text(login=f'password_command = "echo \'{SECRET}"'))
    with pytest.raises(ConfigError, match=r"logins\.main\.password_command: ") as caught:
        credentials.check()
    assert SECRET not in str(caught.value)


def test_an_empty_password_is_no_password(make_credentials: MakeCredentials) -> None:
    with pytest.raises(ConfigError, match=r"logins\.main\.password"):
        make_credentials(config_text(login='password = ""')).check()


def test_a_password_command_that_hangs_is_given_up(
    make_credentials: MakeCredentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret, "COMMAND_TIMEOUT_SECONDS", 0.2)
    credentials = make_credentials(config_text(login=f"password_command = ['sh', '-c', 'echo {SECRET}; exec sleep 9']"))
    with pytest.raises(ConfigError, match=r"logins\.main\.password_command: sh did not run") as caught:
        credentials.check()
    assert SECRET not in str(caught.value)


def test_a_fetched_password_does_not_show_in_its_repr(make_credentials: MakeCredentials) -> None:
    line = f"password_command = ['echo', '{SECRET}']"
    credentials = make_credentials(config_text(login=line, database=line))
    assert SECRET not in repr([credentials.login_password("main"), credentials.database_password()])


# Files that others can read

POSTGRESQL_URL = f"postgresql://backupchecks:{SECRET}@db.example.com/backupchecks"
EXPOSED = {
    "cove.toml": [
        config_text(login=f'password = "{SECRET}"'),
        config_text(database=f'password = "{SECRET}"', login='password_command = ["echo", "x"]'),
        config_text(url=POSTGRESQL_URL, login='password_command = ["echo", "x"]'),
    ],
    "secret": [
        config_text(login='password_file = "secret"'),
        config_text(database='password_file = "secret"', login='password_command = ["echo", "x"]'),
    ],
}


@pytest.fixture(params=[(name, text) for name, texts in EXPOSED.items() for text in texts])
def exposed(request: pytest.FixtureRequest, cli: Cli) -> Path:
    """A file with a secret, the configuration itself or one that it names."""
    name, text = request.param
    secret_file = cli.directory / "secret"
    secret_file.write_text(SECRET)
    secret_file.chmod(0o600)
    cli.write_config(text)
    return cli.directory / str(name)


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_secret_that_others_can_read_is_warned_of_until_the_command_in_the_warning_is_run(
    cli: Cli, exposed: Path, mode: int
) -> None:
    exposed.chmod(mode)
    result = cli("config", "check")
    assert result.returncode == 0, result
    about, _, command = result.stderr.partition("; run: ")
    assert about == f"{exposed.name} holds a secret and others can read it"
    subprocess.run(["sh", "-c", command], cwd=cli.directory, check=True)
    assert cli("config", "check").stderr == ""


def test_a_secret_that_only_its_owner_can_read_gives_no_warning(cli: Cli, exposed: Path) -> None:
    exposed.chmod(0o600)
    result = cli("config", "check")
    assert (result.returncode, result.stderr) == (0, "")


def test_a_configuration_without_a_secret_may_be_read_by_all(cli: Cli) -> None:
    cli.write_config(config_text(login='password_command = ["echo", "x"]')).chmod(0o644)
    assert cli("config", "check").stderr == ""


def test_the_command_in_the_warning_can_be_run_as_it_stands(cli: Cli) -> None:
    (cli.directory / "my secret").write_text(SECRET)
    (cli.directory / "my secret").chmod(0o644)
    cli.write_config(config_text(login='password_file = "my secret"'))
    command = cli("config", "check").stderr.partition("; run: ")[2]
    subprocess.run(["sh", "-c", command], cwd=cli.directory, check=True)
    assert cli("config", "check").stderr == ""


def test_a_file_that_two_logins_share_is_warned_of_once(cli: Cli) -> None:
    (cli.directory / "secret").write_text(SECRET)
    (cli.directory / "secret").chmod(0o644)
    line = 'password_file = "secret"'
    cli.write_config(config_text(login=line, more=f'[logins.two]\nusername = "api-two"\n{line}'))
    assert cli("config", "check").stderr.count("chmod") == 1


def test_sync_warns_of_a_secret_that_others_can_read(cli: Cli, cove: FakeCove) -> None:
    text = config_text(login=f'password = "{cove.password}"', more=f'[api]\nurl = "{cove.url}"')
    cli.write_config(text.replace("api-backupchecks", cove.username)).chmod(0o644)
    result = cli("sync")
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr.splitlines()[0] == "cove.toml holds a secret and others can read it; run: chmod 600 cove.toml"


# A login's own API settings


def test_a_login_overrides_single_keys_of_the_common_api_settings(make_config: MakeConfig) -> None:
    common = "[api]\npage_size = 100\nmax_attempts = 2\n"
    two = '[logins.two]\nusername = "api-two"\npassword = "x"\n'
    config = make_config(config_text(more=f"{common}{two}[logins.main.api]\npage_size = 10"))
    assert config.api_of("main") == ApiSettings(page_size=10, max_attempts=2)
    assert config.api_of("two") == ApiSettings(page_size=100, max_attempts=2)


def test_a_login_can_go_back_to_a_default(make_config: MakeConfig) -> None:
    default = ApiSettings().page_size
    config = make_config(config_text(more=f"[api]\npage_size = 100\n[logins.main.api]\npage_size = {default}"))
    assert config.api_of("main").page_size == default


# config init


@pytest.fixture
def open_umask() -> Iterator[None]:
    """The most careless umask, which takes no right away from a new file."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
@pytest.mark.parametrize(("arguments", "name"), [([], "cove.toml"), (["other.toml"], "other.toml")])
def test_init_writes_the_sample_for_its_owner_only(cli: Cli, arguments: list[str], name: str) -> None:
    result = cli("config", "init", *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert name in result.stdout
    written = cli.directory / name
    assert written.read_bytes() == SAMPLE.read_bytes()
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


def test_init_leaves_a_file_that_is_there(cli: Cli) -> None:
    file = cli.write_config("# mine")
    result = cli("config", "init")
    assert (result.returncode, result.stdout) == (2, "")
    assert "cove.toml is there already and was left as it is" in result.stderr
    assert file.read_text() == "# mine"


def test_init_says_why_a_file_cannot_be_written(cli: Cli) -> None:
    result = cli("config", "init", "nowhere/cove.toml")
    assert (result.returncode, result.stdout) == (2, "")
    assert "nowhere/cove.toml cannot be written: No such file or directory" in result.stderr


def test_what_init_writes_needs_only_the_password(cli: Cli) -> None:
    cli("config", "init")
    assert problem_paths(cli("config", "check").stderr) == ["logins.main.password_file"]
    (cli.directory / "cove-password").write_text(SECRET)
    (cli.directory / "cove-password").chmod(0o600)
    assert cli("config", "check").returncode == 0


# config check


def test_check_says_that_all_is_well_and_which_logins_there_are(cli: Cli) -> None:
    cli.write_config(config_text(more='[logins.two]\nusername = "api-two"\npassword = "an-invented-one"'))
    result = cli("config", "check")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "cove.toml is fine: 2 login(s), main, two\n"


def test_check_names_every_login_without_a_password(cli: Cli) -> None:
    cli.write_config(config_text(login="", more='[logins.two]\nusername = "api-two"'))
    result = cli("config", "check")
    assert result.returncode == 10
    assert problem_paths(result.stderr) == ["logins.main.password_file", "logins.two.password_file"]
    assert cli("config", "check", **{COMMON: "common"}).returncode == 0


def test_check_names_every_secret_that_cannot_be_had(cli: Cli) -> None:
    two = '[logins.two]\nusername = "api-two"\npassword_command = ["false"]'
    cli.write_config(
        config_text(database='password_file = "nowhere"', login='password_file = "nowhere"', more=two),
    )
    result = cli("config", "check")
    assert (result.returncode, result.stdout) == (10, "")
    assert problem_paths(result.stderr) == [
        "logins.main.password_file",
        "logins.two.password_command",
        "database.password_file",
    ]


def test_check_names_passwords_that_nobody_set_together_with_those_that_cannot_be_had(cli: Cli) -> None:
    two = '[logins.two]\nusername = "api-two"\npassword_command = ["false"]'
    cli.write_config(config_text(login="", more=two))
    assert problem_paths(cli("config", "check").stderr) == ["logins.main.password_file", "logins.two.password_command"]


def test_a_chosen_login_does_not_need_the_passwords_of_the_others(cli: Cli, cove: FakeCove) -> None:
    two = f'[logins.two]\nusername = "{cove.username}"\napi.url = "{cove.url}"'
    cli.write_config(config_text(login="", more=two))
    assert cli("test-login", "--login", "two", COVE_POLLER_PASSWORD_TWO=cove.password).returncode == 0


# config show

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
"""


def test_show_prints_toml_in_which_every_secret_is_hidden(cli: Cli) -> None:
    cli.write_config(EVERYTHING)
    result = cli("config", "show")
    assert (result.returncode, result.stderr) == (0, "")
    assert SECRET not in result.stdout
    content = tomllib.loads(result.stdout)
    assert content["logins"]["main"]["password"] == "********"
    assert content["database"]["url"] == (
        "postgresql+psycopg2://backupchecks:********@db.example.com:5433/backupchecks?sslmode=require"
    )


def test_show_hides_the_database_password_too(make_config: MakeConfig) -> None:
    text = shown(make_config(config_text(database=f'password = "{SECRET}"')))
    assert SECRET not in text
    assert tomllib.loads(text)["database"]["password"] == "********"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://backupchecks:%2F{SECRET}%40@db.example.com/backupchecks",
        f"postgresql://:{SECRET}@db.example.com/backupchecks",
        f"postgresql://backupchecks:{SECRET}@/backupchecks?host=/run/postgresql",
        *(
            pytest.param(url)
            for url in (
                f"postgresql://backupchecks:slash/{SECRET}@db.example.com/backupchecks",
                f"postgresql://backupchecks:hash#{SECRET}@db.example.com/backupchecks",
                f"postgresql://backupchecks:what?{SECRET}@db.example.com/backupchecks",
                f"postgresql://backupchecks:bracket[{SECRET}@db.example.com/backupchecks",
                f"postgresql://backupchecks@db.example.com/backupchecks?password={SECRET}",
            )
        ),
    ],
)
def test_a_password_in_the_database_url_is_hidden_and_known_to_be_there(make_config: MakeConfig, url: str) -> None:
    config = make_config(config_text(url=url))
    assert config.database.has_password
    assert SECRET not in shown(config)


@pytest.mark.parametrize("url", ["postgresql://backupchecks@db.example.com/backupchecks", "sqlite:////var/lib/cove.db"])
def test_show_leaves_a_url_without_a_password_as_it_is(make_config: MakeConfig, url: str) -> None:
    config = make_config(config_text(url=url))
    assert not config.database.has_password
    assert tomllib.loads(shown(config))["database"]["url"] == config.database.url


def test_what_show_prints_loads_again_as_the_same_configuration(make_config: MakeConfig) -> None:
    config = make_config(EVERYTHING)
    again = make_config(shown(config))
    hidden: Any = {"database": {"url"}, "logins": {"__all__": {"password", "api"}}}
    assert again.model_dump(exclude=hidden) == config.model_dump(exclude=hidden)
    for login in config.logins:
        assert again.api_of(login) == config.api_of(login)
    # 1, 1.0 and true are equal in Python, but not to a database.
    constants = (again.backupchecks.defaults.job_runs, config.backupchecks.defaults.job_runs)
    assert str(constants[0]) == str(constants[1])


def test_show_tells_defaults_and_the_api_settings_that_a_login_ends_up_with(make_config: MakeConfig) -> None:
    content = tomllib.loads(shown(make_config(EVERYTHING)))
    assert content["api"]["max_attempts"] == ApiSettings().max_attempts
    assert content["logins"]["main"]["api"]["page_size"] == 10
    assert content["logins"]["msp-2.north"]["api"]["page_size"] == 100
    assert content["logins"]["msp-2.north"]["api"]["requests_per_second"] == 0.5


# The sample


def uncommented() -> str:
    """The sample with every key in use."""
    return COMMENTED_KEY.sub("", SAMPLE.read_text(encoding="utf-8"))


def sample_value(path: tuple[str, ...]) -> Any:
    """What the uncommented sample says at a path. Raise KeyError if it says nothing."""
    content: Any = tomllib.loads(uncommented())
    for part in path:
        content = content[part]
    return content


def iter_fields(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Every key that the settings have, with its path."""
    for name, field in model.model_fields.items():
        place = (*path, field.alias or name)
        inner = next((one for one in (field.annotation, *get_args(field.annotation)) if is_settings(one)), None)
        if inner is None or place in (("logins", "main", "api"), ("alerts", "customers")):  # the sample says: any key
            yield place, field
        else:
            yield from iter_fields(inner, (*place, "main") if place == ("logins",) else place)


def is_settings(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


FIELDS = {".".join(path): (path, field) for path, field in iter_fields(Config)}
DEFAULTS = {
    name: (path, field.default)
    for name, (path, field) in FIELDS.items()
    if path[0] != "logins" and isinstance(field.default, str | int | float | tuple)
}


def test_the_top_level_sample_is_the_one_in_the_package() -> None:
    assert TOP_LEVEL_SAMPLE.samefile(SAMPLE)


def test_the_sample_loads_as_it_is() -> None:
    config = load_config(SAMPLE, {})
    assert list(config.logins) == ["main"]
    assert config.api == ApiSettings()


def test_a_comment_in_the_sample_is_either_prose_or_one_key() -> None:
    comments = [line for line in uncommented().splitlines() if line.startswith("#")]
    assert not [comment for comment in comments if re.match(r"#\s*[\w\".]+\s*=", comment)]


def test_the_walk_over_the_settings_finds_them_at_every_depth() -> None:
    expected = {"database.schema", "api.page_size", "logins.main.password_command", "logins.main.api", "status"}
    assert expected <= FIELDS.keys()
    assert {"backupchecks.status.failed", "backupchecks.columns.job_runs", "backupchecks.customers"} <= FIELDS.keys()


@pytest.mark.parametrize("name", FIELDS)
def test_the_sample_names_every_key_and_gives_an_example(name: str) -> None:
    assert sample_value(FIELDS[name][0]) not in ({}, [])


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_value_in_the_sample_is_the_default(name: str) -> None:
    path, default = DEFAULTS[name]
    assert sample_value(path) == (list(default) if isinstance(default, tuple) else default)


@pytest.mark.parametrize(
    "name", ["database.schema", "api.node_domains", "backupchecks.overall", "backupchecks.status.failed"]
)
def test_the_defaults_compared_with_the_sample_are_those_of_every_section(name: str) -> None:
    assert name in DEFAULTS


@pytest.mark.parametrize("kept", PASSWORD_KEYS)
def test_the_sample_loads_with_every_key_in_use(make_config: MakeConfig, kept: str) -> None:
    # The keys for a password are alternatives: each is tried with the other two left out.
    others = "|".join(key for key in PASSWORD_KEYS if key != kept)
    config = make_config(re.sub(rf"^({others}) = .*\n", "", uncommented(), flags=re.MULTILINE))
    for _, source in config.secret_sources():
        assert getattr(source, kept) is not None
    assert config.api_of("main").requests_per_second == 2
    assert config.status == {6: "failed"}
    assert config.backupchecks.defaults.jobs == {"auto_approve": True}

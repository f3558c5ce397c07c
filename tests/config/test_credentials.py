"""The passwords of a configuration: which cannot be had, which files hold one, and what no text may show."""

from pathlib import Path

import pytest

from cove_poller.config.credentials import Credentials
from cove_poller.errors import ConfigError
from tests.config.conftest import MakeConfig
from tests.world.configs import SECRET, config_text, problem_paths

COMMAND = 'password_command = ["echo", "x"]'


@pytest.mark.parametrize(
    ("database", "login", "two", "missing"),
    [
        (
            'password_file = "nowhere"',
            'password_file = "nowhere"',
            'password_command = ["false"]',
            ["logins.main.password_file", "logins.two.password_command", "database.password_file"],
        ),
        ("", "", 'password_command = ["false"]', ["logins.main.password_file", "logins.two.password_command"]),
        ("", COMMAND, COMMAND, []),
    ],
    ids=["every kind", "one that nobody set", "none"],
)
def test_every_password_that_cannot_be_had_is_named_at_once(
    make_config: MakeConfig, tmp_path: Path, database: str, login: str, two: str, missing: list[str]
) -> None:
    text = config_text(database=database, login=login, more=f'[logins.two]\nusername = "api-two"\n{two}')
    # with the variable that the check of the file is content with, and without when it comes to fetching
    credentials = Credentials(make_config(text, COVE_POLLER_PASSWORD="x"), tmp_path / "cove.toml", {})
    said = ""
    try:
        credentials.check()
    except ConfigError as error:
        said = str(error)
    assert problem_paths(said) == missing


EXPOSABLE = [
    (config_text(login=f'password = "{SECRET}"'), ["cove.toml"]),
    (config_text(database=f'password = "{SECRET}"', login=COMMAND), ["cove.toml"]),
    (config_text(url=f"postgresql://bc:{SECRET}@db.example.com/bc", login=COMMAND), ["cove.toml"]),
    (config_text(login=COMMAND, more='[healthchecks]\nurl = "https://hc.example.com/uuid"'), ["cove.toml"]),
    (config_text(login='password_file = "secret"'), ["secret"]),
    (config_text(database='password_file = "secret"', login=COMMAND), ["secret"]),
    (
        config_text(
            login='password_file = "secret"', more='[logins.two]\nusername = "api-two"\npassword_file = "secret"'
        ),
        ["secret"],
    ),
    (config_text(database=f'password = "{SECRET}"', login='password_file = "secret"'), ["secret", "cove.toml"]),
    (config_text(login=COMMAND), []),
]


@pytest.mark.parametrize(("text", "names"), EXPOSABLE)
def test_a_file_with_a_secret_is_known_once_and_warned_of_if_others_can_read_it(
    make_config: MakeConfig, tmp_path: Path, text: str, names: list[str]
) -> None:
    config = make_config(text)
    (tmp_path / "secret").write_text(SECRET)
    credentials = Credentials(config, tmp_path / "cove.toml", {})
    assert credentials.secret_files() == [tmp_path / name for name in names]
    for mode, warned in ((0o644, names), (0o600, [])):
        for name in ("secret", "cove.toml"):
            (tmp_path / name).chmod(mode)
        warnings = credentials.warnings()
        assert [line.partition(" holds")[0] for line in warnings] == [str(tmp_path / name) for name in warned]


def test_files_in_the_credentials_directory_are_guarded_by_others(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(config_text(database='password_file = "mine"', login=f'password_file = "{tmp_path}/own"'))
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    assert Credentials(config, tmp_path / "cove.toml", environ).secret_files() == [tmp_path / "own"]


def test_what_no_text_may_show_is_every_password_that_was_fetched_and_that_in_the_url(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    text = config_text(url="postgresql://bc:in%40url@db/bc", database='password = "database"', login='password = "own"')
    credentials = Credentials(make_config(text), tmp_path / "cove.toml", {})
    assert credentials.given() == ["in%40url", "in@url"]
    credentials.login_password("main")
    credentials.database_password()
    assert credentials.given() == ["own", "database", "in%40url", "in@url"]


def test_a_spool_in_a_home_that_there_is_not_is_named_with_its_key(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError("no such user")))
    for folder in ("~/polls", "~nobody-of-this-name/polls"):
        config = make_config(config_text(database=f'spool_directory = "{folder}"'))
        with pytest.raises(ConfigError, match=f"database.spool_directory: {folder} cannot be found"):
            Credentials(config, tmp_path / "cove.toml", {}).check()


def test_without_a_home_polls_are_kept_beside_the_configuration(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError("no such user")))
    config = make_config(config_text(url="postgresql://bc@db.example.com/bc"))
    assert Credentials(config, tmp_path / "cove.toml", {}).spool_folder().parent == tmp_path

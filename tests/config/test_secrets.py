"""Where passwords come from, and which files others can read."""

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cove_poller.config import secrets
from cove_poller.config.secrets import (
    SecretSource,
    changeable_files,
    database_password,
    exposed_files,
    login_password,
    password_variables,
    resolved,
    shared_variables,
)
from cove_poller.config.settings import LoginSettings
from cove_poller.errors import ConfigError
from tests.conftest import wait_for
from tests.world.configs import SECRET

OWN, COMMON, DATABASE = "COVE_POLLER_PASSWORD_MAIN", "COVE_POLLER_PASSWORD", "COVE_POLLER_DATABASE_PASSWORD"
GOOD_SOURCES: dict[str, dict[str, Any]] = {
    "password": {"password": "from the file"},
    "password_file": {"password_file": "secret"},
    "password_command as a list": {"password_command": ["printf", "from the %s", "file"]},
    "password_command as text": {"password_command": "printf 'from the %s' file"},
}


def password(directory: Path, source: dict[str, Any], environ: dict[str, str] | None = None) -> str:
    found = login_password("main", SecretSource.model_validate(source), environ or {}, directory)
    assert found.get_secret_value() not in repr(found)
    return found.get_secret_value()


@pytest.fixture(params=list(GOOD_SOURCES.values()), ids=list(GOOD_SOURCES))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """What gives the password 'from the file', in each way there is."""
    (tmp_path / "secret").write_text("from the file\n")
    found: dict[str, Any] = request.param
    return found


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({OWN: "own", COMMON: "common"}, "own"),
        ({COMMON: "common"}, "from the file"),
        ({OWN: "", "COVE_POLLER_PASSWORD_OTHER": "other"}, "from the file"),
        ({}, "from the file"),
    ],
)
def test_a_login_prefers_its_own_variable_to_the_file_and_the_file_to_the_common_variable(
    tmp_path: Path, source: dict[str, Any], environ: dict[str, str], expected: str
) -> None:
    assert password(tmp_path, source, environ) == expected


def test_a_login_without_a_key_takes_a_variable_and_without_either_is_told_each_way_to_give_one() -> None:
    assert password(Path(), {}, {OWN: "own", COMMON: "common"}) == "own"
    assert password(Path(), {}, {COMMON: "common"}) == "common"
    with pytest.raises(ConfigError, match=rf"^logins\.main\.password_file: missing \(or \${OWN} or \${COMMON}\)$"):
        password(Path(), {}, {OWN: "", COMMON: ""})


def test_a_variable_has_underscores_where_a_login_has_other_signs() -> None:
    assert password_variables("msp-2.nörth") == ("COVE_POLLER_PASSWORD_MSP_2_N_RTH", COMMON)


@pytest.mark.parametrize(
    ("environ", "expected"), [({DATABASE: "own"}, "own"), ({COMMON: "common"}, "from the file"), ({}, "from the file")]
)
def test_the_database_prefers_its_variable_to_the_file(
    tmp_path: Path, source: dict[str, Any], environ: dict[str, str], expected: str
) -> None:
    found = database_password(SecretSource.model_validate(source), environ, tmp_path)
    assert found is not None
    assert found.get_secret_value() == expected


def test_a_database_may_do_without_a_password() -> None:
    assert database_password(SecretSource(), {COMMON: "common"}, Path()) is None


@pytest.mark.parametrize(
    ("file", "environ", "expected"),
    [
        ("secret", {}, "/etc/cove/secret"),
        ("secret", {"CREDENTIALS_DIRECTORY": "/run/credentials"}, "/run/credentials/secret"),
        ("/root/secret", {"CREDENTIALS_DIRECTORY": "/run/credentials"}, "/root/secret"),
        ("~/secret", {"CREDENTIALS_DIRECTORY": ""}, str(Path.home() / "secret")),
    ],
)
def test_a_relative_file_is_in_the_credentials_directory_or_beside_the_configuration(
    file: str, environ: dict[str, str], expected: str
) -> None:
    assert resolved(Path(file), environ, Path("/etc/cove")) == Path(expected)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_only_the_end_of_the_line_is_cut_from_a_password(tmp_path: Path, end: str) -> None:
    (tmp_path / "secret").write_bytes(f"p#ss wörd{end}".encode())
    for source in ({"password_file": "secret"}, {"password_command": ["cat", str(tmp_path / "secret")]}):
        assert password(tmp_path, source) == "p#ss wörd"


def test_a_password_command_is_not_run_by_a_shell() -> None:
    assert password(Path(), {"password_command": "echo $HOME `id`; id"}) == "$HOME `id`; id"


BAD_SOURCES: dict[str, dict[str, Any]] = {
    "empty password": {"password": ""},
    "file not there": {"password_file": "nowhere"},
    "file of a name that is too long": {"password_file": "n" * 300},
    "file empty": {"password_file": "empty"},
    "file with a line end only": {"password_file": "blank"},
    "file not UTF-8": {"password_file": "binary"},
    "file a directory": {"password_file": "directory"},
    "command fails": {"password_command": ["sh", "-c", f"echo {SECRET}; echo {SECRET} >&2; exit 3"]},
    "command says nothing": {"password_command": ["sh", "-c", f": {SECRET}; echo no such entry >&2"]},
    "command says a line end only": {"password_command": ["echo"]},
    "command says no UTF-8": {"password_command": ["printf", rf"\377{SECRET}"]},
    "command not there": {"password_command": ["no-such-command", SECRET]},
    "command is empty text": {"password_command": ""},
    "command is an empty list": {"password_command": []},
    "command is an empty word": {"password_command": [""]},
    "command with a zero byte": {"password_command": ["echo", f"\0{SECRET}"]},
    "command with an open quote": {"password_command": f"echo '{SECRET}"},
}


@pytest.mark.parametrize("source", BAD_SOURCES.values(), ids=BAD_SOURCES.keys())
def test_a_password_that_cannot_be_had_is_named_by_its_key_and_not_by_what_was_read(
    tmp_path: Path, source: dict[str, Any]
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "blank").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff" + SECRET.encode())
    (tmp_path / "directory").mkdir()
    model, (key,) = SecretSource.model_validate(source), source
    with pytest.raises(ConfigError, match=rf"^logins\.main\.{key}: ") as of_login:
        login_password("main", model, {}, tmp_path)
    with pytest.raises(ConfigError, match=rf"^database\.{key}: ") as of_database:
        database_password(model, {}, tmp_path)
    assert SECRET not in f"{of_login.value} {of_database.value}"


def test_a_password_command_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "COMMAND_TIMEOUT_SECONDS", 0.2)
    with pytest.raises(
        ConfigError, match=r"^logins\.main\.password_command: sh did not end within 0.2 seconds"
    ) as caught:
        password(Path(), {"password_command": ["sh", "-c", f"echo {SECRET}; exec sleep 9"]})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_that_others_can_read_is_warned_of_once_until_the_command_in_the_warning_is_run(
    tmp_path: Path, mode: int
) -> None:
    file = tmp_path / "my secret"
    file.touch(mode=0o600)
    file.chmod(mode)
    (line,) = exposed_files([file, file])
    about, _, command = line.partition("; run: ")
    assert (about, command) == (f"{file} holds a secret and others can read it", f"chmod 600 {shlex.quote(str(file))}")
    subprocess.run(["sh", "-c", command], check=True)
    assert exposed_files([file]) == []


def test_a_file_that_cannot_be_looked_at_is_not_warned_of() -> None:
    assert exposed_files([Path("nowhere"), Path("n" * 300)]) == []


# What is no password is not sent to Cove, who may lock the user


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("\ufeffsecret\n", "begins with a byte order mark"),
        ("secret\nuser: api\n", "has more than one line"),
        ("secret\rmore", "has more than one line"),
        (" secret\n", "has blanks before or behind it"),
        ("secret \n", "has blanks before or behind it"),
        ("secret\u00a0\n", "has blanks before or behind it"),
        ("sec\tret\n", "a sign in it that cannot be seen (U+0009)"),
        ("sec\u200bret\n", "a sign in it that cannot be seen (U+200B)"),
        ("s\0e\0c\0r\0e\0t\0", "a sign in it that cannot be seen (U+0000)"),
    ],
)
def test_a_file_or_command_with_more_than_a_password_is_refused_with_the_reason(
    tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "file").write_bytes(content.encode())
    for source in ({"password_file": "file"}, {"password_command": ["cat", str(tmp_path / "file")]}):
        with pytest.raises(ConfigError) as caught:
            password(tmp_path, source)
        assert said in str(caught.value)
        assert "secret" not in str(caught.value)


def test_the_line_end_behind_a_variable_is_no_part_of_the_password() -> None:
    assert password(Path(), {}, {OWN: "own\n"}) == "own"
    with pytest.raises(ConfigError, match="has more than one line"):
        password(Path(), {}, {OWN: "own\nand another"})


@pytest.mark.parametrize("file", ["~/secret", "~nobody-of-this-name/secret"])
def test_a_file_in_a_home_that_there_is_not_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError("no such user")))
    with pytest.raises(ConfigError, match="there is no such home directory"):
        password(tmp_path, {"password_file": file})


def test_two_users_whose_names_give_one_variable_are_refused_only_if_it_is_set() -> None:
    logins = {name: LoginSettings(username=user) for name, user in (("msp-1", "a"), ("msp_1", "b"), ("other", "c"))}
    (problem,) = shared_variables(logins, {"COVE_POLLER_PASSWORD_MSP_1": "x"})
    assert problem.startswith("logins.msp-1, logins.msp_1: $COVE_POLLER_PASSWORD_MSP_1 would be the password of all")
    assert list(shared_variables(logins, {COMMON: "x"})) == []
    same = {name: LoginSettings(username="a", partner_id=number) for number, name in enumerate(("msp-1", "msp_1"))}
    assert list(shared_variables(same, {"COVE_POLLER_PASSWORD_MSP_1": "x"})) == []


# The command and what it starts


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("script", ["sleep 60 & echo $! > pid; wait", "sleep 60 & echo $! > pid; echo secret-word"])
def test_what_a_password_command_started_does_not_outlive_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(secrets, "COMMAND_TIMEOUT_SECONDS", 0.5)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="did not end within"):
        password(tmp_path, {"password_command": ["sh", "-c", script]})
    pid = int((tmp_path / "pid").read_text(encoding="ascii"))
    wait_for(lambda: not alive(pid), 10)


def test_the_last_line_of_a_commands_complaint_is_shown_without_the_password() -> None:
    script = f"echo {SECRET}; echo first >&2; echo 'vault: {SECRET} is sealed' >&2; exit 2"
    with pytest.raises(ConfigError) as caught:
        password(Path(), {"password_command": ["sh", "-c", script]})
    assert str(caught.value).endswith('ended with 2 and gave no password; it said: "vault: [redacted] is sealed"')


def test_a_command_that_never_stops_talking_is_ended() -> None:
    with pytest.raises(ConfigError, match="was ended"):
        password(Path(), {"password_command": ["yes"]})


# Who may write decides whom the password is sent to


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_can_write_is_warned_of(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "cove.toml"
    file.touch()
    file.chmod(mode)
    tmp_path.chmod(0o755)
    assert changeable_files([file]) == [f"others can write {file}; run: chmod go-w {file}"]


@pytest.mark.parametrize(("mode", "is_open"), [(0o770, True), (0o757, True), (0o1777, False), (0o755, False)])
def test_a_folder_that_others_can_write_is_warned_of_unless_it_is_sticky(
    tmp_path: Path, mode: int, is_open: bool
) -> None:
    file = tmp_path / "cove.toml"
    file.touch(mode=0o600)
    tmp_path.chmod(mode)
    said = [f"others can write {tmp_path}, and so replace what is in it; run: chmod go-w {tmp_path}"]
    assert changeable_files([file]) == (said if is_open else [])

"""The samples that come with the package: each is read by what reads it in real life, and its command is run."""

import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

import cove_poller
from tests.conftest import BEGIN, NEVER_STALE, Cli
from tests.pages.readme import README, SAMPLES
from tests.world.fake_cove import FakeCove, Fleet, make_fleet

INSTALLED = "/usr/local/bin/cove-poller"
CRON_FIELD = re.compile(r"(\*|\d+)(-\d+)?(/\d+)?(,(\*|\d+)(-\d+)?(/\d+)?)*")
PASSWORD_FILE = re.compile(r'^(?:# )?password_file = "([\w-]+)"', re.MULTILINE)
CREDENTIALS = {"cove.toml", "cove-password", "database-password"}
CONFIG = """\
[database]
url = "{database}"
password_file = "database-password"
[api]
url = "{url}"
requests_per_second = 1000
[logins.main]
username = "{username}"
password_file = "cove-password"
"""


@pytest.fixture
def fleet() -> Fleet:
    return make_fleet(seed=4, begin=BEGIN, days=2, devices=4)


@pytest.fixture
def credentials(cli: Cli, cove: FakeCove, make_postgres: Callable[[], str]) -> Path:
    """A directory with configuration and passwords as systemd and Kubernetes make them, on PostgreSQL."""
    directory = cli.directory / "credentials"
    directory.mkdir()
    database = sa.make_url(make_postgres()).set(password=None).render_as_string()
    config = CONFIG.format(database=database, url=cove.url, username=cove.username) + NEVER_STALE
    for name, content in (("cove.toml", config), ("cove-password", cove.password), ("database-password", "invented")):
        (directory / name).write_text(content)
        (directory / name).chmod(0o444)
    assert cli("--config", f"{directory}/cove.toml", "migrate", CREDENTIALS_DIRECTORY=str(directory)).returncode == 0
    return directory


def unit_values(name: str, key: str) -> list[str]:
    lines = (SAMPLES / name).read_text(encoding="utf-8").splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def cronjob() -> dict[str, Any]:
    content = yaml.safe_load((SAMPLES / "cronjob.yaml").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def pod() -> dict[str, Any]:
    spec = cronjob()["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert isinstance(spec, dict)
    return spec


def test_the_names_of_the_credentials_are_those_that_the_sample_configuration_reads() -> None:
    names = set(PASSWORD_FILE.findall((SAMPLES / "cove.example.toml").read_text(encoding="utf-8")))
    assert {"cove.toml", *names} == CREDENTIALS
    loaded = [value.split(":") for value in unit_values("cove-poller.service", "LoadCredential")]
    assert {name for name, _ in loaded} == CREDENTIALS
    assert {path for _, path in loaded} == {f"/etc/cove-poller/{name}" for name in CREDENTIALS}


def test_the_cron_file_has_one_line_with_five_fields_a_user_and_a_command_that_polls(
    cli: Cli, credentials: Path
) -> None:
    text = (SAMPLES / "cove-poller.cron").read_text(encoding="utf-8")
    assert text.endswith("\n")  # cron does not read a last line without it
    (line,) = [line for line in text.splitlines() if line[:1] in tuple("*0123456789")]
    *fields, user, command = line.split(maxsplit=6)
    assert len(fields) == 5
    assert all(CRON_FIELD.fullmatch(field) for field in fields)
    assert re.fullmatch(r"[a-z_][a-z0-9_-]*", user)
    assert "%" not in command  # a line break, to cron
    words = shlex.split(command.replace("/etc/cove-poller", str(credentials)))
    assert words[0] == INSTALLED
    polls(cli, words[1:], CREDENTIALS_DIRECTORY=str(credentials))


def polls(cli: Cli, arguments: list[str], **environ: str) -> None:
    """Run the command and see that it polls, and is as silent as cron wants it to be."""
    done = cli(*arguments, **environ)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_service_starts_a_sync_that_finds_configuration_and_passwords_among_its_credentials(
    cli: Cli, cove: FakeCove, credentials: Path
) -> None:
    (command,) = unit_values("cove-poller.service", "ExecStart")
    words = shlex.split(command.replace("%d", str(credentials)))
    assert words[0] == INSTALLED
    polls(cli, words[1:], CREDENTIALS_DIRECTORY=str(credentials))
    assert cove.count("Login") == 1
    for name in ("cove-password", "database-password"):
        (credentials / name).rename(credentials / "away")
        done = cli(*words[1:], CREDENTIALS_DIRECTORY=str(credentials))
        assert done.returncode == 10
        assert f"{credentials / name} cannot be read" in done.stderr
        (credentials / "away").rename(credentials / name)


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian package systemd)")
    command = str(Path(sys.executable).parent / "cove-poller")
    units = [tmp_path / name for name in ("cove-poller.service", "cove-poller.timer")]
    for unit in units:
        unit.write_text((SAMPLES / unit.name).read_text(encoding="utf-8").replace(INSTALLED, command))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, units)], capture_output=True, text=True, check=False
    )
    about_us = [line for line in done.stderr.splitlines() if "cove-poller" in line]
    assert (done.returncode, about_us) == (0, [])


def test_the_service_is_hardened_and_names_no_secret() -> None:
    for key, value in {
        "Type": "oneshot", "DynamicUser": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes",
        "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "StateDirectory": "cove-poller",
    }.items():  # fmt: skip
        assert unit_values("cove-poller.service", key) == [value], key
    assert unit_values("cove-poller.service", "Environment") == []
    assert unit_values("cove-poller.timer", "OnCalendar") == ["*:0/30"]


def test_the_cronjob_never_runs_twice_at_once_nor_as_root_nor_with_a_secret_in_it() -> None:
    job, spec = cronjob(), pod()
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    assert job["spec"]["schedule"] == "*/30 * * * *"
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    assert job["spec"]["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert (spec["restartPolicy"], spec["automountServiceAccountToken"]) == ("Never", False)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    (container,) = spec["containers"]
    rights = container["securityContext"]
    assert (rights["readOnlyRootFilesystem"], rights["allowPrivilegeEscalation"]) == (True, False)
    assert rights["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert container["resources"]["limits"]["memory"]
    assert [one["name"] for one in container["env"]] == ["CREDENTIALS_DIRECTORY"]


def test_the_cronjob_polls_one_login_with_its_secrets_as_files(cli: Cli, credentials: Path) -> None:
    (container,) = pod()["containers"]
    environ = {one["name"]: one["value"] for one in container["env"]}
    where = environ["CREDENTIALS_DIRECTORY"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    assert mounts.keys() == volumes.keys()
    assert mounts["secrets"] == where
    text = (SAMPLES / "cronjob.yaml").read_text(encoding="utf-8")
    assert f"kubectl create secret generic {volumes['secrets']['secret']['secretName']} " in text
    assert set(re.findall(r"--from-file=([\w.-]+)", text)) == CREDENTIALS
    assert container["command"] == ["cove-poller"]
    assert container["args"][-2:] == ["--login", "main"]
    arguments = [argument.replace(where, str(credentials)) for argument in container["args"]]
    polls(cli, arguments, CREDENTIALS_DIRECTORY=str(credentials))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=SAMPLES.parents[1], check=True, capture_output=True)
    return folder


def test_every_sample_is_in_the_wheel(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("cove_poller/samples/")}
    assert packed == {f"cove_poller/samples/{path.name}" for path in SAMPLES.iterdir()}
    assert {"cove_poller/samples/cove-poller.timer", "cove_poller/samples/cronjob.yaml"} < packed


def test_the_image_is_the_one_that_the_cronjob_runs_under_the_same_user() -> None:
    text = (SAMPLES / "Dockerfile").read_text(encoding="utf-8")
    (container,) = pod()["containers"]
    rights = pod()["securityContext"]
    assert f"--tag {container['image']} ." in text
    assert f"USER {rights['runAsUser']}:{rights['runAsGroup']}\n" in text
    assert f'ENTRYPOINT ["{container["command"][0]}"]' in text
    copied = [word for line in re.findall(r"^COPY (?!--)(.*) \S+$", text, re.MULTILINE) for word in line.split()]
    assert [name for name in copied if not (SAMPLES.parents[1] / name).exists()] == []
    assert f":{cove_poller.__version__} " in text


def test_the_image_is_described_as_a_linter_for_such_files_wants_it() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, SAMPLES / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_timer_spreads_its_polls_but_polls_within_the_gap() -> None:
    assert unit_values("cove-poller.timer", "RandomizedDelaySec") == ["2min"]


def test_wheel_and_sdist_have_the_man_page_where_man_looks_for_it(built: Path) -> None:
    manual, content = "share/man/man1/cove-poller.1", (SAMPLES / "cove-poller.1").read_bytes()
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as packed:
        (name,) = [name for name in packed.namelist() if name.endswith(manual)]
        assert name.endswith(f".data/data/{manual}")
        assert packed.read(name) == content
    with tarfile.open(sdist) as packed_source:
        (member,) = [one for one in packed_source.getmembers() if one.name.endswith("samples/cove-poller.1")]
        assert packed_source.extractfile(member).read() == content  # type: ignore[union-attr]
    assert f"`man /opt/cove-poller/{manual}`" in README.read_text(encoding="utf-8")


def test_a_stranger_gets_the_licence_and_what_to_do_when_upgrading(built: Path) -> None:
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as packed:
        (name,) = [name for name in packed.namelist() if name.endswith("LICENSE")]
        assert packed.read(name).startswith(b"MIT License\n")
        (about,) = [name for name in packed.namelist() if name.endswith("METADATA")]
        assert b"License-Expression: MIT\n" in packed.read(about)
    with tarfile.open(sdist) as packed_source:
        (member,) = [one for one in packed_source.getmembers() if one.name.endswith("/CHANGELOG.md")]
        changes = packed_source.extractfile(member).read().decode()  # type: ignore[union-attr]
    kinds = re.findall(r"^### (.*)$", changes.split("\n## ")[1], re.MULTILINE)
    assert kinds[0] == "Upgrading"
    assert "cove-poller migrate" in changes.split("### Upgrading")[1].split("###")[0]
    assert {*kinds[1:]} <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}

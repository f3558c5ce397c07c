"""The settings: what is refused and with which path, whose value counts, and what the sample claims of them."""

import re
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cove_poller.config.file import load_config
from cove_poller.config.settings import AlertSettings, ApiSettings, Config, DatabaseSettings
from tests.config.conftest import MakeConfig, Refusal
from tests.world.configs import SECRET, config_text, problem_lines, problem_paths

SAMPLE = Path(str(resources.files("cove_poller") / "samples" / "cove.example.toml"))
COMMENTED_KEY = re.compile(r'^# (?=("[^"]+"|[\w.]+) = )', re.MULTILINE)
PASSWORD_KEYS = ("password", "password_file", "password_command")


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ("[api]\npage_size = 1", "api.page_size"),
        ("[api]\ntimeout_seconds = 0", "api.timeout_seconds"),
        ("[api]\nmax_attempts = 0", "api.max_attempts"),
        ("[api]\nrequests_per_second = inf", "api.requests_per_second"),
        ("[api]\nurl = 'http://api.example.com'", "api.url"),
        ("[logins.main.api]\nurl = 'http://api.example.com'", "logins.main.api.url"),
        ("[backupchecks]\nround_gap_minutes = -1", "backupchecks.round_gap_minutes"),
        ("[backupchecks.objects]\ntable = 'job_runs'", "backupchecks.objects.table"),
        ("[backupchecks.objects.columns]\nname = 'status'", "backupchecks.objects.columns"),
        ("[status]\nsix = 'failed'", "status.six"),
        ("[intervals]\ndefault = '30'", "intervals.default"),
        ("[intervals.customers]\nBakery = '0h'", "intervals.customers.Bakery"),
        ("[healthchecks]\nurl = 'http://hc.example.com/uuid'", "healthchecks.url"),
        ("[alerts]\nserver_hours = 0", "alerts.server_hours"),
        ("[logins.two]\nusername = ''\npassword = 'x'", "logins.two.username"),
        # of several types, and named once all the same
        ('[logins.two]\nusername = "x"\npassword_command = 3', "logins.two.password_command"),
        ("[backupchecks.defaults.jobs]\ntier = []", "backupchecks.defaults.jobs.tier"),
    ],
)
def test_a_value_that_makes_no_sense_is_named_once_with_its_path(refusal: Refusal, more: str, path: str) -> None:
    assert problem_paths(refusal(config_text(more=more))) == [path]


@pytest.mark.parametrize("wrong", ['"30"', '"-4h"', '"4 hours"', "30", '""', '"999999d"'])
def test_an_interval_that_is_no_span_of_time_is_told_with_an_example(refusal: Refusal, wrong: str) -> None:
    (line,) = problem_lines(refusal(config_text(more=f"[intervals]\ndefault = {wrong}")))
    assert line == "intervals.default: is no span of time; write 90m, 2h, 1d or 4w"


@pytest.mark.parametrize("table", ["customers", "jobs", "job_runs"])
def test_an_unknown_column_is_named_with_the_known_ones(refusal: Refusal, table: str) -> None:
    (line,) = problem_lines(refusal(config_text(more=f'[backupchecks.columns.{table}]\nnmae = "x"')))
    assert line.startswith(f"backupchecks.columns.{table}: unknown column nmae; known are id, ")


SOURCE_LINES = {
    "password": f'password = "{SECRET}"',
    "password_file": f'password_file = "{SECRET}"',
    "password_command": f'password_command = ["echo", "{SECRET}"]',
}


@pytest.mark.parametrize("left_out", [None, *PASSWORD_KEYS])
@pytest.mark.parametrize("where", ["database", "logins.main"])
def test_two_sources_of_one_password_are_refused(refusal: Refusal, where: str, left_out: str | None) -> None:
    lines = "\n".join(line for key, line in SOURCE_LINES.items() if key != left_out)
    message = refusal(config_text(database=lines) if where == "database" else config_text(login=lines))
    assert problem_lines(message) == [f"{where}: set only one of password, password_file and password_command"]
    assert SECRET not in message


@pytest.mark.parametrize(
    ("url", "expected"),
    [("postgresql://bc:secret@db/bc", True), ("postgresql://bc@db/bc", False), ("sqlite:///cove.db", False)],
)
def test_whether_the_database_url_holds_a_password_is_known(url: str, expected: bool) -> None:
    assert DatabaseSettings(url=url).has_password is expected


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


def test_hours_are_by_device_type_and_the_shortest_counts_customers_too() -> None:
    alerts = AlertSettings.model_validate({"m365_hours": 30, "customers": {"Example Bakery": {"server_hours": 12}}})
    assert [alerts.hours_of(kind) for kind in ("Server", "Workstation", "Microsoft 365")] == [48, 168, 30]
    assert alerts.customers["Example Bakery"].hours_of("Workstation") is None
    assert alerts.shortest_hours() == 12


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


def test_the_top_level_sample_is_the_one_in_the_package() -> None:
    assert (Path(__file__).parents[2] / "cove.example.toml").samefile(SAMPLE)


def test_the_sample_loads_as_it_is_and_changes_no_default() -> None:
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


def test_the_sample_names_every_key_with_an_example_and_what_has_a_default_with_that() -> None:
    compared = set()
    for name, (path, field) in FIELDS.items():
        value, default = sample_value(path), field.default
        assert value not in ({}, []), name
        if path[0] != "logins" and isinstance(default, str | int | float | tuple):
            assert value == (list(default) if isinstance(default, tuple) else default), name
            compared.add(name)
    assert {"database.schema", "api.node_domains", "backupchecks.overall", "backupchecks.status.failed"} <= compared


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

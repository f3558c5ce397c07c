"""Who may know whom. The table below is the architecture page: a package may import what stands beside it, and does."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import cove_poller

PACKAGE = Path(cove_poller.__file__).parent
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
GROUND = {"__init__", "__main__", "errors", "files", "redaction", "spans", "text"}

KNOWS = {
    "config": {"ground"},
    "records": {"ground", "config"},
    "cove": {"ground", "config", "records"},
    "database": {"ground", "config", "records"},
    "commands": {"ground", "config", "records", "cove", "database"},
    "views": {"ground", "config", "records", "commands"},
    "cli": {"ground", "config", "commands", "views"},
}
LIBRARIES = {
    "click": {"cli"},
    "filelock": {"database"},
    "jinja2": {"views"},
    "platformdirs": {"config"},
    "prometheus_client": {"views"},
    "requests": {"cove", "cli"},
    "rich": {"cli", "views"},
    "sqlalchemy": {"database"},
    "tenacity": {"cove"},
    "tomllib": {"config"},
    "tomli_w": {"config"},
}
IMPURE = {"time", "os", "logging", "requests", "sqlalchemy", "socket", "subprocess", "pathlib", "random"}


def room(module: Path) -> str:
    return module.parts[0] if len(module.parts) > 1 else "ground"


@cache
def syntax(module: Path) -> ast.Module:
    return ast.parse((PACKAGE / module).read_text(encoding="utf-8"))


def imports(module: Path) -> Iterator[str]:
    """The dotted names that a module imports, wherever it does so."""
    for node in ast.walk(syntax(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_known_to(package: str) -> set[str]:
    found = set()
    for module in MODULES:
        for name in imports(module) if room(module) == package else ():
            own = name.split(".")
            if own[0] == "cove_poller":
                found.add(own[1] if (PACKAGE / own[1]).is_dir() else "ground")
    return found - {package}


@pytest.mark.parametrize("package", KNOWS)
def test_a_package_imports_what_the_table_says_and_no_other(package: str) -> None:
    assert rooms_known_to(package) == KNOWS[package]


def test_every_module_stands_in_a_room_or_on_the_ground() -> None:
    assert {module.stem for module in MODULES if room(module) == "ground"} == GROUND
    assert {room(module) for module in MODULES} == {*KNOWS, "ground"}


@pytest.mark.parametrize("folder", sorted({module.parent for module in MODULES}), ids=str)
def test_a_folder_is_small_enough_to_be_known_by_heart(folder: Path) -> None:
    assert len([module for module in MODULES if module.parent == folder]) <= 24  # with its __init__


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_no_module_is_longer_than_can_be_read_at_once(module: Path) -> None:
    assert len((PACKAGE / module).read_text(encoding="utf-8").splitlines()) <= 300


def test_the_ground_stands_on_nothing() -> None:
    on_rooms = {module.stem for module in MODULES if room(module) == "ground" for name in imports(module)
                if any(name.startswith(f"cove_poller.{package}") for package in KNOWS)}  # fmt: skip
    assert on_rooms == {"__main__"}


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_library_lives_in_its_rooms(library: str) -> None:
    users = {room(module) for module in MODULES if any(name.split(".")[0] == library for name in imports(module))}
    assert users == LIBRARIES[library]


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) == "records"], ids=str)
def test_records_know_no_clock_network_database_environment_or_logger(module: Path) -> None:
    assert {name.split(".")[0] for name in imports(module)} & IMPURE == set()
    assert ".now(" not in (PACKAGE / module).read_text(encoding="utf-8")


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_module_says_what_it_is_for_and_only_the_cli_prints_or_exits(module: Path) -> None:
    assert ast.get_docstring(syntax(module))
    calls = {ast.unparse(node.func) for node in ast.walk(syntax(module)) if isinstance(node, ast.Call)}
    if room(module) != "cli":
        assert calls & {"print", "sys.exit", "exit", "click.echo"} == set()


def test_a_column_code_stands_nowhere_outside_the_table_of_columns() -> None:
    for module in MODULES:
        if module in (Path("records/columns.py"), Path("records/device.py")):
            continue
        for node in ast.walk(syntax(module)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not (len(node.value) == 6 and node.value[0] == "D" and node.value[3] == "F"), module

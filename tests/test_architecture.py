"""Who may know whom. The dict below is the architecture page: a module may import what stands before it."""

import ast
from pathlib import Path

import pytest

import cove_poller

PACKAGE = Path(cove_poller.__file__).parent

LAYERS = {
    # the rim: prints, exits
    "__main__": {"cli"},
    "cli": {
        "backfill", "cli_base", "cli_report", "config", "database", "errors", "login_check", "logs", "output", "past",
        "sync", "window",
    },
    "cli_report": {"cli_base", "database", "overview_store", "report", "report_page", "report_plot"},
    "cli_base": {"config", "credentials", "errors", "output", "results"},
    # what people look at
    "report_page": {"report"},
    "overview_store": {"config", "database", "overview", "schema", "status"},
    "output": {"columns", "errors", "results", "text"},
    # the stories, readable in one screen
    "sync": {
        "client", "config", "credentials", "database", "errors", "linker", "listing", "login_run", "models",
        "recording", "results", "store", "text", "threads",
    },
    "backfill": {
        "client", "config", "credentials", "database", "errors", "linker", "listing", "login_run", "models", "past",
        "past_reader", "polls", "recording", "results", "runs", "store", "sync", "text",
    },
    "login_check": {"client", "config", "credentials", "database", "errors", "listing", "models", "polls", "results"},
    "login_run": {"client", "config", "credentials", "database", "errors", "polls", "results"},
    "results": {"errors", "recording", "window"},
    # the past of a device, by the best way that it allows
    "past_reader": {
        "changes", "client", "colorbar", "columns", "errors", "listing", "models", "past", "session_history",
        "session_rows", "sessions", "snapshots", "status", "threads",
    },
    "session_history": {"client", "columns", "errors", "models", "nodes", "paging", "session_rows", "status", "window"},
    "snapshots": {
        "client", "column_query", "columns", "listing", "models", "paging", "replay", "sessions", "status", "threads",
        "window",
    },
    # Cove's wire
    "listing": {"client", "column_query", "columns", "errors", "models", "paging"},
    "column_query": {"client", "columns", "errors", "models"},
    "client": {"config", "errors", "models", "secret", "text"},
    "paging": {"errors"},
    "threads": set(),
    # the database
    "recording": {
        "changes", "columns", "config", "job_runs", "linker", "models", "past", "runs", "sessions", "status", "store",
    },
    "job_runs": {"runs", "sessions", "store"},
    "linker": {"config", "linking", "models", "store"},
    "polls": {"config", "database"},
    "store": {"columns", "config", "contract", "linking", "rows", "runs", "schema", "sessions", "status"},
    "database": {"config", "errors", "migrate", "schema", "text"},
    "migrate": {"errors", "schema"},
    "schema": {"config", "contract"},
    "rows": {"text"},
    # pure: no clock, network, database, environment or logger
    "report": {"columns", "overview", "report_plot", "status", "text"},
    "report_plot": {"colorbar", "columns", "status"},
    "overview": {"columns", "config", "linking", "status"},
    "colorbar": {"columns", "models", "sessions", "status", "window"},
    "replay": {"changes", "sessions", "window"},
    "past": {"sessions", "window"},
    "session_rows": {"models", "sessions", "status", "window"},
    "changes": {"columns", "sessions", "status", "window"},
    "runs": {"columns", "remark", "sessions", "status", "text"},
    "remark": {"columns", "sessions", "status", "text"},
    "sessions": {"columns", "models", "status"},
    "window": set(),
    "linking": set(),
    "nodes": {"config", "errors"},
    "models": {"columns", "errors"},
    "status": set(),
    "columns": set(),
    "text": set(),
    # what everybody may know
    "credentials": {"config", "errors", "secret"},
    "config": {"contract", "errors", "secret", "status"},
    "secret": {"errors"},
    "logs": set(),
    "contract": set(),
    "errors": set(),
    "__init__": set(),
}  # fmt: skip

PURE = (
    "report", "report_plot",
    "overview", "colorbar", "replay", "past", "session_rows", "changes", "runs", "remark", "sessions", "window",
    "linking", "nodes", "models", "status", "columns", "text",
)  # fmt: skip

HOMES = {
    "click": {"cli", "cli_base", "cli_report"},
    "jinja2": {"report_page"},
    "requests": {"client"},
    "tenacity": {"client"},
    "sqlalchemy": {"database", "job_runs", "migrate", "overview_store", "polls", "rows", "schema", "store"},
    "filelock": {"database"},
    "tomllib": {"config"},
    "tomli_w": {"config"},
    "rich": {"cli"},
}


def imports(module: str) -> set[str]:
    """The dotted names that a module imports, wherever it does so."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_every_module_imports_what_the_architecture_says_and_no_more() -> None:
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert modules == LAYERS.keys()
    found = {}
    for module in modules:
        own = [name.split(".") for name in imports(module) if name.startswith("cove_poller.")]
        found[module] = {name[1] for name in own if name[1] in modules}
    assert found == LAYERS


def test_imports_go_one_way() -> None:
    done: set[str] = set()
    while ready := {module for module, needs in LAYERS.items() if needs <= done} - done:
        done |= ready
    assert done == LAYERS.keys()


@pytest.mark.parametrize("library", HOMES)
def test_each_library_lives_in_few_modules(library: str) -> None:
    users = {module for module in LAYERS if any(name.split(".")[0] == library for name in imports(module))}
    assert users <= HOMES[library]


@pytest.mark.parametrize("module", PURE)
def test_the_pure_modules_know_no_clock_network_database_environment_or_logger(module: str) -> None:
    forbidden = {"time", "os", "logging", "requests", "sqlalchemy", "socket", "subprocess", "pathlib", "random"}
    assert {name.split(".")[0] for name in imports(module)} & forbidden == set()
    assert ".now(" not in (PACKAGE / f"{module}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", LAYERS)
def test_every_module_says_what_it_is_for_and_only_the_rim_prints_or_exits(module: str) -> None:
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    if module.partition("_")[0] != "cli":
        assert calls & {"print", "sys.exit", "exit", "click.echo"} == set()


def test_a_column_code_stands_nowhere_outside_the_table_of_columns() -> None:
    for path in PACKAGE.glob("*.py"):
        if path.stem in ("columns", "models"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not (len(node.value) == 6 and node.value[0] == "D" and node.value[3] == "F"), path

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
        "backfill", "cli_base", "cli_check", "cli_devices", "cli_doctor", "cli_prune", "cli_report", "cli_status",
        "config", "database", "errors", "healthchecks", "login_check", "logs", "output", "past", "sync", "window",
    },
    "cli_check": {
        "cli_base", "database", "errors", "monitoring", "overview_store", "prometheus", "verdicts", "whole_file",
    },
    "cli_status": {"cli_base", "database", "overview", "overview_store", "status_json", "status_lines", "status_table"},
    "cli_base": {"config", "credentials", "errors", "output", "results"},
    "healthchecks": {"client", "errors", "logs", "output", "secret"},
    "cli_devices": {"cli_base", "devices", "results", "text"},
    "cli_doctor": {"checks", "cli_base", "doctor"},
    "cli_prune": {"cli_base", "errors", "prune"},
    "cli_report": {"cli_base", "database", "overview_store", "report", "report_page", "report_plot"},
    # what people look at
    "status_table": {"overview", "poll_age", "status", "status_lines"},
    "status_json": {"overview", "poll_age", "results"},
    "overview_store": {"config", "database", "overview", "schema", "status"},
    "staleness": {"config", "overview", "overview_store", "schema", "store", "text"},
    "output": {"columns", "errors", "results", "text"},
    "report_page": {"report"},
    # the stories, readable in one screen
    "sync": {
        "client", "config", "credentials", "database", "errors", "intervals", "linker", "listing", "login_run",
        "models", "polls", "recording", "results", "staleness", "store", "text", "threads",
    },
    "backfill": {
        "client", "config", "credentials", "database", "errors", "linker", "listing", "login_run", "models", "past",
        "past_reader", "polls", "recording", "results", "runs", "store", "sync", "text",
    },
    "login_check": {"client", "config", "credentials", "database", "errors", "listing", "models", "polls", "results"},
    "login_run": {"client", "config", "credentials", "database", "errors", "polls", "results"},
    "results": {"errors", "recording", "window"},
    "doctor": {
        "checks", "config", "cove_checks", "credentials", "database", "database_checks", "login_run", "polls", "text",
    },
    "cove_checks": {
        "checks", "client", "columns", "config", "database", "errors", "listing", "login_check", "login_run",
        "models", "polls", "probe", "text",
    },
    "database_checks": {
        "checks", "columns", "config", "database", "errors", "runs", "schema", "sessions", "status", "store",
    },
    "checks": {"errors", "results", "text"},
    "devices": {
        "columns", "config", "credentials", "database", "device_links", "errors", "linking", "recording", "results",
        "runs", "store", "text",
    },
    "prune": {"config", "credentials", "database", "login_run", "results"},
    # the past of a device, by the best way that it allows
    "past_reader": {
        "changes", "client", "colorbar", "columns", "errors", "listing", "models", "past", "session_history",
        "session_rows", "sessions", "snapshots", "status", "text", "threads",
    },
    "session_history": {
        "client", "columns", "errors", "models", "nodes", "paging", "patience", "session_rows", "status", "window",
    },
    "snapshots": {
        "client", "column_query", "listing", "models", "paging", "replay", "sessions", "status", "threads", "window",
    },
    # Cove's wire
    "listing": {"client", "column_query", "columns", "errors", "models", "paging"},
    "column_query": {"client", "columns", "errors", "models"},
    "client": {"config", "errors", "models", "secret", "text"},
    "paging": {"errors"},
    "threads": set(),
    "whole_file": set(),
    "patience": {"errors"},
    "probe": {"client", "config"},
    # the database
    "recording": {
        "columns", "config", "device_rows", "job_runs", "linker", "models", "past", "record_changes", "runs",
        "sessions", "status", "store",
    },
    "job_runs": {"runs", "sessions", "store"},
    "linker": {"config", "linking", "models", "store"},
    "polls": {"config", "database"},
    "store": {"device_store", "run_store", "runs", "session_store", "sessions"},
    "database": {"config", "errors", "migrate", "schema", "text"},
    "migrate": {"errors", "schema"},
    "schema": {"config", "contract"},
    "rows": {"text"},
    "objects": {"rows", "run_objects", "schema"},
    "device_links": {"config", "rows", "schema", "session_store", "sessions"},
    "statements": {"config", "rows", "schema"},
    "device_store": {"contract", "linking", "rows", "statements"},
    "session_store": {"columns", "rows", "schema", "sessions", "statements", "status"},
    "run_store": {"config", "contract", "objects", "runs", "schema", "statements"},
    "record_changes": {"changes", "past", "session_store", "sessions", "store"},
    # pure: no clock, network, database, environment or logger
    "monitoring": {"overview", "text", "verdicts"},
    "prometheus": {"overview", "status", "text", "verdicts"},
    "verdicts": {"overview", "poll_age", "status", "text"},
    "status_lines": {"overview", "poll_age", "status", "text"},
    "poll_age": {"overview", "text"},
    "overview": {"columns", "config", "linking", "status"},
    "colorbar": {"columns", "models", "sessions", "status", "window"},
    "replay": {"changes", "sessions", "window"},
    "past": {"sessions", "window"},
    "session_rows": {"models", "sessions", "status", "window"},
    "changes": {"columns", "sessions", "status", "window"},
    "runs": {"columns", "remark", "run_objects", "sessions", "status", "text", "window"},
    "remark": {"columns", "sessions", "status", "text"},
    "sessions": {"columns", "models", "status"},
    "window": set(),
    "linking": set(),
    "nodes": {"config", "errors"},
    "models": {"columns", "errors"},
    "status": set(),
    "columns": set(),
    "text": set(),
    "intervals": {"config", "linking"},
    "run_objects": {"remark", "status", "text"},
    "report": {"columns", "overview", "report_plot", "status", "text"},
    "report_plot": {"colorbar", "columns", "status"},
    "device_rows": {"columns", "models", "sessions", "status"},
    # what everybody may know
    "credentials": {"config", "errors", "secret"},
    "config": {"contract", "durations", "errors", "secret", "status"},
    "secret": {"errors"},
    "logs": set(),
    "contract": set(),
    "errors": set(),
    "__init__": set(),
    "durations": set(),
}  # fmt: skip

PURE = (
    "device_rows",
    "report", "report_plot",
    "monitoring", "prometheus", "verdicts", "status_json", "status_lines", "poll_age", "overview", "colorbar",
    "replay", "past", "session_rows", "changes", "runs", "run_objects", "remark", "sessions", "window",
    "durations", "intervals", "linking", "nodes", "models", "status", "columns", "text",
)  # fmt: skip

HOMES = {
    "click": {"cli", "cli_base", "cli_check", "cli_devices", "cli_doctor", "cli_prune", "cli_report", "cli_status"},
    "requests": {"client", "healthchecks", "probe"},
    "tenacity": {"client"},
    "sqlalchemy": {
        "database",
        "database_checks",
        "device_links",
        "device_store",
        "job_runs",
        "migrate",
        "objects",
        "overview_store",
        "polls",
        "prune",
        "rows",
        "run_store",
        "schema",
        "staleness",
        "session_store",
        "statements",
    },
    "jinja2": {"report_page"},
    "filelock": {"database"},
    "tomllib": {"config"},
    "tomli_w": {"config"},
    "rich": {"cli", "cli_status", "status_table"},
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

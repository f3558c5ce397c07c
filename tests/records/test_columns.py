"""Codes and names of columns and data sources, by N-able's pages and by what the session services say."""

import pytest

from cove_poller.records.columns import (
    LABELS,
    DataSource,
    canonical_code,
    label,
    m365_source,
    parse_active_sources,
    plugin_source,
)

NAMES = {
    "D01": "Files and Folders", "D02": "System State", "D03": "SQL Server (legacy)", "D04": "Exchange",
    "D05": "Microsoft 365 SharePoint", "D06": "Network Shares", "D07": "System State (VSS)", "D08": "VMware",
    "D09": "Total", "D10": "SQL Server", "D11": "SharePoint", "D12": "Oracle", "D14": "Hyper-V", "D15": "MySQL",
    "D18": "System State (Linux)", "D19": "Microsoft 365 Exchange", "D20": "Microsoft 365 OneDrive",
    "D23": "Microsoft 365 Teams",
}  # fmt: skip
MEMBERS = {
    "FILES_AND_FOLDERS": "D01", "SYSTEM_STATE": "D02", "SQL_SERVER_LEGACY": "D03", "EXCHANGE": "D04",
    "M365_SHAREPOINT": "D05", "NETWORK_SHARES": "D06", "SYSTEM_STATE_VSS": "D07", "VMWARE": "D08", "TOTAL": "D09",
    "SQL_SERVER": "D10", "SHAREPOINT": "D11", "ORACLE": "D12", "HYPER_V": "D14", "MYSQL": "D15",
    "SYSTEM_STATE_LINUX": "D18", "M365_EXCHANGE": "D19", "M365_ONEDRIVE": "D20", "M365_TEAMS": "D23",
}  # fmt: skip
PLUGINS = {
    "FileSystem": "D01", "FilesAndFolders": "D01", "Files and Folders": "D01", "WorkstationFileSystem": "D01",
    "Workstation_File_System": "D01", "VssFileSystem": "D01", "SystemState": "D02", "VssSystemState": "D02",
    "WorkstationSystemState": "D02", "WindowsSystemState": "D02", "LinuxSystemState": "D18", "MsSql": "D03",
    "MS SQL": "D03", "Exchange": "D04", "VssExchange": "D04", "NetworkShares": "D06", "VMWare": "D08",
    "VmwareVirtualMachines": "D08", "VMware VMs": "D08", "VssSql": "D10", "VssMsSql": "D10", "VSS-MS-SQL": "D10",
    "SQL Server": "D10", "Microsoft SQL Server": "D10", "SharePoint": "D11", "VssSharePoint": "D11",
    "Oracle": "D12", "OracleDatabase": "D12", "HyperV": "D14", "Vss-Hyper V": "D14", "VssHyperV": "D14",
    "HyperVVirtualMachines": "D14", "MySql": "D15", "VssMySql": "D15", "MySqlDatabases": "D15", "1": "D01",
    "01": "D01", "2": "D02", "3": "D03", "7": "D02", "8": "D08", "18": "D18", "10": "D10", "D10": "D10",
    "9": None, "13": None, "99": None, "Teams": None, "Novel": None, "": None, "Vss": None, "Server": None,
    "Workstation": None, "Plugin": None,
}  # fmt: skip
BY_SOURCES = [
    ("MsSql", "D01 D10", "D10"), ("MsSql", "D01 D03", "D03"), ("MsSql", "D03 D10", "D03"), ("MsSql", "D01 D02", "D03"),
    ("VssMsSql", "D03 D10", "D10"), ("VssMsSql", "D01 D03", "D03"), ("3", "D01 D10", "D10"), ("10", "D01 D03", "D03"),
    ("LinuxSystemState", "D01 D18", "D18"), ("LinuxSystemState", "D01 D02", "D02"), ("18", "D01 D02", "D02"),
    ("18", "D02 D18", "D18"), ("VssSystemState", "D01 D07", "D07"), ("VssSystemState", "D02 D07", "D02"),
    ("7", "D01 D07", "D07"), ("SystemState", "D01 D18", "D18"), ("FileSystem", "D10", "D01"),
    ("Novel", "D08", "D08"), ("Novel", "D08 D09", "D08"), ("Novel", "D01 D08", None), ("Novel", "D09", None),
    ("", "D08", None), ("13", "D01 D13", "D13"), ("Sims", "D01 D13", "D13"), ("99", "D01 D99", "D99"),
    ("99", "D01 D02", None), ("13", "D01", None), ("Sims", "D01 D02", None),
]  # fmt: skip
SERVICES = {
    "Exchange": "D19", "OneDrive": "D20", "one drive": "D20", "SharePoint": "D05", "Teams": "D23",
    "Planner": None, "": None,
}  # fmt: skip


def test_a_data_source_is_called_as_people_know_it_and_by_its_code_where_nobody_does() -> None:
    assert {code: label(code) for code in LABELS} == NAMES
    assert label("D99") == "D99"


def test_the_sources_that_are_asked_for_have_their_codes() -> None:
    assert {source.name: source.value for source in DataSource} == MEMBERS
    assert LABELS.keys() == {*MEMBERS.values()}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plug_in_of_a_storage_node_is_known_by_its_name_or_number(plugin: str) -> None:
    assert plugin_source(plugin) == PLUGINS[plugin]


@pytest.mark.parametrize(("plugin", "sources", "source"), BY_SOURCES)
def test_a_name_that_may_mean_several_sources_is_that_which_the_device_has(
    plugin: str, sources: str, source: str | None
) -> None:
    assert plugin_source(plugin, sources.split()) == source


@pytest.mark.parametrize("service", SERVICES)
def test_a_microsoft_365_service_is_known_by_its_name(service: str) -> None:
    assert m365_source(service) == SERVICES[service]


@pytest.mark.parametrize(
    ("code", "canonical"),
    [
        ("D9F0", "D09F00"),
        ("D10F15", "D10F15"),
        ("D001F001", "D01F01"),
        ("I01", "I1"),
        ("I0", "I0"),
        ("I078", "I78"),
        ("D01", "D01"),
        ("d01f09", "d01f09"),
        ("D01F", "D01F"),
        ("D100F00", "D100F00"),
        ("AA843", "AA843"),
        ("", ""),
    ],
)
def test_a_code_has_one_canonical_spelling_and_what_is_no_code_stays_as_it_is(code: str, canonical: str) -> None:
    assert canonical_code(code) == canonical


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("D01D02", ("D01", "D02")),
        ("D1,D2", ("D01", "D02")),
        ("D1D2D10", ("D01", "D02", "D10")),
        ("D01, D10; D1", ("D01", "D10")),
        ("D19D20D05", ("D05", "D19", "D20")),
        ("d01d02", ("D01", "D02")),
        ("D01D16D17", ("D01",)),
        ("D01D99", ("D01", "D99")),
        ("", ()),
        ("none", ()),
        ("Disabled", ()),
        ("FSX", ()),
    ],
)
def test_active_sources_are_read_from_either_notation_sorted_and_without_restores(
    text: str, sources: tuple[str, ...]
) -> None:
    assert parse_active_sources(text) == sources

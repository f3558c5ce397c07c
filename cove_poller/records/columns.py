"""Cove's column codes: a data source (`D01`), a field of its session (`F00`), both together (`D01F00`).

Codes and names are those of N-able's "Column codes" page. Cove ignores a code that it does not know, without
an error, and public clients disagree on whether `D01F00` or `D1F0` is the right spelling: so one spelling is
asked for at a time, and every spelling is read.
"""

import re
from collections.abc import Collection, Iterator
from enum import StrEnum
from functools import lru_cache


class DataSource(StrEnum):
    """What a device backs up. `TOTAL` is Cove's own sum over all of them."""

    FILES_AND_FOLDERS = "D01"
    SYSTEM_STATE = "D02"
    SQL_SERVER_LEGACY = "D03"
    EXCHANGE = "D04"
    M365_SHAREPOINT = "D05"
    NETWORK_SHARES = "D06"
    SYSTEM_STATE_VSS = "D07"
    VMWARE = "D08"
    TOTAL = "D09"
    SQL_SERVER = "D10"
    SHAREPOINT = "D11"
    ORACLE = "D12"
    HYPER_V = "D14"
    MYSQL = "D15"
    SYSTEM_STATE_LINUX = "D18"
    M365_EXCHANGE = "D19"
    M365_ONEDRIVE = "D20"
    M365_TEAMS = "D23"


LABELS = {
    "D01": "Files and Folders",
    "D02": "System State",
    "D03": "SQL Server (legacy)",
    "D04": "Exchange",
    "D05": "Microsoft 365 SharePoint",
    "D06": "Network Shares",
    "D07": "System State (VSS)",
    "D08": "VMware",
    "D09": "Total",
    "D10": "SQL Server",
    "D11": "SharePoint",
    "D12": "Oracle",
    "D14": "Hyper-V",
    "D15": "MySQL",
    "D18": "System State (Linux)",
    "D19": "Microsoft 365 Exchange",
    "D20": "Microsoft 365 OneDrive",
    "D23": "Microsoft 365 Teams",
}

M365_SERVICES = {"Exchange": "D19", "OneDrive": "D20", "SharePoint": "D05", "Teams": "D23"}
"""What the reporting service calls a data source."""

M365_SOURCES = frozenset(M365_SERVICES.values())

RESTORE_SOURCES = frozenset({"D16", "D17"})
"""Virtual Disaster Recovery and Bare Metal Restore: they restore, so they have no backup to watch."""

PLUGINS: dict[str, tuple[str, ...]] = {
    "filesystem": ("D01",),
    "filesandfolders": ("D01",),
    "files": ("D01",),
    "systemstate": ("D02", "D07", "D18"),
    "windowssystemstate": ("D02", "D07"),
    "linuxsystemstate": ("D18", "D02"),
    "systemstatelinux": ("D18", "D02"),
    "mssql": ("D03", "D10"),
    "sql": ("D10", "D03"),
    "vsssql": ("D10", "D03"),
    "vssmssql": ("D10", "D03"),
    "exchange": ("D04",),
    "networkshares": ("D06",),
    "networkshare": ("D06",),
    "vmware": ("D08",),
    "esx": ("D08",),
    "esxi": ("D08",),
    "sharepoint": ("D11",),
    "oracle": ("D12",),
    "sims": ("D13",),
    "hyperv": ("D14",),
    "mysql": ("D15",),
}
"""What storage nodes call a data source, without case, spaces and what adds nothing; the likeliest source first."""

PLUGIN_NUMBERS = {
    2: ("D02", "D07", "D18"),
    3: ("D03", "D10"),
    7: ("D02", "D07"),
    10: ("D10", "D03"),
    18: ("D18", "D02"),
}
"""The numbers that stand for more than the source with that code."""

ADDS_NOTHING = re.compile(
    r"(?:^(?:vss|workstation|server|desktop|windows|microsoft|backup))"
    r"|(?:(?:virtualmachines?|vms?|databases?|db|servers?|plugin|backup|vss|legacy)$)"
)
"""What the names of plug-ins begin or end with beside what is backed up."""

PLUGIN_NUMBER = re.compile(r"[Dd]?0*([0-9]{1,3})")

SOURCE_FIELD = re.compile(r"D0*(\d{1,2})F0*(\d{1,2})")
DEVICE_FIELD = re.compile(r"I0*(\d{1,3})")


def label(data_source: str) -> str:
    """Return the name of a data source as people know it; the code itself where it has none here."""
    return LABELS.get(data_source, data_source)


def plugin_source(plugin: str, sources: Collection[str] = ()) -> str | None:
    """Return the data source of a storage node's plug-in on a device with `sources`; None if it is not known.

    A name that may mean several is that which the device has: `MsSql` is D10 where there is no D03. One that nobody
    knows is the device's only source, if it has but one.
    """
    own = {*sources} - {DataSource.TOTAL.value} - RESTORE_SOURCES
    candidates = _candidates(plugin, own)
    if not candidates and len(own) == 1 and plugin.strip() and not PLUGIN_NUMBER.fullmatch(plugin.strip()):
        return next(iter(own))
    return next((code for code in candidates if code in own), next((one for one in candidates if one in LABELS), None))


def _candidates(plugin: str, own: Collection[str]) -> tuple[str, ...]:
    """Return the data sources that a plug-in's name or number may mean, the likeliest first."""
    if number := PLUGIN_NUMBER.fullmatch(plugin.strip()):
        code = f"D{int(number[1]):02d}"
        is_known = (code in LABELS and code != DataSource.TOTAL) or code in own
        return PLUGIN_NUMBERS.get(int(number[1]), (code,) if is_known else ())
    word = _simplified(plugin)
    while word not in PLUGINS and (shorter := ADDS_NOTHING.sub("", word, count=1)) != word:
        word = shorter
    return PLUGINS.get(word, ())


def m365_source(service: str) -> str | None:
    """Return the data source of a service as the reporting service names it; None if it is not known."""
    return {_simplified(name): code for name, code in M365_SERVICES.items()}.get(_simplified(service))


@lru_cache(maxsize=1024)
def _simplified(word: str) -> str:
    return "".join(letter for letter in word.lower() if letter.isalnum())


@lru_cache(maxsize=4096)
def canonical_code(code: str) -> str:
    """Return `D01F00` for `D1F0`, `D01F0` and `D1F00`, `I1` for `I01`; anything else as it is."""
    if match := SOURCE_FIELD.fullmatch(code):
        return f"D{int(match[1]):02d}F{int(match[2]):02d}"
    if match := DEVICE_FIELD.fullmatch(code):
        return f"I{int(match[1])}"
    return code


def unpadded_spellings(code: str) -> Iterator[str]:
    """Yield the spellings without a leading zero that public clients use: `D9F00` and `D9F0` for `D09F00`."""
    if match := SOURCE_FIELD.fullmatch(code):
        source, field = int(match[1]), int(match[2])
        yield f"D{source}F{field:02d}"
        if field < 10:
            yield f"D{source}F{field}"
    else:
        yield code


@lru_cache(maxsize=1024)
def parse_active_sources(text: str) -> tuple[str, ...]:
    """Return the data sources in an I78 value, sorted and without restores: `D19D20D05` and `D1,D2` both occur."""
    codes = {f"D{int(number):02d}" for number in re.findall(r"D(\d{1,2})", text, re.IGNORECASE)}
    return tuple(sorted(codes - RESTORE_SOURCES))

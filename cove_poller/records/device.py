"""Cove's replies as types, straight from the bytes. Knows Cove's words only: no clock, network or database.

`SourceFields` and `DeviceFields` are the one table of columns: what is asked for and what is read are both
taken from them. Shapes are those of N-able's pages "Authorization" and "Enumerate device statistics"; values
come as strings, at times as numbers, null or a list of one, so all of that is read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import Field

from cove_poller.records.columns import (
    M365_SOURCES,
    SOURCE_FIELD,
    DataSource,
    canonical_code,
    label,
    parse_active_sources,
)
from cove_poller.records.values import (
    AccountId,
    CoveModel,
    Duration,
    Number,
    StatusCode,
    Text,
    Time,
    first,
    read_what_is_readable,
)


class SourceFields(CoveModel):
    """What Cove says of one data source of a device. Whether F15 and F09 are starts or ends is not documented."""

    last_status: StatusCode = Field(None, alias="F00")
    errors_count: Number = Field(None, alias="F06")
    color_bar: Text = Field(None, alias="F08")
    last_success_at: Time = Field(None, alias="F09")
    duration_seconds: Duration = Field(None, alias="F12")
    last_session_at: Time = Field(None, alias="F15")
    last_success_status: StatusCode = Field(None, alias="F16")
    last_completed_status: StatusCode = Field(None, alias="F17")
    last_completed_at: Time = Field(None, alias="F18")


class DeviceFields(CoveModel):
    """What Cove says of a device itself."""

    device_id: Text = Field(None, alias="I0")
    name: Text = Field(None, alias="I1")
    created_at: Time = Field(None, alias="I4")
    customer_name: Text = Field(None, alias="I8")
    computer_name: Text = Field(None, alias="I18")
    os_type: Number = Field(None, alias="I32")
    account_type: Number = Field(None, alias="I59")
    active_sources: Text = Field(None, alias="I78")


@lru_cache(maxsize=1024)
def column_code(source: DataSource, field: str) -> str:
    """Return the code for a field of `SourceFields` by its name: (TOTAL, "last_status") gives `D09F00`."""
    return f"{source}{SourceFields.model_fields[field].alias}"


def device_column(field: str) -> str:
    """Return the code for a field of `DeviceFields` by its name: "name" gives `I1`."""
    return str(DeviceFields.model_fields[field].alias)


REQUIRED_COLUMNS = (
    *(device_column(name) for name in ("name", "customer_name", "active_sources")),
    *(column_code(DataSource.TOTAL, name) for name in ("last_status", "last_session_at")),
)
ALL_COLUMNS = (
    *(device_column(name) for name in DeviceFields.model_fields),
    *(column_code(source, name) for source in DataSource for name in SourceFields.model_fields),
)
OPTIONAL_COLUMNS = tuple(code for code in ALL_COLUMNS if code not in REQUIRED_COLUMNS)
DECISIVE_COLUMNS = {
    source: frozenset(column_code(source, field) for field in ("last_status", "last_session_at"))
    for source in DataSource
}
"""Without both of these nobody can say how the last session of a source went."""


class Device(CoveModel):
    """A row of Cove's listing, read: the device and what is known of each of its data sources."""

    account_id: int
    partner_id: int | None
    fields: DeviceFields
    sources: Mapping[str, SourceFields]
    malformed: frozenset[str] = frozenset()
    """Codes whose value could not be read, e.g. a time that is a word; `Settings` for one that is no such thing."""

    contradictions: tuple[str, ...] = ()
    """In words, what Cove told twice and differently; the graver word counts."""

    @property
    def name(self) -> str:
        return self.fields.name or f"device {self.account_id}"

    @property
    def active_sources(self) -> tuple[str, ...]:
        """Return the sources in I78; where that says nothing, those with sessions: none is taken for switched off."""
        listed = parse_active_sources(self.fields.active_sources or "")
        return listed or tuple(sorted(code for code in self.sources if code != DataSource.TOTAL))

    @property
    def device_type(self) -> str:
        """Return Backupchecks' backup type: I59 is 2, or M365 sources on no computer, for Microsoft 365."""
        active = set(self.active_sources)
        if self.fields.account_type == 2 or (not self.fields.computer_name and active and active <= M365_SOURCES):
            return "Microsoft 365"
        return "Server" if self.fields.os_type == 2 else "Workstation"


class RowHead(CoveModel):
    """Whose row it is."""

    account_id: AccountId | None = Field(None, alias="AccountId")
    partner_id: Number = Field(None, alias="PartnerId")


@dataclass(frozen=True, slots=True)
class StatisticsRow:
    """A row of the listing: a list of settings, each of which has the values of some columns."""

    account_id: int
    partner_id: int | None
    settings: list[Any]
    malformed: frozenset[str] = frozenset()

    @property
    def content(self) -> bytes:
        """Return all that the row says, as Cove sent it, in a form that is the same for the same row."""
        return repr((self.account_id, self.partner_id, self.settings, sorted(self.malformed))).encode(errors="replace")

    def readings(self) -> list[dict[str, Any]]:
        """Return the settings by their canonical code, without values that say nothing.

        There is more than one reading where spellings of a code have different values: `D9F00` 5 and `D09F00` 2.
        """
        values: dict[str, Any] = {}
        others: dict[str, dict[str, Any]] = {}
        for code, value in (pair for setting in self.settings if isinstance(setting, dict) for pair in setting.items()):
            if (told := first(value)) is None:
                continue
            known = values.setdefault(canonical_code(code), value)
            if known is not value and (word := str(told)) != str(first(known)):
                others.setdefault(canonical_code(code), {}).setdefault(word, value)
        found = {code: [values[code], *more.values()] for code, more in others.items()}
        count = max(map(len, found.values()), default=1)
        differing = [{code: told[min(place, len(told) - 1)] for code, told in found.items()} for place in range(count)]
        return [{**values, **one} for one in differing]


@dataclass(frozen=True)
class UnreadableRow:
    """A row of the listing that says nothing of a device, of which one if that can be read, and what is odd in it."""

    account_id: int | None
    what: str
    content: str = ""

    @property
    def why(self) -> str:
        return f"{self.what} cannot be read, so nothing is known of it; it was left out"

    def __str__(self) -> str:
        if self.account_id is None:
            return f"Cove lists a device that nobody can name, since {self.what} cannot be read; it was left out"
        return f"device {self.account_id}: {self.why}"


def row_from_reply(content: object) -> StatisticsRow | UnreadableRow:
    """Return a row from what stands in its place in Cove's list. A value that cannot be read is left out and named."""
    if not isinstance(content, dict):
        return UnreadableRow(None, "its row", repr(content))
    head, bad = read_what_is_readable(RowHead, content)
    if head.account_id is None:
        return UnreadableRow(None, "its AccountId", repr(content))
    settings = content.get("Settings")
    if not isinstance(settings, list):
        return UnreadableRow(head.account_id, "Settings of its row")
    malformed = bad if {*map(type, settings)} <= {dict} else {*bad, "Settings"}
    return StatisticsRow(head.account_id, head.partner_id, settings, frozenset(malformed))


def device_from_row(row: StatisticsRow, values: Mapping[str, Any] | None = None) -> Device:
    """Return the device that a row of the listing describes. What cannot be read is left out and named.

    `values` are those of the row's first reading unless they are given.
    """
    own: dict[str, Any] = {}
    by_source: dict[str, dict[str, Any]] = {}
    for code, value in (row.readings()[0] if values is None else values).items():
        if SOURCE_FIELD.fullmatch(code):
            by_source.setdefault(code[:3], {})[code[3:]] = value
        else:
            own[code] = value
    fields, malformed = read_what_is_readable(DeviceFields, own)
    sources: dict[str, SourceFields] = {}
    for source, found in by_source.items():
        sources[source], bad = read_what_is_readable(SourceFields, found)
        malformed |= {source + code for code in bad}
    return Device(
        account_id=row.account_id,
        partner_id=row.partner_id,
        fields=fields,
        sources=sources,
        malformed=row.malformed | malformed,
    )


def describe_columns(codes: Sequence[str]) -> str:
    """Return columns in words, by source: `System State (D02F00, D02F15); Device (I32)`."""
    groups: dict[str, list[str]] = {}
    for code in codes:
        groups.setdefault(label(code[:3]) if SOURCE_FIELD.fullmatch(code) else "Device", []).append(code)
    return "; ".join(f"{name} ({', '.join(members)})" for name, members in groups.items())

"""Cove's replies as types, straight from the bytes. Knows Cove's words only: no clock, network or database.

`SourceFields` and `DeviceFields` are the one table of columns: what is asked for and what is read are both
taken from them. Shapes are those of N-able's pages "Authorization" and "Enumerate device statistics"; values
come as strings, at times as numbers, null or a list of one, so all of that is read.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from cove_poller.records.columns import (
    M365_SOURCES,
    SOURCE_FIELD,
    DataSource,
    canonical_code,
    label,
    parse_active_sources,
)

MILLISECONDS_FROM = 100_000_000_000  # in seconds that is the year 5138: such a number is in milliseconds

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


def _first(value: object) -> object:
    """Return a value as Cove means it: the first of a list; None for blank text."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, str):
        value = value.strip() or None
    return value


def _time(value: object) -> datetime | None:
    """Return the time that Unix seconds (or milliseconds) as number or text mean; None for 0, which means never."""
    value = _first(value)
    if value is None:
        return None
    if not isinstance(value, (int, float, str)):
        raise ValueError("not a time")
    try:
        seconds = int(float(value))
        if seconds >= MILLISECONDS_FROM:
            seconds //= 1000
        return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError("not a time") from error


def _moment(value: object) -> datetime | None:
    """Return the time that Unix time, or an ISO 8601 time, means; it is in UTC unless it says otherwise."""
    text = _first(value)
    if isinstance(text, str) and not text.replace(".", "").isdigit():
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)
    return _time(value)


def _text(value: object) -> str | None:
    value = _first(value)
    return None if value is None else str(value).replace("\0", "")


Time = Annotated[datetime | None, BeforeValidator(_time)]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]
Number = Annotated[Annotated[int, Field(ge=-(2**63), lt=2**63)] | None, BeforeValidator(_first)]
Duration = Annotated[Annotated[int, Field(ge=0, lt=10**9)] | None, BeforeValidator(_first)]  # below 32 years
StatusCode = Annotated[Annotated[int, Field(ge=-(2**31), lt=2**31)] | None, BeforeValidator(_first)]
Text = Annotated[str | None, BeforeValidator(_text)]


class CoveModel(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, populate_by_name=True)


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
    used_bytes: Number = Field(None, alias="I14")
    computer_name: Text = Field(None, alias="I18")
    os_type: Number = Field(None, alias="I32")
    account_type: Number = Field(None, alias="I59")
    active_sources: Text = Field(None, alias="I78")


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
DECISIVE_FIELDS = ("last_status", "last_session_at")
"""Without both of these nobody can say how the last session of a source went."""


class Device(CoveModel):
    """A row of Cove's listing, read: the device and what is known of each of its data sources."""

    account_id: int
    partner_id: int | None
    fields: DeviceFields
    sources: Mapping[str, SourceFields]
    malformed: frozenset[str] = frozenset()
    """Codes whose value could not be read, e.g. a time that is a word."""

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


class StatisticsRow(CoveModel):
    account_id: int = Field(alias="AccountId")
    partner_id: int | None = Field(None, alias="PartnerId")
    settings: list[dict[str, Any]] | None = Field(None, alias="Settings")

    def values(self) -> dict[str, Any]:
        """Return the settings by their canonical code, without values that say nothing."""
        pairs = (pair for setting in self.settings or () for pair in setting.items())
        return {canonical_code(code): value for code, value in pairs if _first(value) is not None}


def _read_what_is_readable(model: type[M], values: Mapping[str, Any]) -> tuple[M, set[str]]:
    """Return the model from `values`, and the keys that had to be left out because their value makes no sense."""
    try:
        return model.model_validate(values), set()
    except ValidationError as error:
        bad = {str(problem["loc"][0]) for problem in error.errors()}
        return model.model_validate({key: value for key, value in values.items() if key not in bad}), bad


def device_from_row(row: StatisticsRow) -> Device:
    """Return the device that a row of the listing describes. What cannot be read is left out and named."""
    own: dict[str, Any] = {}
    by_source: dict[str, dict[str, Any]] = {}
    for code, value in row.values().items():
        if SOURCE_FIELD.fullmatch(code):
            by_source.setdefault(code[:3], {})[code[3:]] = value
        else:
            own[code] = value
    fields, malformed = _read_what_is_readable(DeviceFields, own)
    sources: dict[str, SourceFields] = {}
    for source, values in by_source.items():
        sources[source], bad = _read_what_is_readable(SourceFields, values)
        malformed |= {source + code for code in bad}
    return Device(
        account_id=row.account_id,
        partner_id=row.partner_id,
        fields=fields,
        sources=sources,
        malformed=frozenset(malformed),
    )


def iter_devices(rows: Sequence[StatisticsRow]) -> Iterator[Device]:
    """Yield the devices of a page, in its order."""
    return (device_from_row(row) for row in rows)


def describe_columns(codes: Sequence[str]) -> str:
    """Return columns in words, by source: `System State (D02F00, D02F15); Device (I32)`."""
    groups: dict[str, list[str]] = {}
    for code in codes:
        groups.setdefault(label(code[:3]) if SOURCE_FIELD.fullmatch(code) else "Device", []).append(code)
    return "; ".join(f"{name} ({', '.join(members)})" for name, members in groups.items())

"""The settings as types, with their defaults and bounds. No problem is told with its value: it might be a password."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from cove_poller.config import backupchecks_columns as contract
from cove_poller.config.secrets import SecretSource
from cove_poller.config.urls import (
    JOB_ID,
    checked_api_url,
    checked_database_url,
    checked_page_url,
    checked_ping_url,
    hidden_url,
    job_page,
)
from cove_poller.spans import Interval


def _known_columns(columns: dict[str, str], known: tuple[str, ...]) -> dict[str, str]:
    if unknown := sorted(columns.keys() - set(known)):
        raise ValueError(f"unknown column {', '.join(unknown)}; known are {', '.join(known)}")
    return columns


Constant = str | int | float | bool


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class DatabaseSettings(Settings, SecretSource):
    """Where Backupchecks' tables are."""

    url: Annotated[str, AfterValidator(checked_database_url)]
    db_schema: str = Field("public", alias="schema")
    spool_directory: str = ""

    @property
    def has_password(self) -> bool:
        """Tell whether the URL itself holds one."""
        return hidden_url(self.url) != self.url


class ApiSettings(Settings):
    """How Cove's API is talked to."""

    url: Annotated[str, AfterValidator(checked_api_url)] = "https://api.backup.management/jsonapi"
    page_size: int = Field(250, ge=2, le=10_000)
    timeout_seconds: float = Field(30, gt=0, le=600)
    max_attempts: int = Field(5, ge=1, le=20)
    requests_per_second: float = Field(5, gt=0, le=1000)
    node_domains: tuple[str, ...] = ("cloudbackup.management",)
    gap_minutes: int = Field(75, ge=1)
    histories: Literal["gaps", "always", "never"] = "gaps"
    history_minutes: float = Field(5, gt=0, le=1440)
    backfill_workers: int = Field(4, ge=1, le=32)


class LoginSettings(Settings, SecretSource):
    """One Cove login. `api` overrides single keys of the common `[api]`."""

    username: str = Field(min_length=1)
    partner: str = ""
    partner_id: int = Field(0, ge=0)
    api: ApiSettings = ApiSettings()


class StatusWords(Settings):
    """What Backupchecks calls the outcomes."""

    success: str = "Success"
    warning: str = "Warning"
    failed: str = "Failed"


class ColumnNames(Settings):
    """Our column name -> the live table's name, where they differ."""

    customers: Annotated[dict[str, str], AfterValidator(lambda names: _known_columns(names, contract.CUSTOMERS))] = {}
    jobs: Annotated[dict[str, str], AfterValidator(lambda names: _known_columns(names, contract.JOBS))] = {}
    job_runs: Annotated[dict[str, str], AfterValidator(lambda names: _known_columns(names, contract.JOB_RUNS))] = {}


class ColumnConstants(Settings):
    """The live table's column -> a constant, for columns that it demands and we do not know."""

    customers: dict[str, Constant] = {}
    jobs: dict[str, Constant] = {}
    job_runs: dict[str, Constant] = {}


def _object_table(table: str | None) -> str | None:
    if table and (table in ("customers", "jobs", "job_runs") or table.startswith("cove_")):
        raise ValueError("must be a table for nothing but the objects of runs: their rows are deleted and written anew")
    return table


class ObjectColumns(Settings):
    """Our name -> the live table's name. An empty `type` or `message` is not written."""

    run_id: str = Field("run_id", min_length=1)
    name: str = Field("object_name", min_length=1)
    type: str = "object_type"
    status: str = Field("status", min_length=1)
    message: str = "error_message"

    def used(self) -> dict[str, str]:
        """Return those that are written."""
        return {ours: live for ours, live in self.model_dump().items() if live}

    @model_validator(mode="after")
    def _name_each_column_once(self) -> "ObjectColumns":
        names = list(self.used().values())
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} is named more than once")
        return self


class ObjectSettings(Settings):
    """Where Backupchecks lists the objects of a run, here the data sources; nowhere without a `table`."""

    table: Annotated[str | None, AfterValidator(_object_table)] = None
    columns: ObjectColumns = ObjectColumns()
    defaults: dict[str, Constant] = {}


class BackupchecksSettings(Settings):
    """How the results are written, and at which `url` people see them."""

    url: Annotated[str, AfterValidator(checked_page_url)] | None = None
    source_type: str = "api"
    backup_software: str = "Cove Data Protection"
    create_customers: bool = True
    create_jobs: bool = True
    round_gap_minutes: int = Field(15, ge=1)
    round_span_minutes: int = Field(360, ge=1)
    settle_minutes: int = Field(60, ge=0)
    overall: Literal["worst", "round", "total"] = "worst"
    reviewed_by: int | str | None = None
    status: StatusWords = StatusWords()
    customers: dict[str, str] = {}
    columns: ColumnNames = ColumnNames()
    defaults: ColumnConstants = ColumnConstants()
    objects: ObjectSettings = ObjectSettings()

    def page_of(self, job_id: int | None) -> str | None:
        """Return the page of a job; None where it has none, or nobody said where Backupchecks is."""
        return job_page(self.url, job_id) if self.url and job_id is not None else None

    @property
    def start_page(self) -> str | None:
        """Return where Backupchecks begins; None where nobody said so."""
        return self.url if self.url and JOB_ID not in self.url else None


class IntervalSettings(Settings):
    """How often each customer is polled, by the name that Cove has for it; None: with every sync."""

    default: Interval | None = None
    customers: dict[str, Interval] = {}

    @property
    def are_set(self) -> bool:
        """Tell whether anybody has an interval."""
        return bool(self.default or self.customers)


class HealthchecksSettings(Settings):
    """The monitoring that is told when a run begins and how it ends. Whoever knows its URL can deceive it."""

    url: Annotated[SecretStr, AfterValidator(checked_ping_url)] | None = None


class CustomerAlerts(Settings):
    """After how many hours without a success a device is stale; None: as for everybody."""

    server_hours: float | None = Field(None, gt=0)
    workstation_hours: float | None = Field(None, gt=0)
    m365_hours: float | None = Field(None, gt=0)

    def all_hours(self) -> tuple[float | None, ...]:
        return self.server_hours, self.workstation_hours, self.m365_hours

    def hours_of(self, device_type: str) -> float | None:
        """Return the hours for a device of Backupchecks' backup type."""
        by_type = {"Workstation": self.workstation_hours, "Microsoft 365": self.m365_hours}
        return by_type.get(device_type, self.server_hours)


class AlertSettings(CustomerAlerts):
    """When a device counts as stale, and when the poller itself does: after `max_poll_age` without a successful poll.

    `customers` overrides single hours, by the customer's name.
    """

    server_hours: float | None = Field(48, gt=0)
    workstation_hours: float | None = Field(168, gt=0)
    m365_hours: float | None = Field(48, gt=0)
    remind: Interval = timedelta(hours=24)
    max_poll_age: Interval = timedelta(minutes=90)
    customers: dict[str, CustomerAlerts] = {}

    def shortest_hours(self) -> float:
        """Return the hours before which no device is stale."""
        known = (hours for one in (self, *self.customers.values()) for hours in one.all_hours())
        return min(hours for hours in known if hours is not None)


SessionStatus = Literal["success", "warning", "failed", "running", "none"]


class Config(Settings):
    """The whole file."""

    database: DatabaseSettings
    api: ApiSettings = ApiSettings()
    logins: dict[str, LoginSettings] = Field(min_length=1)
    backupchecks: BackupchecksSettings = BackupchecksSettings()
    alerts: AlertSettings = AlertSettings()
    status: dict[int, SessionStatus] = {}
    intervals: IntervalSettings = IntervalSettings()
    healthchecks: HealthchecksSettings = HealthchecksSettings()

    def api_of(self, login: str) -> ApiSettings:
        """Return the API settings of a login: its own where it has some, else the common ones."""
        own = self.logins[login].api
        return self.api.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})

    def secret_sources(self) -> Iterator[tuple[str, SecretSource]]:
        """Yield every place that may hold a secret, with its path in the file."""
        yield "database", self.database
        for name, login in self.logins.items():
            yield f"logins.{name}", login

"""The forms that values have in Cove's replies: texts, numbers and times, as text, number, null or a list of one."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

MILLISECONDS_FROM = 100_000_000_000  # in seconds that is the year 5138: such a number is in milliseconds

CLOCK = re.compile(r"(?:(\d{1,4})[.d ]+)?(\d{1,4}):(\d\d):(\d\d)(?:[.,]\d*)?")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

M = TypeVar("M", bound=BaseModel)


def first(value: object) -> object:
    """Return a value as Cove means it: the first of a list; None for blank text."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, str):
        value = value.strip() or None
    return value


def _time(value: object) -> datetime | None:
    """Return the time that Unix seconds (or milliseconds) as number or text mean; None for 0, which means never."""
    value = first(value)
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
    text = first(value)
    if not isinstance(text, str) or text.replace(".", "").isdigit():
        return _time(value)
    moment = datetime.fromisoformat(text)
    if moment.year <= EPOCH.year:  # a date that is not set, in some languages: the year 1, or 1970
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)


def _number(value: object) -> object:
    """Return the value unless it is a truth value, which would pass for 0 or 1."""
    if isinstance(value, bool):
        raise ValueError("not a number")
    return value


def _text(value: object) -> str | None:
    value = first(value)
    return None if value is None else str(value).replace("\0", "")


def _span(value: object) -> object:
    """Return a duration in whole seconds: `600`, `"600.5"`, `"00:10:00"`, and `"1.00:10:00"` for a day more."""
    value = first(value)
    if isinstance(value, str) and (clock := CLOCK.fullmatch(value)):
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if isinstance(value, (str, float)):
        number = float(value)
        return int(number) if math.isfinite(number) else None
    return value


Time = Annotated[datetime | None, BeforeValidator(_time)]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]
Number = Annotated[Annotated[int, Field(ge=-(2**63), lt=2**63)] | None, BeforeValidator(first)]
Duration = Annotated[Annotated[int, Field(ge=0, lt=10**9)] | None, BeforeValidator(first)]  # below 32 years
Span = Annotated[Annotated[int, Field(ge=0, lt=10**9)] | None, BeforeValidator(_span)]
StatusCode = Annotated[Annotated[int, Field(ge=-(2**31), lt=2**31)] | None, BeforeValidator(first)]
AccountId = Annotated[int, Field(ge=1, lt=2**63), BeforeValidator(_number)]
Text = Annotated[str | None, BeforeValidator(_text)]


class CoveModel(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, populate_by_name=True)


def read_what_is_readable(model: type[M], values: Mapping[str, Any]) -> tuple[M, set[str]]:
    """Return the model from `values`, and the keys that had to be left out because their value makes no sense."""
    try:
        return model.model_validate(values), set()
    except ValidationError as error:
        bad = {str(problem["loc"][0]) for problem in error.errors()}
        return model.model_validate({key: value for key, value in values.items() if key not in bad}), bad

"""Cove's JSON-RPC replies as types, straight from the bytes: the envelope, and what it holds of logins and accounts.

Shapes are those of N-able's page "Authorization", and of public clients.
"""

import functools
import re
from codecs import BOM_UTF8, getincrementaldecoder
from contextlib import suppress
from typing import Any, Generic, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator

from cove_poller.errors import ApiError, ApiUnavailable
from cove_poller.records.values import CoveModel, Text
from cove_poller.redaction import fit_to_show, redacted

T = TypeVar("T")
LOOKED_AT = 1 << 16

BEYOND_ASCII = re.compile(
    rb"[\xC2-\xDF][\x80-\xBF]"
    rb"|(?:\xE0[\xA0-\xBF]|[\xE1-\xEC\xEE\xEF][\x80-\xBF]|\xED[\x80-\x9F])[\x80-\xBF]"
    rb"|(?:\xF0[\x90-\xBF]|[\xF1-\xF3][\x80-\xBF]|\xF4[\x80-\x8F])[\x80-\xBF]{2}"
)
"""A letter beyond ASCII as UTF-8 has it."""

ESCAPE = re.compile(
    r"\\(?:u[Dd][89ABab][0-9A-Fa-f]{2}\\u[Dd][C-Fc-f][0-9A-Fa-f]{2}"  # a letter in two halves
    r"|(?P<half>u[Dd][89A-Fa-f][0-9A-Fa-f]{2})|.)",
    re.DOTALL,
)
TITLE = re.compile(r"<title[^>]*>([^<]*)", re.IGNORECASE)
HALF_ESCAPED = re.compile(r"\\u[Dd][89A-Fa-f]")
HALF_ESCAPED_BYTES = re.compile(HALF_ESCAPED.pattern.encode())


class ReplyError(CoveModel):
    """`data` is the number that Cove branches on; `code` is JSON-RPC's and says little."""

    code: Any = None
    data: Any = None
    message: Text = None

    @property
    def cove_code(self) -> int | None:
        try:
            return int(self.data) or None
        except (TypeError, ValueError, OverflowError):
            return None


class NodeAddress(CoveModel):
    host: Text = Field(None, alias="Host")


class HomeNode(CoveModel):
    address: NodeAddress | None = Field(None, alias="CommonInfo")


class Result(CoveModel, Generic[T]):
    """Results are nested twice, since out parameters stand beside the inner one."""

    result: T | None = None
    partner_id: int | None = Field(None, alias="PartnerId")
    home_node: HomeNode | None = Field(None, alias="homeNodeInfo")
    totals: Any = Field(None, alias="totalStatistics")

    @model_validator(mode="before")
    @classmethod
    def _nested(cls, content: Any) -> Any:
        """Take a list in the place of the outer result for the inner one."""
        return {"result": content} if isinstance(content, list) else content


class Reply(CoveModel, Generic[T]):
    """A JSON-RPC reply. The visa stands at the top, also beside an error."""

    visa: Text = None
    error: ReplyError | None = None
    result: Result[T] | None = None


class LoginUser(CoveModel):
    user_name: Text = Field(None, alias="Name")
    partner_id: int | None = Field(None, alias="PartnerId")


class Partner(CoveModel):
    name: Text = Field(None, alias="Name")


class Account(CoveModel):
    """A device as its storage node knows it. The token is permanent, so it is as secret as a password."""

    name: Text = Field(None, alias="Name")
    token: SecretStr | None = Field(None, alias="Token")


class RemoteEndpoint(CoveModel):
    url: Text = Field(None, alias="WebRcgUrl")


@functools.cache
def _reply_with(inner: Any) -> Any:
    """Return the kind of reply with such a result; pydantic would soon forget it, and make it anew."""
    return Reply[inner]


def parse_reply(body: bytes | bytearray, inner: type[T], who: str = "Cove") -> Reply[T]:
    """Return the reply with an inner result of type `inner`.

    Raise ApiUnavailable for what is no JSON, as a proxy or a maintenance page sends it; ApiError for any other shape.
    """
    try:
        reply: Reply[T] = _reply_with(inner).model_validate_json(as_json(body))  # type: ignore[arg-type]
    except ValidationError as error:
        if error.errors(include_input=False)[0]["type"] == "json_invalid":
            raise ApiUnavailable(f"{who} sent {what_came(body)} in place of an answer") from None
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "its beginning"
        raise ApiError(f"an answer of {len(body)} bytes is not what Cove documents, at {where}") from error
    if reply.error is None and reply.result is None:
        raise ApiError(f"an answer of {len(body)} bytes has neither a result nor an error")
    return reply


def what_came(body: bytes | bytearray) -> str:
    """Return in words what an answer is that is no JSON: "an empty page", "a web page (Maintenance)"."""
    text = bytes(body[:LOOKED_AT]).decode(errors="replace").strip()
    if not text:
        return "an empty page"
    if text.startswith("<"):
        title = TITLE.search(redacted(text))  # before a part of a secret is taken out of it
        name = fit_to_show(title[1].strip(), 80) if title else ""
        return f"a web page ({name})" if name else "a web page"
    if text.startswith(("{", "[")):
        return f"{len(body)} bytes that break off or are damaged"
    return f"{len(body)} bytes that are no JSON"


def as_json(body: bytes | bytearray) -> str | bytes | bytearray:
    """Return the body as a parser takes it: as it is, without another copy, where nothing in it has to be mended."""
    if not body.startswith(BOM_UTF8) and not HALF_ESCAPED_BYTES.search(body):
        with suppress(UnicodeDecodeError):
            decoder = getincrementaldecoder("utf-8")()
            for start in range(0, len(body), LOOKED_AT):
                decoder.decode(body[start : start + LOOKED_AT])
            decoder.decode(b"", final=True)
            return body
    return whole_letters(decoded(bytes(body)))


def decoded(body: bytes) -> str:
    """Return the text of a body: UTF-8, broken letters replaced; Latin-1 only where nothing in it is UTF-8."""
    body = body.removeprefix(BOM_UTF8)
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode(errors="replace") if BEYOND_ASCII.search(body) else body.decode("latin-1")


def whole_letters(text: str) -> str:
    """Return the JSON text with a replacement character for each half of a letter that stands alone: `\\ud800`."""
    if not HALF_ESCAPED.search(text):
        return text
    return ESCAPE.sub(lambda found: r"\ufffd" if found["half"] else found[0], text)

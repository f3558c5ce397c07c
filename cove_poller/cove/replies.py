"""Cove's JSON-RPC replies as types, straight from the bytes: the envelope, and what it holds of logins and accounts.

Shapes are those of N-able's page "Authorization", and of public clients.
"""

from codecs import BOM_UTF8
from typing import Any, Generic, TypeVar

from pydantic import Field, SecretStr, ValidationError

from cove_poller.errors import ApiError
from cove_poller.records.device import CoveModel, Text

T = TypeVar("T")


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


def parse_reply(body: bytes, inner: type[T]) -> Reply[T]:
    """Return the reply with an inner result of type `inner`, from UTF-8 or else Latin-1. Raise ApiError."""
    try:
        body = body.removeprefix(BOM_UTF8)
        text: bytes | str = body
        try:
            body.decode()
        except UnicodeDecodeError:
            text = body.decode("latin-1")
        reply = Reply[inner].model_validate_json(text)  # type: ignore[valid-type]
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "its beginning"
        raise ApiError(f"an answer of {len(body)} bytes is not what Cove documents, at {where}") from error
    if reply.error is None and reply.result is None:
        raise ApiError(f"an answer of {len(body)} bytes has neither a result nor an error")
    return reply

"""A fake Cove: a real HTTP server with a fleet whose truth is known. Try it by hand: python -m tests.fake_cove."""

from tests.fake_cove.cove import FakeCove
from tests.fake_cove.faults import Faults, HttpAnswer, RpcError
from tests.fake_cove.fleet import FakeDevice, Fleet, Partner, TrueSession, make_fleet
from tests.fake_cove.server import serving, serving_tls
from tests.fake_cove.wire import Reading

__all__ = [
    "FakeCove",
    "FakeDevice",
    "Faults",
    "Fleet",
    "HttpAnswer",
    "Partner",
    "Reading",
    "RpcError",
    "TrueSession",
    "make_fleet",
    "serving",
    "serving_tls",
]

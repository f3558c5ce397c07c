"""A fake Cove: a real HTTP server with a fleet whose truth is known. By hand: python -m tests.world.fake_cove."""

from tests.world.fake_cove.cove import FakeCove
from tests.world.fake_cove.faults import Faults, HttpAnswer, RpcError
from tests.world.fake_cove.fleet import FakeDevice, Fleet, Partner, TrueSession, make_fleet
from tests.world.fake_cove.server import serving, serving_tls
from tests.world.fake_cove.wire import Reading

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

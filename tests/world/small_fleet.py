"""A fleet of one customer whose devices were backed up in the night of BEGIN."""

from datetime import timedelta
from typing import Any

from tests.conftest import BEGIN
from tests.world.fake_cove import FakeDevice, Fleet, Partner, TrueSession

NIGHT = BEGIN + timedelta(hours=2)
MORNING = BEGIN + timedelta(hours=8)


def make_device(account_id: int = 1, name: str = "srv1_abcde", **changes: Any) -> FakeDevice:
    """A server whose files and SQL were backed up in the night."""
    values: dict[str, Any] = {
        "partner_id": 1001,
        "computer_name": name.partition("_")[0].upper(),
        "kind": "server",
        "active": ("D01", "D10"),
    }
    device = FakeDevice(account_id, name=name, **{**values, **changes})
    for source in device.active:
        add_session(device, source, 0)
    return device


def add_session(device: FakeDevice, source: str, hour: float, status: int = 5, minutes: int = 10) -> None:
    start = NIGHT + timedelta(hours=hour)
    session = TrueSession(source, start, start + timedelta(minutes=minutes), status)
    device.sessions.setdefault(source, []).append(session)
    device.totals.clear()


def make_small_fleet(*devices: FakeDevice, customer: str = "Example Bakery") -> Fleet:
    return Fleet([Partner(1000, "Example MSP", None), Partner(1001, customer, 1000)], list(devices))

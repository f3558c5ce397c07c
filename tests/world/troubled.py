"""A fleet of twenty devices with each of which something is wrong that lasts."""

from datetime import datetime, timedelta

from tests.world.fake_cove import FakeCove, FakeDevice, Fleet, Partner, TrueSession

COUNT = 20


def make_troubled_fleet(now: datetime) -> Fleet:
    """Twenty servers of one customer whose files and SQL were backed up in the last hours, and well."""
    return Fleet(
        [Partner(1000, "Example MSP", None), Partner(1001, "Example Bakery", 1000)],
        [_server(account, now) for account in range(1, COUNT + 1)],
    )


def _server(account: int, now: datetime) -> FakeDevice:
    name, end = f"srv{account}", now - timedelta(hours=3)
    sessions = {code: [TrueSession(code, end - timedelta(minutes=10), end, 5)] for code in ("D01", "D10")}
    return FakeDevice(account, 1001, f"{name}_x", name.upper(), "server", ("D01", "D10"), sessions=sessions)


def begin_trouble(cove: FakeCove) -> None:
    """Let something be wrong with each device from now on, of three kinds in turn."""
    kinds = (_without_sql, _failed_without_a_time, _with_an_unknown_source)
    cove.faults.edit_row = lambda row, device: kinds[device.account_id % len(kinds)](row)


def end_trouble(cove: FakeCove) -> None:
    cove.faults.edit_row = None


def _without_sql(row: dict[str, str]) -> dict[str, str]:
    return {code: value for code, value in row.items() if code[:3] != "D10"}


def _failed_without_a_time(row: dict[str, str]) -> dict[str, str]:
    return {**row, "D10F00": "2", "D10F15": ""}


def _with_an_unknown_source(row: dict[str, str]) -> dict[str, str]:
    return {**row, "I78": row["I78"] + "D77"}

"""What is read for `status`, `report` and `check` from a database that was really polled, on both of them."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from cove_poller.commands.installation import Installation
from cove_poller.commands.overview import known_past, known_state
from cove_poller.database.engine import Mode
from cove_poller.database.overview import read_poll
from cove_poller.records.health.overview import Overview, PollState
from tests.conftest import BEGIN, Site


def installation(site: Site) -> Installation:
    return Installation(site.config(), site.credentials())


def known(site: Site) -> Overview:
    return known_state(installation(site), site.cove.now)


def test_every_device_that_counts_is_read_with_its_customer_and_how_its_polls_went(site: Site) -> None:
    assert (known(site).devices, known(site).polls, known(site).unpolled) == ((), (), ("main",))
    site.sync()
    site.settings = {"alerts": {"max_poll_age": "2h"}}
    found, now = known(site), site.cove.now
    truth = {one.account_id: one for one in site.cove.fleet.devices}
    assert {one.account_id: one.name for one in found.devices} == {
        account: one.computer_name or one.name for account, one in truth.items()
    }
    customers = {
        one.account_id: site.cove.fleet.partner_name(truth[one.account_id].partner_id) for one in found.devices
    }
    assert all(customers[one.account_id].startswith(one.customer) for one in found.devices)
    runs, sessions = (len(site.rows(f"SELECT id FROM {table}")) for table in ("job_runs", "cove_sessions"))
    assert found.polls == (PollState("main", now, "ok", None, now, (), 0, runs, sessions),)
    assert (found.as_of, found.max_poll_age, found.unpolled) == (now, timedelta(hours=2), ())


def test_what_is_ignored_or_gone_is_left_out_and_one_of_another_login_is_not_shown_as_if_it_were_watched(
    site: Site,
) -> None:
    site.sync()
    ignored, gone, former, renamed = sorted(one.account_id for one in site.cove.fleet.devices)[:4]
    site.execute(
        f"UPDATE cove_devices SET ignored = true WHERE account_id = {ignored}",
        f"UPDATE cove_devices SET gone_at = last_seen_at WHERE account_id = {gone}",
        f"UPDATE cove_devices SET login = 'former' WHERE account_id = {former}",
        f"UPDATE cove_devices SET customer_name = 'Cove''s', job_id = NULL WHERE account_id = {renamed}",
    )
    found = {one.account_id: one for one in known(site).devices}
    assert found.keys() == {one.account_id for one in site.cove.fleet.devices} - {ignored, gone}
    assert (found[renamed].customer, found[renamed].is_linked) == ("Cove's", False)
    assert known(site).unpolled == ("former",)


def test_of_the_polls_the_newest_that_ended_counts_and_the_last_that_brought_something(site: Site) -> None:
    site.sync()
    good = site.cove.now
    columns = "command, login, started_at, finished_at, outcome, exit_code, error"
    site.execute(
        f"INSERT INTO cove_polls ({columns}) SELECT command, login, started_at, finished_at, 'error', 13,"
        " 'Cove is down' FROM cove_polls",
        f"INSERT INTO cove_polls ({columns}) SELECT command, login, started_at, NULL, 'running', NULL, NULL"
        " FROM cove_polls WHERE outcome = 'ok'",
    )
    (poll,) = known(site).polls
    assert poll == PollState("main", good, "error", "Cove is down", good, last_exit_code=13)
    with installation(site).open(Mode.READ) as database:
        assert (read_poll(database, "main"), read_poll(database, "other")) == (poll, None)


def test_the_recorded_sessions_from_a_moment_on_come_packed_by_device_and_source(site: Site) -> None:
    since = site.cove.now
    rows = [
        (2, "D01", 119, "failed"), (1, "D10", 60, "success"), (1, "D01", 0, "warning"), (1, "D01", -1, "success"),
        (1, "D01", 7200, "success"),
    ]  # fmt: skip
    for account, code, at, status in rows:
        site.execute(
            "INSERT INTO cove_sessions (account_id, data_source, session_at, status, origin) VALUES"
            f" ({account}, '{code}', '{since + timedelta(seconds=at):%F %T}{zone(site)}', '{status}', 'poll')"
        )
    with known_past(installation(site), since, since) as (overview, found):
        sessions = sorted((one.account_id, one.data_source, sorted(one.numbers)) for one in found)
    assert overview.devices == ()
    assert sessions == [(1, "D01", [0 * 4 + 1, 120 * 4 + 0]), (1, "D10", [1 * 4 + 0]), (2, "D01", [1 * 4 + 2])]


def test_what_is_shown_costs_a_number_of_statements_that_does_not_grow_with_the_devices(site: Site) -> None:
    site.sync()
    seen: list[str] = []

    def count(*args: Any) -> None:
        seen.append(args[2])

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        with known_past(installation(site), site.cove.now, BEGIN) as (overview, sessions):
            known = {one.account_id for one in sessions}
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)
    assert len(overview.devices) > 15
    assert len(known) > 15
    assert len([one for one in seen if one.startswith("SELECT") and "cove_" in one]) == 6


def zone(site: Site) -> str:
    """How a time in UTC ends in the database's SQL."""
    return ".000000" if site.database_url.startswith("sqlite") else "+00"

"""What lasts is said once: a fleet with twenty conditions is silent from its second sync on, until they end."""

from collections.abc import Iterator
from datetime import UTC, timedelta

import pytest

from cove_poller.commands.overview import known_state
from cove_poller.commands.results import CommandResult, LoginResult
from cove_poller.errors import ApiError
from cove_poller.records.health.device_state import Condition
from cove_poller.views.mail import trouble
from tests.conftest import BEGIN, Site, on_sqlite
from tests.world.fake_cove import FakeCove, FakeDevice, Fleet, serving
from tests.world.troubled import COUNT, begin_trouble, end_trouble, make_troubled_fleet

HALF = timedelta(minutes=30)


@pytest.fixture
def fleet() -> Fleet:
    return make_troubled_fleet(BEGIN)


@pytest.fixture
def cove(fleet: Fleet) -> Iterator[FakeCove]:
    with serving(FakeCove(fleet, BEGIN)) as cove:
        yield cove


def outcome(result: CommandResult) -> LoginResult:
    (login,) = result.logins
    assert isinstance(login, LoginResult)
    return login


def after(site: Site, span: timedelta) -> CommandResult:
    site.cove.now += span
    return site.sync()


@on_sqlite
def test_twenty_conditions_are_said_once_stand_are_reminded_of_after_a_day_and_each_told_at_its_end(
    site: Site, cove: FakeCove
) -> None:
    site.settings = {"alerts": {"server_hours": 1000}}
    site.sync()
    begin_trouble(cove)
    first = after(site, HALF)
    said = outcome(first).outcome
    assert (first.exit_code, len({line.split(":")[0] for line in said.failures})) == (3, COUNT)
    stands = len(said.standing)
    assert stands == COUNT
    for span in (HALF, timedelta(hours=22)):
        found = after(site, span)
        assert (found.exit_code, trouble(found), outcome(found).word) == (0, "", "ok")
        assert len(outcome(found).outcome.standing) == stands
    reminder = after(site, timedelta(hours=2))
    assert (reminder.exit_code, len(outcome(reminder).outcome.warnings)) == (0, stands)
    assert all(line.startswith("still, since 2026-03-02 00:30Z: ") for line in outcome(reminder).outcome.warnings)
    assert trouble(after(site, HALF)) == ""
    end_trouble(cove)
    ended = after(site, HALF)
    over = {line.removeprefix("over: ") for line in outcome(ended).outcome.warnings}
    assert (ended.exit_code, over) == (0, {one.what for one in said.standing})
    assert outcome(ended).outcome.standing == []
    assert trouble(after(site, HALF)) == ""


@on_sqlite
def test_something_new_beside_what_stands_is_said_alone_with_a_count_of_the_rest(site: Site, cove: FakeCove) -> None:
    begin_trouble(cove)
    stands = len(outcome(after(site, HALF)).outcome.standing)
    cove.faults.forbidden_columns = lambda code: code == "I32"
    found = after(site, HALF)
    heading, *_, last = lines = trouble(found).splitlines()
    assert heading.startswith("login main: warning: Cove refuses 1 column to this user: ")
    assert last == f"and {stands} other conditions stand; see: cove-poller status --only problem"
    assert (found.exit_code, len(lines)) == (0, 2)
    assert trouble(after(site, HALF)) == ""


@on_sqlite
def test_what_stands_is_in_what_people_look_at(site: Site, cove: FakeCove) -> None:
    site.sync()
    begin_trouble(cove)
    cove.faults.forbidden_columns = lambda code: code == "I32"
    told = outcome(after(site, HALF)).outcome
    known = known_state(site.installation(), cove.now, condition="problem")
    shown = [one.what for device in known.devices for one in device.standing]
    (poll,) = known.polls
    assert sorted([*shown, *(one.what for one in poll.standing)]) == sorted(one.what for one in told.standing)
    assert len(known.devices) == COUNT


def test_a_login_that_fails_keeps_its_exit_code_and_is_mailed_when_it_begins_after_a_day_and_at_its_end(
    site: Site, cove: FakeCove
) -> None:
    site.sync()
    right, cove.password = cove.password, "another"
    site.settings = {"login": {"password": right}}
    found = [after(site, span) for span in (HALF, HALF, HALF, timedelta(hours=24))]
    assert [one.exit_code for one in found] == [11] * 4
    assert [bool(trouble(one)) for one in found] == [True, False, False, True]
    assert "still, since 2026-03-02 00:30 UTC: Cove rejects" in trouble(found[-1], zone=UTC)
    assert all(outcome(one).to_json()["error"]["code"] == "login_rejected" for one in found)
    assert known_state(site.installation(), cove.now).polls[0].standing == ()  # it is the error of the newest poll
    cove.password, site.settings = right, {"login": {"password": f"{right}"}, "api": {"page_size": 7}}
    site.execute("UPDATE cove_polls SET login_fingerprint = NULL")
    ended = after(site, HALF)
    assert ended.exit_code == 0
    assert trouble(ended).startswith("login main: over: Cove rejects user ")


@on_sqlite
def test_a_listing_that_breaks_off_again_is_partial_each_time_and_said_once(site: Site, cove: FakeCove) -> None:
    site.settings = {"api": {"page_size": 5}}
    site.sync()
    cove.faults.break_at_record = 8
    found = [after(site, HALF) for _ in range(3)]
    assert [one.exit_code for one in found] == [3, 3, 3]
    assert all(isinstance(outcome(one).error, ApiError) for one in found)
    assert [bool(trouble(one)) for one in found] == [True, False, False]
    cove.faults.break_at_record = None
    assert "over: " in trouble(after(site, HALF))
    assert trouble(after(site, HALF)) == ""


@on_sqlite
def test_a_device_whose_columns_vanish_is_a_warning_and_no_success_that_lies_ahead_is_believed(
    site: Site, cove: FakeCove
) -> None:
    site.sync()
    next_year = str(int((cove.now + timedelta(days=365)).timestamp()))

    def edited(row: dict[str, str], device: FakeDevice) -> dict[str, str]:
        if device.account_id == 1:
            return {code: value for code, value in row.items() if code[0] == "I"}
        return {**row, "D10F09": next_year} if device.account_id == 2 else row

    cove.faults.edit_row = edited
    after(site, HALF)
    found = {one.account_id: one for one in known_state(site.installation(), cove.now).devices}
    bad, good = Condition.WARNING, Condition.SUCCESS
    assert [found[account].condition for account in (1, 2, 3)] == [bad, bad, good]
    assert {one.any_success_at for one in found.values()} == {BEGIN - timedelta(hours=3)}


@on_sqlite
def test_columns_that_are_refused_are_said_once_of_the_login_and_not_of_each_device(site: Site, cove: FakeCove) -> None:
    cove.faults.forbidden_columns = lambda code: code.startswith("D10")
    found = [outcome(after(site, HALF)) for _ in range(2)]
    assert [(one.exit_code, len(one.outcome.warnings), len(one.outcome.standing)) for one in found] == [
        (0, 1, 1), (0, 0, 1),
    ]  # fmt: skip
    assert found[0].outcome.warnings[0].startswith("Cove refuses 9 columns to this user: SQL Server (D10F00, ")
    assert {one.condition for one in known_state(site.installation(), cove.now).devices} == {Condition.WARNING}

"""What is wrong with a login: said when it begins, changes and ends, reminded of once a day, silent in between."""

from datetime import timedelta

import pytest

from cove_poller.commands.login_run import say_all, say_news
from cove_poller.commands.results import LoginResult
from cove_poller.errors import (
    ApiError,
    ApiUnavailable,
    CovePollerError,
    DatabaseAway,
    DatabaseBusy,
    LockHeld,
    LoginRejected,
)
from cove_poller.records.health.news import Conditions, Trouble
from tests.conftest import BEGIN

DAY = timedelta(hours=24)
HALF = timedelta(minutes=30)
REFUSED = {"refused columns": Trouble("Cove refuses 2 columns")}


def run(before: Conditions, after: timedelta, *errors: CovePollerError, **troubles: Trouble) -> LoginResult:
    """A run at some time after BEGIN; without an error its listing came to its end."""
    error = errors[0] if errors else None
    result = LoginResult("main", error=error, is_listed=error is None, troubles=dict(troubles))
    result.conditions = say_news(result, before, BEGIN + after, DAY)
    return result


def conditions(result: LoginResult) -> Conditions:
    assert result.conditions is not None
    return result.conditions


def test_a_trouble_is_said_once_stands_with_its_beginning_and_is_told_at_its_end() -> None:
    first = run({}, timedelta(), **REFUSED)
    assert first.outcome.warnings == ["Cove refuses 2 columns"]
    second = run(conditions(first), HALF, **REFUSED)
    assert (second.outcome.warnings, second.other_standing) == ([], 1)
    (standing,) = second.outcome.standing
    assert (standing.account_id, standing.what, standing.since) == (None, "Cove refuses 2 columns", BEGIN)
    assert run(conditions(second), 2 * HALF).outcome.warnings == ["over: Cove refuses 2 columns"]


def test_a_trouble_that_is_a_failure_makes_only_the_run_partial_in_which_it_is_new() -> None:
    lost = {"nameless 2": Trouble("device 2 was left out", is_failure=True)}
    first = run({}, timedelta(), **lost)
    second = run(conditions(first), HALF, **lost)
    reminded = run(conditions(second), DAY, **lost)
    assert [one.exit_code for one in (first, second, reminded)] == [3, 0, 0]
    assert reminded.outcome.warnings == ["still, since 2026-03-02 00:00Z: device 2 was left out"]


def test_an_error_keeps_its_exit_code_and_is_said_when_it_begins_after_a_day_and_at_its_end() -> None:
    found = [run({}, timedelta(), ApiError("Cove is down"))]
    for hours in (1, 23, 24, 25):
        found.append(run(conditions(found[-1]), timedelta(hours=hours), ApiError("Cove is down")))
    assert [one.error_note for one in found] == ["", None, None, "still, since 2026-03-02 00:00Z: ", None]
    assert {one.exit_code for one in found} == {13}
    assert all(not one.outcome.warnings for one in found)
    assert run(conditions(found[-1]), timedelta(hours=26)).outcome.warnings == ["over: Cove is down"]


@pytest.mark.parametrize(
    ("before", "after", "is_news"),
    [
        (LoginRejected("Cove rejects x"), LoginRejected("Cove rejects x (not tried again since 2026-03-02)"), False),
        (ApiError("an answer of 12 bytes"), ApiError("an answer of 4711 bytes"), False),
        (ApiUnavailable("answers HTTP 503"), ApiUnavailable("cannot be reached (ConnectTimeout)"), False),
        (ApiError("Cove lists no device"), ApiError("the list of devices changed"), True),
        (ApiError("Cove is down"), LoginRejected("Cove rejects x"), True),
    ],
)
def test_an_error_is_news_again_when_it_is_another_one(
    before: CovePollerError, after: CovePollerError, is_news: bool
) -> None:
    second = run(conditions(run({}, timedelta(), before)), HALF, after)
    assert (second.error_note == "") is is_news
    assert (second.error_note is None) is not is_news
    assert (second.outcome.warnings, len(second.outcome.standing)) == ([], 1)


def test_what_a_run_that_broke_off_could_not_look_at_stands_as_before_and_is_not_said_to_be_over() -> None:
    first = run({}, timedelta(), **REFUSED)
    second = run(conditions(first), HALF, ApiError("Cove is down"))
    assert (second.outcome.warnings, len(second.outcome.standing)) == ([], 2)
    third = run(conditions(second), 2 * HALF, **REFUSED)
    assert third.outcome.warnings == ["over: Cove is down"]


def test_where_a_person_asked_for_the_run_everything_is_said_each_time() -> None:
    result = LoginResult("main", troubles={**REFUSED, "nameless 2": Trouble("left out", is_failure=True)})
    say_all(result)
    assert (result.outcome.failures, result.outcome.warnings) == (["left out"], ["Cove refuses 2 columns"])


@pytest.mark.parametrize(
    ("error", "code"), [(LockHeld("x"), 15), (DatabaseBusy("x"), 14), (DatabaseAway("x"), 14), (ApiError("x"), 3)]
)
def test_what_ends_a_run_that_has_saved_something_keeps_its_code_where_another_run_or_the_database_is_in_the_way(
    error: CovePollerError, code: int
) -> None:
    result = LoginResult("main", error=error)
    result.outcome.devices = 3
    assert result.exit_code == code

"""What is wrong is said when it begins, when it changes and when it ends, and else once a day."""

from datetime import UTC, datetime, timedelta

from cove_poller.records.health.news import Condition, News, Trouble, from_json, news, to_json

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(hours=24)
LOST = {"D02 unreadable": Trouble("System State: could not be read", is_failure=True)}


def said(found: News) -> list[tuple[bool, str]]:
    return list(found.lines())


def test_a_trouble_is_said_when_it_begins_and_is_then_silent_for_a_day() -> None:
    first = news({}, LOST, NOON, DAY)
    assert said(first) == [(True, "System State: could not be read")]
    assert said(news(first.standing, LOST, NOON + timedelta(hours=23), DAY)) == []


def test_a_trouble_that_lasts_is_said_again_once_a_day_and_is_no_new_failure() -> None:
    first = news({}, LOST, NOON, DAY)
    second = news(first.standing, LOST, NOON + DAY, DAY)
    assert said(second) == [(False, "still, since 2026-03-02 12:00Z: System State: could not be read")]
    assert said(news(second.standing, LOST, NOON + DAY + timedelta(hours=1), DAY)) == []


def test_what_nobody_can_change_is_said_once() -> None:
    gap = {"D01 gap": Trouble("nobody looked for three hours", reminds=False)}
    first = news({}, gap, NOON, DAY)
    assert said(first) == [(False, "nobody looked for three hours")]
    assert said(news(first.standing, gap, NOON + 9 * DAY, DAY)) == []


def test_a_trouble_that_changes_is_news_and_keeps_its_beginning() -> None:
    first = news({}, LOST, NOON, DAY)
    other = {"D02 unreadable": Trouble("System State: Failed, at a time that Cove does not tell", is_failure=True)}
    second = news(first.standing, other, NOON + timedelta(hours=1), DAY)
    assert said(second) == [(True, "System State: Failed, at a time that Cove does not tell")]
    assert second.standing["D02 unreadable"].since == NOON


def test_the_end_of_a_trouble_is_said_once() -> None:
    first = news({}, LOST, NOON, DAY)
    second = news(first.standing, {}, NOON + timedelta(hours=1), DAY)
    assert said(second) == [(False, "over: System State: could not be read")]
    assert said(news(second.standing, {}, NOON + timedelta(hours=2), DAY)) == []


def test_conditions_are_kept_as_json_to_the_second() -> None:
    conditions = {"row": Condition("could not be read", NOON, NOON + timedelta(hours=1), is_failure=True)}
    assert from_json(to_json(conditions)) == conditions
    assert from_json(None) == {}

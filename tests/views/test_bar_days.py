"""The colour bar as all views read it."""

from cove_poller.records.statuses import Status, Statuses
from cove_poller.views.bar_days import bar_days


def test_a_bar_is_read_with_the_configured_meanings_and_what_is_no_digit_is_never_a_success() -> None:
    assert bar_days("0512678a²", Statuses({6: Status.FAILED})) == [
        Status.NONE, Status.SUCCESS, Status.RUNNING, Status.FAILED, Status.FAILED, Status.WARNING, Status.WARNING,
        Status.WARNING, Status.WARNING,
    ]  # fmt: skip


def test_of_a_longer_bar_the_newest_28_days_are_read() -> None:
    assert bar_days("2" * 5 + "5" * 28, Statuses()) == [Status.SUCCESS] * 28

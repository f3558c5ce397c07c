"""Requests that are very likely in vain are spared, and tried again in time."""

from collections.abc import Callable

import pytest

from cove_poller.cove.breaker import BREAK_SECONDS, PROBE_EVERY, Breaker
from cove_poller.errors import ApiError, ApiUnavailable, PermissionDenied


class Service:
    """A service whose answer a test sets; `asked` is how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None

    def __call__(self) -> str:
        self.asked += 1
        if self.error:
            raise self.error
        return "answer"


def outcomes(call: Callable[[], str], times: int) -> list[str]:
    found = []
    for _ in range(times):
        try:
            found.append(call())
        except (ApiError, PermissionDenied) as error:
            found.append(str(error))
    return found


def test_a_service_that_refuses_three_is_asked_for_every_tenth_until_it_allows_one() -> None:
    breaker, service = Breaker(), Service()
    service.error = PermissionDenied("no")
    assert outcomes(lambda: breaker.unless_refused("sessions", service), 2 * PROBE_EVERY) == ["no"] * 20
    assert service.asked == 3 + 2
    service.error = None
    assert outcomes(lambda: breaker.unless_refused("sessions", service), 12) == ["no"] * 9 + ["answer"] * 3
    assert breaker.unless_refused("others", service) == "answer"


def test_a_service_that_is_down_is_left_alone_for_some_minutes() -> None:
    now = 0.0
    breaker, service = Breaker(lambda: now), Service()
    service.error = ApiUnavailable("down")
    for _ in range(3):
        with pytest.raises(ApiError, match="down") as caught:
            breaker.unless_down("node", service)
        assert type(caught.value) is ApiError  # only where these sessions are, not Cove itself
    assert service.asked == 1
    service.error = None
    assert breaker.unless_down("another node", service) == "answer"
    now = BREAK_SECONDS
    assert breaker.unless_down("node", service) == "answer"

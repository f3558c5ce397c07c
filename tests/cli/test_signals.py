"""A signal to this process is heard once, also where the error that it raises is lost on its way."""

import contextlib
import os
import signal
import time

import pytest

from cove_poller.cli.signals import stopping_on_signals
from cove_poller.errors import CovePollerError, Interrupted, Terminated

NUMBERS = pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, Terminated), (signal.SIGINT, Interrupted)])


def signalled(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(5)


@NUMBERS
def test_what_a_library_takes_for_an_error_of_its_own_stops_the_command_a_moment_later(
    number: int, error: type[Terminated]
) -> None:
    def goes_on() -> None:
        with contextlib.suppress(CovePollerError):
            signalled(number)
        time.sleep(5)

    with pytest.raises(error), stopping_on_signals("sync"):
        goes_on()


@NUMBERS
def test_what_comes_while_python_cleans_up_stops_the_command_a_moment_later(
    number: int, error: type[Terminated], capsys: pytest.CaptureFixture[str]
) -> None:
    class Rubbish:
        def __del__(self) -> None:
            signalled(number)

    def goes_on() -> None:
        Rubbish()
        time.sleep(5)

    with pytest.raises(error), stopping_on_signals("sync"):
        goes_on()
    assert capsys.readouterr().err == ""


@NUMBERS
def test_what_is_kept_to_be_told_later_is_not_sent_again(number: int, error: type[Terminated]) -> None:
    with stopping_on_signals("sync"):
        try:
            signalled(number)
        except error as found:
            kept = found
        time.sleep(0.3)
    del kept
    time.sleep(0.2)  # nor after the block, where it would end the process

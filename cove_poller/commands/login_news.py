"""What is wrong with a login itself: said when it begins, changes and ends, and else once a day, as of devices."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from cove_poller.commands.record_page import Standing
from cove_poller.commands.results import LoginResult
from cove_poller.errors import ApiUnavailable, CovePollerError
from cove_poller.records.news import ERROR, STILL, Condition, Conditions, News, Trouble, news


def say_news(result: LoginResult, before: Conditions, now: datetime, remind: timedelta) -> Conditions:
    """Add to a login's result what there is to say of its own troubles, after what stood `before`.

    Return what stands from now on. What a run that did not come to its end could not look at stands as before.
    """
    before = _without_other_errors(before, result.error)
    unseen = {} if result.is_listed else {key: Trouble(one.what, one.is_failure) for key, one in before.items()}
    found = news(before, {**unseen, **result.troubles, **_error_trouble(result.error, before)}, now, remind)
    said = found
    if result.error:
        result.error_note, said = _without_error(found, found.standing[_key(result.error)])
    result.outcome.say(said.lines())
    result.outcome.standing += [Standing.of(None, one, found) for one in found.standing.values()]
    return found.standing


def say_all(result: LoginResult) -> None:
    """Add to a login's result all of its own troubles, where a person asked for the run and reads the answer."""
    result.outcome.say((one.is_failure, one.what) for one in result.troubles.values())


def _without_other_errors(before: Conditions, error: CovePollerError | None) -> dict[str, Condition]:
    """What stood before, but for an error in whose place another one has come: nobody knows whether it is over."""
    mine = error and _key(error)
    return {key: one for key, one in before.items() if not error or not key.startswith(ERROR) or key == mine}


def _error_trouble(error: CovePollerError | None, before: Mapping[str, Condition]) -> dict[str, Trouble]:
    """The error as a trouble; in the words of before, where it is the same but for numbers or what became of it.

    How exactly Cove fails to give a usable answer differs from run to run: that is one trouble.
    """
    if error is None:
        return {}
    old = before.get(_key(error))
    is_same = old and (isinstance(error, ApiUnavailable) or _plain(str(error)).startswith(_plain(old.what)))
    return {_key(error): Trouble(old.what if old and is_same else str(error))}


def _key(error: CovePollerError) -> str:
    return f"{ERROR}{error.code}"


def _plain(text: str) -> str:
    return re.sub(r"\d+", "0", text)


def _without_error(found: News, error: Condition) -> tuple[str | None, News]:
    """What is to be said before the error's text, and the rest of the news."""
    begun, reminded = (tuple(one for one in told if one is not error) for told in (found.begun, found.reminded))
    return _note(found, error), replace(found, begun=begun, reminded=reminded)


def _note(found: News, error: Condition) -> str | None:
    if error in found.begun:
        return ""
    return f"{STILL}{error.since:%Y-%m-%d %H:%M}Z: " if error in found.reminded else None

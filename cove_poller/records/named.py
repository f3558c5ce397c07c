"""What somebody names by id or by name: which one is meant; wrong or unclear is an error. Pure."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TypeVar

from cove_poller.errors import WrongUsage
from cove_poller.text import listed

SHOWN = 5
HIGHEST_ID = 2**63 - 1

T = TypeVar("T")


def given_id(text: str, option: str) -> int | None:
    """Return the id that an option is given; None where it is a name. Raise WrongUsage for one that no row can have."""
    if not (text.isascii() and text.isdigit()):
        return None
    if len(text) > 19 or int(text) > HIGHEST_ID:
        raise WrongUsage(f"{text} is too great for an id", option)
    return int(text)


def the_one(text: str, named: Sequence[tuple[Sequence[str], T]], what: str, option: str) -> T:
    """Return the one thing that is called so, whatever its case; given as (its names, itself).

    Raise WrongUsage that names the ones that may be meant where there is none, or several.
    """
    wanted = text.strip().casefold()
    found = [one for names, one in named if wanted and wanted in (name.casefold() for name in names)]
    if len(found) == 1:
        return found[0]
    if found:
        called = listed([str(one) for one in found], SHOWN, between="; ")
        raise WrongUsage(f"{len(found)} {what}s are called {text!r}: {called}; say which by its id", option)
    every = {name.casefold(): one for names, one in named for name in names if name}
    near = [str(every[name]) for name in get_close_matches(wanted, every, n=SHOWN)]
    likely = f"near are: {'; '.join(dict.fromkeys(near))}" if near else "`cove-poller devices list` shows all"
    raise WrongUsage(f"no {what} is called {text!r}; {likely}", option)

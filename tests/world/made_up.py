"""How many made-up values a dear test tries: a share of what the profile says, so that `make fuzz` tries more."""

from typing import Any

from hypothesis import settings

FIXED = settings.get_profile("fixed").max_examples


def dear(examples: int, **more: Any) -> settings:
    """Return the settings of a test that tries so many values as a rule, and as great a share of a fuzz's."""
    profile = settings.get_profile(settings.get_current_profile_name())
    return settings(max_examples=examples * profile.max_examples // FIXED, **more)

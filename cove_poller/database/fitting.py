"""Whether the words that the poller writes fit the live columns of job_runs: a status that is cut means nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

from cove_poller.config.settings import BackupchecksSettings

LONGEST_ACCOUNT_ID = str(2**63 - 1)


def unfit_words(columns: Mapping[str, Any], ours: Mapping[str, str], settings: BackupchecksSettings) -> Iterator[str]:
    """Yield what does not fit, given the live columns, and their names by our keys."""
    status = settings.status
    for key, words in {
        "status": [f"{status.success}", f"{status.warning}", f"{status.failed}"],
        "source_type": [settings.source_type],
        "external_id": [LONGEST_ACCOUNT_ID],
    }.items():
        live = ours[key]
        kind = columns[live]["type"] if live in columns else None
        if unfit := [word for word in words if not _fits(word, kind)]:
            section = {"status": "change it under [backupchecks.status], or widen the column"}
            fix = section.get(key, "widen the column")
            yield f"job_runs.{live} is {kind!s}, which {', '.join(map(repr, unfit))} does not fit; {fix}"


def _fits(word: str, kind: Any) -> bool:
    if choices := getattr(kind, "enums", None):
        return word in choices
    length = getattr(kind, "length", None)
    return length is None or len(word) <= length

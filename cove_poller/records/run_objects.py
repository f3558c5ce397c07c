"""A run's data sources in Backupchecks' words: the objects that it lists of a run. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cove_poller.records.remark import SourceReport
from cove_poller.records.statuses import Status
from cove_poller.text import fitted

OBJECT_TYPE = "Cove data source"
"""The device's backup type would mislead beside the name: it is the job's, and "SQL Server" is no server here."""


@dataclass(frozen=True, order=True)
class RunObject:
    """A data source of a run as Backupchecks lists it; a field that is not kept there is empty."""

    name: str = ""
    type: str = ""
    status: str = ""
    message: str = ""


def run_objects(
    reports: Iterable[SourceReport], words: Mapping[Status, str], limits: Mapping[str, int | None] | None
) -> tuple[RunObject, ...]:
    """The sources that had a session, or of which that is not known, in the order of the reports.

    `limits` has the fields that are kept and how many characters each may have; None if no objects are kept.
    """
    if limits is None:
        return ()
    told = [
        {"name": one.name, "type": OBJECT_TYPE, "status": words[one.status], "message": one.text}
        for one in reports
        if one.status is not Status.NONE
    ]
    return tuple(RunObject(**{name: fitted(one[name], limit) for name, limit in limits.items()}) for one in told)

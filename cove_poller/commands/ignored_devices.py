"""`devices ignore`: a device, or one data source of it, that nobody wants to see."""

from cove_poller.commands.devices import Agree, Change, Directory, changed, next_runs, runs
from cove_poller.commands.installation import Installation
from cove_poller.database.devices import RecordedDevice
from cove_poller.database.jobs import LinkedJob
from cove_poller.database.store import Store
from cove_poller.errors import WrongUsage
from cove_poller.records.columns import label
from cove_poller.records.source_history import NOTHING, SourceHistory, from_json, to_json, with_ignored


def ignore_device(installation: Installation, account_id: int, agree: Agree, *, undo: bool = False) -> Change:
    """Write no runs of a device any more, or with `undo` again, if somebody agrees. Raises as `link_device` does."""

    def plan(directory: Directory) -> Change:
        device = directory.device(account_id)
        jobs = directory.linked_to(account_id)
        return _ignore_change(device, jobs[0] if len(jobs) == 1 else None, directory.waiting(device), undo=undo)

    def write(store: Store) -> None:
        store.devices.ignore(account_id, ignored=not undo)

    return changed(installation, account_id, plan, write, agree)


def ignore_source(
    installation: Installation, account_id: int, source: str, agree: Agree, *, undo: bool = False
) -> Change:
    """Judge no run of a device by one of its data sources any more, or with `undo` again, if somebody agrees."""
    code = source.upper()
    now = installation.now().replace(microsecond=0)

    def histories(store: Store) -> dict[str, SourceHistory]:
        content = store.devices.rows([account_id])[account_id]["source_history"]
        return from_json(content)

    def plan(directory: Directory) -> Change:
        device = directory.device(account_id)
        known = {*device.data_sources, *(found := histories(directory.store))}
        if code not in known:
            raise WrongUsage(f"{device} has no data source {code}; it has {', '.join(sorted(known)) or 'none'}")
        is_ignored = found.get(code, NOTHING).is_ignored
        name = f"{label(code)} ({code}) of {device}"
        meaning = (
            "counts again" if undo else "makes no runs from now on, and none is judged by it; those that are there stay"
        )
        outcome = f"{name} {meaning}." if is_ignored == undo else f"{name} is {'not' if undo else 'already'} ignored."
        return Change(device, is_ignored == undo, [f"{name} {meaning}."], outcome)

    def write(store: Store) -> None:
        found = histories(store)
        changed = with_ignored(found.get(code, NOTHING), now, ignored=not undo)
        store.devices.save_source_history(account_id, to_json(found | {code: changed}))

    return changed(installation, account_id, plan, write, agree)


def _ignore_change(device: RecordedDevice, job: LinkedJob | None, waiting: tuple[int, int], *, undo: bool) -> Change:
    state = "no longer be ignored" if undo else "be ignored"
    plan = [f"{device} will {state}."]
    if undo:
        plan.append(f"It is linked to job {job}." if job else "The next sync looks for its job.")
        plan.append(next_runs(device, waiting) if job else f"Once it is linked: {runs(waiting)}.")
    else:
        plan.append("No job runs are written of it from now on; those that are there stay, and sessions are kept.")
    said = f"{device} is {'no longer' if undo else 'now'} ignored. {' '.join(plan[1:])}"
    is_needed = device.ignored == undo
    already = f"{device} is {'not' if undo else 'already'} ignored."
    return Change(
        device,
        is_needed,
        plan,
        said if is_needed else already,
        job=job,
        sessions=waiting[0],
        job_runs=waiting[1],
    )

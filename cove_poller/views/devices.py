"""`devices list` as text: a line for each device with its job, or why it has none. Pure."""

from collections.abc import Sequence

from cove_poller.commands.devices import ListedDevice
from cove_poller.text import aligned, one_line

HEADINGS = ("account id", "device", "computer", "customer", "type", "job")


def devices_table(found: Sequence[ListedDevice], *, only_unlinked: bool) -> str:
    """Return the devices as aligned lines below their headings, or the one line that says why there is none."""
    if not found:
        return "Every device is linked, ignored or gone." if only_unlinked else "No device was polled yet."
    rows: list[Sequence[str]] = [HEADINGS]
    for one in found:
        device = one.device
        names = (device.device_name, device.computer_name or "-", device.customer_name, device.device_type)
        rows.append((str(device.account_id), *(one_line(word) for word in (*names, job_cell(one)))))
    return "\n".join(aligned(rows))


def job_cell(one: ListedDevice) -> str:
    """Return the device's job, or why it has none."""
    job = f"{one.job.name} (id {one.job.id})" if one.job else "no job"
    if one.state == "unlinked":
        return f"unlinked: {one.reason}"
    if one.state == "gone":
        return f"gone since {one.device.gone_at:%Y-%m-%d}: {job}"
    return f"ignored: {job}" if one.state == "ignored" else job

"""`devices` on the command line: the devices and their jobs, linking and ignoring by hand, completion of their ids."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from cove_poller.cli.base import Context, errors_shown, go_on, json_option, print_json

IDS = click.IntRange(0, 2**63 - 1)
HEADINGS = ("account id", "device", "computer", "customer", "type", "job")

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.group()
def devices() -> None:
    """Link Cove's devices to Backupchecks' jobs."""


def completing(find: Callable[[Any, Any], Sequence[tuple[int, str]]]) -> Complete:
    """Completion by ids with their names as help, as `find` has them. Silent whatever goes wrong."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        del parameter
        try:
            named = context.find_root().params.get("config_file")
            found = find(*Context(Path(named) if named else None).load())
        except Exception:  # noqa: BLE001 - a shell that completes is no place for an error
            return []
        return [CompletionItem(str(number), help=name) for number, name in found if str(number).startswith(incomplete)]

    return complete


def known_devices(config: Any, credentials: Any) -> list[tuple[int, str]]:
    from cove_poller.commands.devices import list_devices
    from cove_poller.commands.installation import Installation

    found = list_devices(Installation(config, credentials))
    return [(one.device.account_id, f"{one.device.device_name} ({one.device.customer_name})") for one in found]


def known_jobs(config: Any, credentials: Any) -> list[tuple[int, str]]:
    from cove_poller.commands.devices import list_free_jobs
    from cove_poller.commands.installation import Installation

    return [(job.id, f"{job.name} ({job.customer})") for job in list_free_jobs(Installation(config, credentials))]


account_argument = click.argument("account_id", type=IDS, shell_complete=completing(known_devices))
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@devices.command("list")
@click.option("--unlinked", is_flag=True, help="Only those that belong to no job, are not ignored and not gone.")
@json_option
@click.pass_obj
def list_command(context: Context, unlinked: bool, as_json: bool) -> None:
    """Show every device with its job, or why it has none. Asks the database only."""
    with errors_shown("devices list", as_json=as_json, results="devices"):
        from cove_poller.commands.devices import list_devices
        from cove_poller.commands.installation import Installation

        started_at = datetime.now(UTC)
        found = [one for one in list_devices(Installation(*context.load())) if one.state == "unlinked" or not unlinked]
        if as_json:
            print_json({**head("devices list", started_at), "devices": [one.to_json() for one in found]})
        elif found:
            click.echo(table(found))
        else:
            click.echo("Every device is linked, ignored or gone." if unlinked else "No device was polled yet.")


@devices.command("link")
@account_argument
@click.option(
    "--job", "job_id", type=IDS, required=True, metavar="JOB_ID", shell_complete=completing(known_jobs),
    help="The id of a job of this backup software, in Backupchecks.",
)  # fmt: skip
@yes_option
@json_option
@click.pass_obj
def link_command(context: Context, account_id: int, job_id: int, yes: bool, as_json: bool) -> None:
    """Link the device ACCOUNT_ID to a job. The next sync writes the runs of what is recorded of it."""
    with errors_shown("devices link", as_json=as_json, results="devices"):
        from cove_poller.commands.devices import link_device
        from cove_poller.commands.installation import Installation

        started_at = datetime.now(UTC)
        change = link_device(Installation(*context.load()), account_id, job_id, lambda plan: yes or go_on(plan))
        show("devices link", started_at, change, as_json=as_json)


@devices.command("ignore")
@account_argument
@click.option("--undo", is_flag=True, help="No longer ignore it.")
@yes_option
@json_option
@click.pass_obj
def ignore_command(context: Context, account_id: int, undo: bool, yes: bool, as_json: bool) -> None:
    """Write no job runs of the device ACCOUNT_ID any more."""
    with errors_shown("devices ignore", as_json=as_json, results="devices"):
        from cove_poller.commands.devices import ignore_device
        from cove_poller.commands.installation import Installation

        started_at = datetime.now(UTC)
        config, credentials = context.load()
        change = ignore_device(
            Installation(config, credentials), account_id, lambda plan: yes or go_on(plan), undo=undo
        )
        show("devices ignore", started_at, change, as_json=as_json)


def head(command: str, started_at: datetime) -> dict[str, Any]:
    from cove_poller.commands.results import envelope

    return envelope(command, 0, started_at, datetime.now(UTC))


def show(command: str, started_at: datetime, change: Any, *, as_json: bool) -> None:
    """Print what became of the change."""
    if as_json:
        print_json({**head(command, started_at), **change.to_json()})
    elif change.is_done or not change.is_needed:
        click.echo(change.outcome)
    else:
        click.echo("Nothing was changed.", err=True)


def table(found: Sequence[Any]) -> str:
    """The devices as text, a line each."""
    from cove_poller.text import aligned, one_line

    rows: list[Sequence[str]] = [HEADINGS]
    for one in found:
        device = one.device
        words = (device.device_name, device.computer_name or "-", device.customer_name, device.device_type)
        rows.append((str(device.account_id), *(one_line(word) for word in (*words, job_cell(one)))))
    return "\n".join(aligned(rows))


def job_cell(one: Any) -> str:
    """The device's job, or why it has none."""
    job = f"{one.job.name} (id {one.job.id})" if one.job else "no job"
    if one.state == "unlinked":
        return f"unlinked: {one.reason}"
    if one.state == "gone":
        return f"gone since {one.device.gone_at:%Y-%m-%d}: {job}"
    return f"ignored: {job}" if one.state == "ignored" else job

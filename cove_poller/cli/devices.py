"""`devices` on the command line: the devices and their jobs, linking and ignoring by hand, completion of their ids."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from cove_poller.cli.deliver import Delivery, delivery
from cove_poller.cli.options import Context, examples, json_option
from cove_poller.cli.progress import go_on

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.group()
def devices() -> None:
    """Link Cove's devices to Backupchecks' jobs."""


def completing(find: Callable[[Any], Sequence[tuple[int, str]]]) -> Complete:
    """Completion by ids with their names as help, as `find` has them. Silent whatever goes wrong."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        del parameter
        try:
            named = context.find_root().params.get("config_file")
            found = find(Context(Path(named) if named else None).installation())
        except Exception:  # noqa: BLE001 - a shell that completes is no place for an error
            return []
        return [CompletionItem(str(number), help=name) for number, name in found if str(number).startswith(incomplete)]

    return complete


def known_devices(installation: Any) -> list[tuple[int, str]]:
    from cove_poller.commands.devices import list_devices

    found = list_devices(installation)
    return [(one.device.account_id, f"{one.device.device_name} ({one.device.customer_name})") for one in found]


def known_jobs(installation: Any) -> list[tuple[int, str]]:
    from cove_poller.commands.devices import list_free_jobs

    return [(job.id, f"{job.name} ({job.customer})") for job in list_free_jobs(installation)]


device_argument = click.argument("device", shell_complete=completing(known_devices))
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@devices.command("list")
@click.option("--unlinked", is_flag=True, help="Only those that belong to no job, are not ignored and not gone.")
@json_option
@click.pass_obj
def list_command(context: Context, unlinked: bool, as_json: bool) -> None:
    """Show every device with its job, or why it has none. Asks the database only."""
    with delivery("devices list", as_json=as_json, results="devices") as deliver:
        from cove_poller.commands.devices import list_devices
        from cove_poller.commands.results import Answer
        from cove_poller.views.devices import devices_table

        started_at = datetime.now(UTC)
        found = [one for one in list_devices(context.installation()) if one.state == "unlinked" or not unlinked]
        content = {"devices": [one.to_json() for one in found]}
        result = Answer("devices list", started_at, datetime.now(UTC), content)
        deliver(devices_table(found, only_unlinked=unlinked), result)


@devices.command(
    "link",
    epilog=examples(
        'devices link SRV1 --job "SRV1 files"',
        "devices link 4711 --job 12 --yes",
    ),
)
@device_argument
@click.option(
    "--job", required=True, metavar="JOB", shell_complete=completing(known_jobs),
    help="A job of this backup software in Backupchecks, by its name or id.",
)  # fmt: skip
@yes_option
@json_option
@click.pass_obj
def link_command(context: Context, device: str, job: str, yes: bool, as_json: bool) -> None:
    """Link DEVICE, by its name or account id, to a job. The next sync writes the runs of what is recorded of it."""
    with delivery("devices link", as_json=as_json, results="devices") as deliver:
        from cove_poller.commands.devices import device_id, job_id, link_device

        started_at, installation = datetime.now(UTC), context.installation()
        account, number = device_id(installation, device, "DEVICE"), job_id(installation, job, "--job")
        change = link_device(installation, account, number, lambda plan: yes or go_on(plan))
        answer(deliver, "devices link", started_at, change)


@devices.command(
    "ignore",
    epilog=examples("devices ignore SRV1", "devices ignore SRV1 --undo"),
)
@device_argument
@click.option("--source", metavar="CODE", help="Only this data source of it, by its code: D10.")
@click.option("--undo", is_flag=True, help="No longer ignore it.")
@yes_option
@json_option
@click.pass_obj
def ignore_command(context: Context, device: str, source: str | None, undo: bool, yes: bool, as_json: bool) -> None:
    """Write no job runs of DEVICE, by its name or account id, any more."""
    with delivery("devices ignore", as_json=as_json, results="devices") as deliver:
        from cove_poller.commands.devices import device_id
        from cove_poller.commands.ignored_devices import ignore_device, ignore_source

        def agree(plan: str) -> bool:
            return yes or go_on(plan)

        started_at, installation = datetime.now(UTC), context.installation()
        account_id = device_id(installation, device, "DEVICE")
        if source:
            change = ignore_source(installation, account_id, source, agree, undo=undo)
        else:
            change = ignore_device(installation, account_id, agree, undo=undo)
        answer(deliver, "devices ignore", started_at, change)


def answer(deliver: Delivery, command: str, started_at: datetime, change: Any) -> None:
    """Deliver what became of the change."""
    from cove_poller.commands.results import Answer

    is_so = change.is_done or not change.is_needed
    result = Answer(command, started_at, datetime.now(UTC), change.to_json())
    deliver(change.outcome if is_so else "", result, "" if is_so else "Nothing was changed.")

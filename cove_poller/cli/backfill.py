"""`backfill` on the command line: the options, and the question before it writes what has to be reviewed."""

from dataclasses import replace
from typing import Any

import click

from cove_poller.cli.deliver import delivery
from cove_poller.cli.options import Context, chosen_logins, examples, json_option, login_option
from cove_poller.cli.progress import can_ask, go_on, shown_past
from cove_poller.errors import WrongUsage

NOBODY_TO_ASK = (
    "nobody can be asked here whether job runs may be added that somebody has to review, so nothing was done; say it to"
    " add them, --reviewed to add them as reviewed, or --dry-run to count them"
)


@click.command(
    epilog=examples(
        "backfill --since 28d                            all that is missing of four weeks",
        "backfill --since 2026-01-31 --until 2026-02-03  these days only",
        "backfill --since 28d --device SRV1              one device, by its name or id",
        "backfill --since 28d --reviewed --yes           nobody has to look at those runs",
    )
)
@click.option("--since", required=True, metavar="WHEN", help="2026-01-31, 2026-01-31T06:00, 28d, 12h or 4w; in UTC.")
@click.option("--until", metavar="WHEN", help="The same; now, if it is not given.")
@login_option
@click.option(
    "--device", "devices", multiple=True, metavar="NAME",
    help="Only this device, by its name or account id; may be given several times.",
)  # fmt: skip
@click.option(
    "--source",
    "way",
    type=click.Choice(["auto", "sessions", "snapshots", "colorbar"]),
    default="auto",
    help="How the past is read; auto takes the best that each device allows.",
)
@click.option("--reviewed", is_flag=True, help="Write the job runs that are added as reviewed.")
@click.option("--yes", is_flag=True, help="Do not count first how many runs will have to be reviewed, and do not ask.")
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would be written.")
@json_option
@click.pass_obj
def backfill(
    context: Context, /, logins: tuple[str, ...], devices: tuple[str, ...], yes: bool, as_json: bool, **options: Any
) -> None:
    """Write the past, session by session, as far as Cove still knows it. May be interrupted and run again."""
    with delivery("backfill", as_json=as_json) as deliver:
        from cove_poller.cli.ping import watched
        from cove_poller.commands import backfill as job
        from cove_poller.commands.backfilling.request import make_request
        from cove_poller.commands.devices import device_id
        from cove_poller.views.mail import backfill_summary, unreviewed, with_warnings

        installation = context.installation()
        config, credentials = installation.config, installation.credentials
        names = chosen_logins(config, logins)
        request = make_request(devices=[device_id(installation, one, "--device") for one in devices], **options)
        told = None if request.dry_run else config.healthchecks.url
        with watched("backfill", told, credentials.given) as ends:
            if not (yes or request.reviewed or request.dry_run):
                if not can_ask():
                    raise WrongUsage(NOBODY_TO_ASK, "--yes")
                with shown_past("counting") as progress:
                    count = replace(request, dry_run=True)
                    preview = job.backfill(installation, names, count, progress=progress)
                if preview.ended_by:
                    raise preview.ended_by
                if not go_on(unreviewed(preview)):
                    deliver("", preview, "Nothing was written.")
                    deliver.exit_code = 0
                    return
            with shown_past("reading") as progress:
                result = job.backfill(installation, names, request, progress=progress)
            trouble = with_warnings(credentials.warnings(), result, config.backupchecks)
            deliver(backfill_summary(result, dry_run=request.dry_run), result, trouble)
            ends(result.exit_code, trouble)

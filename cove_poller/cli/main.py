"""The command line: the only place that prints, configures logging and exits."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from cove_poller import __version__
from cove_poller.cli.base import Context, chosen_logins, errors_shown, go_on, json_option, login_option, print_json
from cove_poller.cli.check import check
from cove_poller.cli.devices import devices
from cove_poller.cli.doctor import doctor
from cove_poller.cli.logs import ProgressLog, configure_logging
from cove_poller.cli.prune import prune
from cove_poller.cli.report import report
from cove_poller.cli.status import status
from cove_poller.errors import Interrupted, Terminated


def stop_on_signals() -> None:
    """SIGTERM and Ctrl-C end the run in an orderly way: the page in work is undone, those before it stay."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        what = "interrupted" if number == signal.SIGINT else "told to stop"
        error = Interrupted if number == signal.SIGINT else Terminated
        raise error(f"{what}; what was saved before is right and stays, the next run goes on from there")

    def stop_again(lost: Any) -> None:
        """Where Python was just cleaning up, the error is lost: the signal is sent once more, a moment later."""
        if not isinstance(lost.exc_value, Terminated):
            sys.__unraisablehook__(lost)
            return
        number = signal.SIGINT if isinstance(lost.exc_value, Interrupted) else signal.SIGTERM
        timer = threading.Timer(0.05, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    sys.unraisablehook = stop_again


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="cove-poller")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration; else $COVE_POLLER_CONFIG, ./cove.toml, ~/.config/cove-poller/cove.toml or"
    " /etc/cove-poller/cove.toml.",
)
@click.option("-v", "--verbose", count=True, help="Log more; -vv for every request.")
@click.option("-q", "--quiet", is_flag=True, help="Log errors only.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="How the log is written.")
@click.pass_context
def main(context: click.Context, config_file: Path | None, verbose: int, quiet: bool, log_format: str) -> None:
    """Write the backup results of N-able Cove Data Protection into the Backupchecks database."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a name that this terminal cannot show is no reason to stop
    configure_logging(-1 if quiet else verbose, log_format)
    stop_on_signals()
    context.obj = Context(config_file)


main.add_command(status)
main.add_command(check)
main.add_command(devices)
main.add_command(doctor)
main.add_command(prune)


@main.command()
@login_option
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would be written and created.")
@json_option
@click.pass_obj
def sync(context: Context, logins: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Poll every login once and write what is new. Silent in cron when all is well."""
    with errors_shown("sync", as_json=as_json):
        from cove_poller.cli.ping import watched
        from cove_poller.commands import sync as job
        from cove_poller.commands.installation import Installation
        from cove_poller.views import mail as output

        config, credentials = context.load()
        names = chosen_logins(config, logins)
        told = None if dry_run else config.healthchecks.url
        with watched("sync", told, credentials.given) as ends:
            with shown_progress() as progress:
                result = job.sync(Installation(config, credentials), names, dry_run=dry_run, progress=progress)
            trouble = "\n".join([*credentials.warnings(), *filter(None, [output.trouble(result)])])
            if as_json:
                print_json(result.to_json())
            elif dry_run or sys.stdout.isatty():
                click.echo(output.sync_summary(result, dry_run=dry_run))
            if trouble:
                click.echo(trouble, err=True)
            ends(result.exit_code, trouble)
    sys.exit(result.exit_code)


@main.command("test-login")
@login_option
@json_option
@click.pass_obj
def test_login(context: Context, logins: tuple[str, ...], as_json: bool) -> None:
    """Log in and say who and where. Lets `sync` try again a login that was rejected."""
    with errors_shown("test-login", as_json=as_json):
        from cove_poller.commands.installation import Installation
        from cove_poller.commands.test_login import check_logins
        from cove_poller.views import mail as output

        config, credentials = context.load()
        result = check_logins(Installation(config, credentials), chosen_logins(config, logins))
        if as_json:
            print_json(result.to_json())
        else:
            click.echo(output.login_test_summary(result))
        if trouble := output.trouble(result):
            click.echo(trouble, err=True)
    sys.exit(result.exit_code)


@main.command()
@click.option("--since", required=True, metavar="WHEN", help="2026-01-31, 2026-01-31T06:00, 28d or 12h; in UTC.")
@click.option("--until", metavar="WHEN", help="The same; now, if it is not given.")
@login_option
@click.option("--device", "devices", multiple=True, type=int, metavar="ID", help="Only this device, by its account id.")
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
def backfill(context: Context, /, since: str, until: str | None, yes: bool, as_json: bool, **options: Any) -> None:
    """Write the past, session by session, as far as Cove still knows it. May be interrupted and run again."""
    with errors_shown("backfill", as_json=as_json):
        from cove_poller.cli.ping import watched
        from cove_poller.commands import backfill as job
        from cove_poller.commands.installation import Installation
        from cove_poller.views import mail as output

        config, credentials = context.load()
        names = chosen_logins(config, options.pop("logins"))
        request = past_request(since, until, **options)
        installation = Installation(config, credentials)
        told = None if request.dry_run else config.healthchecks.url
        with watched("backfill", told, credentials.given) as ends:
            if not (yes or request.reviewed or request.dry_run):
                with shown_past("counting") as progress:
                    count = replace(request, dry_run=True)
                    preview = job.backfill(installation, names, count, progress=progress)
                if not go_on(output.unreviewed(preview)):
                    if as_json:
                        print_json(preview.to_json())
                    click.echo("Nothing was written.", err=True)
                    return
            with shown_past("reading") as progress:
                result = job.backfill(installation, names, request, progress=progress)
            trouble = "\n".join([*credentials.warnings(), *filter(None, [output.trouble(result)])])
            if as_json:
                print_json(result.to_json())
            else:
                click.echo(output.backfill_summary(result, dry_run=request.dry_run))
            if trouble:
                click.echo(trouble, err=True)
            ends(result.exit_code, trouble)
    sys.exit(result.exit_code)


def past_request(
    since: str, until: str | None, *, way: str, devices: tuple[int, ...], reviewed: bool, dry_run: bool
) -> Any:
    """What the options of `backfill` ask for."""
    from cove_poller.records.past import WAYS, Request
    from cove_poller.records.window import Window, parse_when

    now = datetime.now(UTC).replace(microsecond=0)
    moments = {}
    for name, text in (("--since", since), ("--until", until)):
        try:
            moments[name] = now if text is None else parse_when(text, now)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint=name) from None
    window = Window(moments["--since"], min(moments["--until"], now))
    if window.since >= window.until:
        raise click.BadParameter("lies in the future, or not before --until", param_hint="--since")
    reaches_now = moments["--until"] >= now
    return Request(window, reaches_now, WAYS.get(way), frozenset(devices), reviewed=reviewed, dry_run=dry_run)


@main.command()
@click.option("--dry-run", is_flag=True, help="Print the SQL for the DBA to run, and change nothing.")
@click.pass_obj
def migrate(context: Context, dry_run: bool) -> None:
    """Prepare the database. May be run again at any time."""
    with errors_shown("migrate"):
        from cove_poller.database.engine import migrate_database

        config, credentials = context.load()
        script = migrate_database(config, credentials.database_password(), dry_run=dry_run)
        if dry_run:
            click.echo(script, nl=False)
        else:
            said = [line.removeprefix("-- ") for line in script.splitlines() if line.startswith("-- ")]
            click.echo("\n".join(["The database was prepared.", *said]) if script else "The database is ready.")


main.add_command(report)


@main.group()
def config() -> None:
    """Write, check and show the configuration."""


@config.command("init")
@click.argument("file", type=click.Path(path_type=Path), default=Path("cove.toml"))
def config_init(file: Path) -> None:
    """Write a sample configuration to FILE (cove.toml), readable by its owner only."""
    sample = resources.files("cove_poller") / "samples" / "cove.example.toml"
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise click.UsageError(f"{file} is there already and was left as it is") from None
    except OSError as error:
        raise click.UsageError(f"{file} cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(sample.read_text(encoding="utf-8"))
    click.echo(f"{file} is written. Put your login into it, then run: cove-poller --config {file} test-login")


@config.command("check")
@click.pass_obj
def config_check(context: Context) -> None:
    """Check the configuration and its secrets; all problems are named at once."""
    with errors_shown("config check"):
        loaded, credentials = context.load()
        credentials.check()
        click.echo(f"{context.file()} is fine: {len(loaded.logins)} login(s), {', '.join(loaded.logins)}")
        for warning in credentials.warnings():
            click.echo(warning, err=True)


@config.command("show")
@click.pass_obj
def config_show(context: Context) -> None:
    """Show the configuration in effect, with secrets hidden."""
    with errors_shown("config show"):
        from cove_poller.config.file import shown

        click.echo(shown(context.load()[0]), nl=False)


def is_lively() -> bool:
    """Whether something may move and be coloured."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


@contextmanager
def shown_past(what: str) -> Iterator[Callable[[Any], None]]:
    """A bar on a terminal with devices, sessions and time left; a log line every 30 seconds anywhere else."""
    if not is_lively():
        yield ProgressLog()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("devices, {task.fields[sessions]} new sessions, time left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None, sessions=0)
        yield lambda progress: bar.update(
            task,
            description=f"{what} {progress.login}",
            completed=progress.devices,
            total=progress.total,
            sessions=progress.sessions,
        )


@contextmanager
def shown_progress() -> Iterator[Callable[[str, int], None]]:
    """A line on a terminal that tells how far the run is; nothing anywhere else."""
    from cove_poller.commands.sync import ignore_progress

    if not is_lively():
        yield ignore_progress
        return
    from rich.console import Console

    with Console(stderr=True).status("connecting") as status:
        yield lambda login, devices: status.update(f"{login}: {devices} devices")

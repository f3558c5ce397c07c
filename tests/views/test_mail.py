"""What a person reads of a run: results as text. Cron mails what is new, and how much else stands."""

import tomllib
from datetime import UTC, datetime, timedelta, timezone

from cove_poller.commands.outcome import About, Outcome, Standing
from cove_poller.commands.results import CommandResult, LoginResult
from cove_poller.config.settings import BackupchecksSettings
from cove_poller.errors import ApiError
from cove_poller.records.job_matching import CreatedCustomer
from cove_poller.views.mail import sync_summary, trouble
from tests.world.states import NOW


def summary(*customers: CreatedCustomer, dry_run: bool = True) -> str:
    login = LoginResult("main", outcome=Outcome(new_customers=[*customers]))
    return sync_summary(CommandResult("sync", NOW, NOW, [login]), dry_run=dry_run)


def test_a_dry_run_lists_the_customers_that_it_would_create_as_lines_for_the_map() -> None:
    near = CreatedCustomer("Bakkerij A", "Bakkerij A (a@b.example)", ("Bakkerij A.", "Bakker"))
    text = summary(near, CreatedCustomer("Dental", "Dental"))
    assert "  would create 2 customers; " in text
    lines = text.splitlines()[-2:]
    assert lines == [
        '    "Bakkerij A (a@b.example)" = "Bakkerij A"  # like: "Bakkerij A.", "Bakker"',
        '    "Dental" = "Dental"',
    ]
    assert tomllib.loads("\n".join(lines)) == {"Bakkerij A (a@b.example)": "Bakkerij A", "Dental": "Dental"}


def test_nothing_is_said_of_customers_where_none_would_be_created_or_they_have_been() -> None:
    assert "would create" not in summary()
    assert "customer" not in summary(CreatedCustomer("Dental", "Dental"), dry_run=False)


def result(*, said: int, silent: int, **changes: object) -> CommandResult:
    login = LoginResult("main")
    login.outcome.standing += [Standing(1, "x", NOW, is_told=True)] * said + [Standing(2, "y", NOW)] * silent
    login.outcome.warnings += ["x"] * said
    for name, value in changes.items():
        setattr(login, name, value)
    return CommandResult("sync", NOW, NOW + timedelta(seconds=1), [login])


def test_conditions_of_which_nothing_is_new_are_not_mailed() -> None:
    assert trouble(result(said=0, silent=12)) == ""


def test_what_is_new_is_followed_by_how_much_else_stands() -> None:
    more = "see: cove-poller status --only problem"
    assert trouble(result(said=1, silent=0)) == "login main: warning: x"
    assert trouble(result(said=1, silent=1)).splitlines()[-1] == f"and 1 other condition stands; {more}"
    assert trouble(result(said=1, silent=12)).splitlines()[-1] == f"and 12 other conditions stand; {more}"


def test_what_is_over_and_what_lasts_are_no_warnings() -> None:
    found = result(said=0, silent=0)
    found.logins[0].outcome.warnings += ["over: x", "still, since 2026-03-02 12:00Z: y"]  # type: ignore[union-attr]
    assert trouble(found) == "login main: over: x\nlogin main: still, since 2026-03-02 12:00Z: y"


def test_an_error_is_mailed_with_what_to_do_when_it_is_new_and_when_it_is_reminded_of_and_not_in_between() -> None:
    error = ApiError("Cove is down")
    heading, text, what_now = trouble(result(said=0, silent=0, error=error)).splitlines()
    assert (heading, text) == ("cove-poller sync exited with code 13:", "login main: Cove is down")
    assert what_now == "  Nothing new is known, so Backupchecks shows the state before. The next run tries again."
    reminded = trouble(result(said=0, silent=0, error=error, error_note="still, since then: ")).splitlines()
    assert reminded == [heading, "login main: still, since then: Cove is down", what_now]
    standing = result(said=0, silent=1, error=error, error_note=None)
    assert (trouble(standing), standing.exit_code) == ("", 13)
    assert sync_summary(standing, dry_run=False).splitlines()[-2:] == [
        "  as before: Cove is down", "  conditions that stand: 1 (cove-poller status --only problem)",
    ]  # fmt: skip


def test_below_the_line_of_a_linked_device_is_its_jobs_page_where_somebody_said_where_backupchecks_is() -> None:
    found = result(said=0, silent=0)
    lost, over, free = "A, SRV1 (device 1): lost", "over: A, SRV2 (device 2): lost", "A, SRV3 (device 3): lost"
    outcome = found.logins[0].outcome  # type: ignore[union-attr]
    outcome.failures, outcome.warnings = [lost], [over, free]
    outcome.about = {lost: About(job_id=7), over: About(job_id=8)}
    lines = [f"login main: {lost}", f"login main: {over}", f"login main: warning: {free}"]
    heading = "cove-poller sync exited with code 3:"
    assert trouble(found).splitlines() == [heading, *lines]
    pages = ["  https://bc.example.com/jobs/7", "  https://bc.example.com/jobs/8"]
    settings = BackupchecksSettings(url="https://bc.example.com")
    assert trouble(found, settings).splitlines() == [heading, lines[0], pages[0], lines[1], pages[1], lines[2]]


def test_below_a_line_about_several_devices_is_the_page_where_backupchecks_begins_if_that_is_known() -> None:
    found = result(said=1, silent=0)
    found.logins[0].outcome.about = {"x": About(is_of_several=True)}  # type: ignore[union-attr]
    start, template = "https://bc.example.com/checks", "https://bc.example.com/job?id={job_id}"
    assert trouble(found, BackupchecksSettings(url=start)) == f"login main: warning: x\n  {start}"
    assert trouble(found, BackupchecksSettings(url=template)) == "login main: warning: x"


def test_a_line_says_since_when_in_the_time_of_who_reads_it_where_the_result_has_utc() -> None:
    found, since = result(said=1, silent=0), datetime(2026, 3, 2, 23, 30, tzinfo=UTC)
    zone, outcome = timezone(timedelta(hours=3), "EAT"), found.logins[0].outcome  # type: ignore[union-attr]
    lasting = "still, since 2026-03-02 23:30Z: y"
    outcome.warnings += [lasting, "over: z"]
    outcome.about = {"x": About(since), lasting: About(since)}
    assert trouble(found, zone=zone).splitlines() == [
        "login main: warning: x (since 2026-03-03 02:30 EAT)", "login main: still, since 2026-03-03 02:30 EAT: y",
        "login main: over: z",
    ]  # fmt: skip
    assert lasting in str(found.to_json())

"""`test-login` on the command line."""

import click

from cove_poller.cli.deliver import delivery
from cove_poller.cli.options import Context, chosen_logins, examples, json_option, login_option


@click.command(
    "test-login",
    epilog=examples(
        "test-login              every login",
        "test-login --login one  one of them",
    ),
)
@login_option
@json_option
@click.pass_obj
def test_login(context: Context, logins: tuple[str, ...], as_json: bool) -> None:
    """Log in and say who and where. Lets `sync` try again a login that was rejected."""
    with delivery("test-login", as_json=as_json) as deliver:
        from cove_poller.commands.test_login import check_logins
        from cove_poller.views.mail import login_test_summary, trouble

        installation = context.installation()
        result = check_logins(installation, chosen_logins(installation.config, logins))
        deliver(login_test_summary(result), result, trouble(result))

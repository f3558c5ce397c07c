"""What a person reads of a run: results as text."""

import tomllib
from datetime import UTC, datetime

from cove_poller.commands.record_page import Outcome
from cove_poller.commands.results import CommandResult, LoginResult
from cove_poller.records.job_matching import CreatedCustomer
from cove_poller.views.mail import sync_summary

NOW = datetime(2026, 3, 2, tzinfo=UTC)


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
    assert "customer" not in summary()
    assert "customer" not in summary(CreatedCustomer("Dental", "Dental"), dry_run=False)

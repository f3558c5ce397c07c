"""`check` as Nagios and Checkmk read it, from literals. Pure."""

import re
from dataclasses import replace
from typing import Any

from cove_poller.records.health.overview import Overview
from cove_poller.records.statuses import Status
from cove_poller.views.check_text import checkmk, checkmk_unknown, nagios, unknown
from cove_poller.views.check_verdicts import Thresholds, Verdicts, judged
from tests.world.states import NEVER, OFF, POLL, ago, overview, source, state

# Monitoring Plugins Development Guidelines: 'label'=value[UOM];[warn];[crit];[min];[max]
NUMBER = r"-?\d+(\.\d+)?"
PERFDATA = re.compile(rf"('[^'=]+'|[^'=\s]+)=(U|{NUMBER}(s|us|ms|%|B|KB|MB|TB|c)?)(;({NUMBER})?){{0,4}}")
CHECKMK = re.compile(r'[0-3] "[^"]+" (-|(\w+=\d+(;\d*)*)(\|\w+=\d+(;\d*)*)*) \S.*')
FAILED: dict[str, Any] = {"status": Status.FAILED, "sources": (source("failed", 2, source="D10"),)}
QUIET = "failed=0;;;0;{n} stale=0;;;0;{n} warning=0;;;0;{n} never=0;;;0;{n} offline=0;;;0;{n} running=0;;;0;{n}"


def verdicts(known: Overview) -> Verdicts:
    return judged(known, Thresholds())


def words(known: Overview) -> str:
    return nagios(verdicts(known)).partition(" | ")[0]


def test_all_well_is_one_line_with_the_performance_data() -> None:
    assert nagios(verdicts(overview(state()))) == (
        "COVE OK: 1 device, none in trouble | devices=1;;;0 "
        + QUIET.format(n=1)
        + " success=1;;;0;1 unlinked=0;;;0;1 poll_age_main=300s;;5400;0"
    )


def test_the_gravest_five_devices_are_named_and_the_rest_counted() -> None:
    lonely = [state(account_id=number, computer_name=f"PC{number}", job_id=None) for number in range(2, 8)]
    assert words(overview(state(**FAILED), *lonely)) == (
        "COVE CRITICAL: 1 critical, 6 warning of 7 devices: SRV1 (Example Bakery) failed: SQL Server Failed; "
        + "; ".join(f"PC{n} (Example Bakery) belongs to no job, so nobody sees its runs" for n in (2, 3, 4, 5))
        + "; and 2 more"
    )


def test_a_dead_poller_is_said_first_and_its_old_green_is_called_old() -> None:
    old = overview(state(), polls=[replace(POLL, last_success_at=ago(9))])
    assert words(old) == (
        "COVE CRITICAL: login main: last successful poll 9 hours ago, so this is old; as last known, 1 device, none in"
        " trouble"
    )
    assert words(overview()) == "COVE UNKNOWN: no device is known"


def test_characters_that_nagios_takes_for_its_own_are_replaced() -> None:
    login = "it's=a |b"
    hostile = state(customer="Evil|\u202egnp\tCo\nLtd", login=login, job_id=None)
    text, _, perfdata = nagios(verdicts(overview(hostile, polls=[replace(POLL, login=login)]))).partition(" | ")
    assert "SRV1 (Evil/gnp Co Ltd)" in text
    assert "'poll_age_it_s_a /b'=300s;;5400;0" in perfdata
    assert "|" not in perfdata
    values = re.findall(r"'[^']*'\S*|\S+", perfdata)
    assert all(PERFDATA.fullmatch(value) for value in values)


def test_a_login_without_a_successful_poll_has_an_unknown_age() -> None:
    assert nagios(verdicts(overview(polls=[], unpolled=["main"]))).endswith("poll_age_main=U;;5400;0")


def test_long_names_are_cut() -> None:
    assert f"{'y' * 59}… (Example Bakery)" in words(overview(state(computer_name="y" * 300, job_id=None)))


def test_checkmk_gets_a_service_for_the_poller_and_one_per_device_with_levels() -> None:
    known = overview(state(**FAILED), state(account_id=2, computer_name="NEW", **{**NEVER, "first_seen_at": ago(1)}),
                     state(account_id=3, computer_name="OFF", **OFF))  # fmt: skip
    lines = checkmk(verdicts(known)).splitlines()
    assert lines == [
        '0 "Cove poller main" poll_age=300;;5400;0 last successful poll 5 minutes ago',
        '2 "Cove Example Bakery SRV1" success_age=10800;172800;345600;0 failed: SQL Server Failed',
        '0 "Cove Example Bakery OFF" success_age=1800000;604800;1209600;0 offline, no success for 20 days',
        '0 "Cove Example Bakery NEW" - never a success, known for 60 minutes',
    ]
    assert all(CHECKMK.fullmatch(line) for line in lines)


def test_a_poller_that_never_succeeded_is_a_critical_service_without_a_value() -> None:
    assert checkmk(verdicts(overview(polls=[], unpolled=["main"]))) == (
        '2 "Cove poller main" - has never been polled, so nothing is known of its devices'
    )


def test_devices_of_one_name_are_services_of_their_own_and_names_lose_what_checkmk_does_not_take() -> None:
    known = overview(state(), state(account_id=2, device_name="srv1_y"), state(account_id=3, computer_name="a\"b'c;d"))
    services = [line.split('"')[1] for line in checkmk(verdicts(known)).splitlines()]
    assert services == [
        "Cove poller main",
        "Cove Example Bakery a_b_c_d",
        "Cove Example Bakery SRV1 srv1_x",
        "Cove Example Bakery SRV1 srv1_y",
    ]


def test_what_cannot_be_known_is_one_line_in_each_format() -> None:
    assert unknown("no\ndatabase | here") == "COVE UNKNOWN: no database / here"
    assert checkmk_unknown("no\ndatabase") == '3 "Cove poller" - no database'

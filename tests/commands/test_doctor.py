"""`doctor`: every verdict of every check, and that it neither locks a user nor leaves anything behind."""

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import tomli_w

from cove_poller.commands.doctor import cove_checks, examination
from cove_poller.commands.doctor.checks import Verdict
from cove_poller.commands.doctor.cove_checks import clock
from cove_poller.commands.doctor.examination import examine, judged_poll
from cove_poller.config.settings import Config
from cove_poller.database.engine import migrate_database
from cove_poller.database.trial import Trial
from cove_poller.records.health.overview import PollState
from tests.conftest import BEGIN, Cli, TlsFiles
from tests.world.fake_cove import FakeCove, Fleet, make_fleet, serving_tls
from tests.world.fake_cove.faults import RpcError
from tests.world.layouts import GRANTS, RENAMED, STRICT, LiveSite, run_script

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
EVERY_CHECK = (
    "configuration", "password", "secret files", "database", "table contract", "tables", "rights", "trial write",
    "TLS", "clock", "login", "columns", "last poll",
)  # fmt: skip


@pytest.fixture
def fleet() -> Fleet:
    return make_fleet(seed=4, begin=BEGIN, days=2, devices=4)


@dataclass
class Patient:
    """An installation that is looked at; `settings` is its configuration file."""

    cli: Cli
    cove: FakeCove
    settings: dict[str, Any]

    def examined(self, *, code: int) -> dict[str, dict[str, Any]]:
        """What doctor says, by check, with the subject where there are several; its exit code is `code`."""
        file = self.cli.write_config(tomli_w.dumps(self.settings))
        report = examine(lambda: file, {})
        return self.understood(report.to_json(), code=code)

    def understood(self, content: dict[str, Any], *, code: int) -> dict[str, dict[str, Any]]:
        """The checks of a report that is as every report should be."""
        assert content["exit_code"] == code, content["checks"]
        assert self.cove.password not in json.dumps(content)
        checks: list[dict[str, Any]] = content["checks"]
        for check in checks:
            assert check["message"]
            assert bool(check["advice"]) == (check["verdict"] != "ok"), check
            assert check["message"].startswith("not tried, since ") == (check["verdict"] == "not tried")
        return {
            **{check["check"]: check for check in checks},
            **{f"{one['check']} {one['subject']}": one for one in checks},
        }

    def run(self, *arguments: str) -> int:
        self.cli.write_config(tomli_w.dumps(self.settings))
        return self.cli(*arguments).returncode


def verdicts(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The verdict of each check."""
    return {name: found[name]["verdict"] for name in EVERY_CHECK}


def settings_for(cove: FakeCove, url: str) -> dict[str, Any]:
    login = {"username": cove.username, "password": cove.password}
    return {"database": {"url": url}, "api": {"url": cove.url, "requests_per_second": 1000}, "logins": {"main": login}}


@pytest.fixture
def patient(cli: Cli, cove: FakeCove, monkeypatch: pytest.MonkeyPatch) -> Patient:
    """A healthy installation on SQLite that was never polled."""
    monkeypatch.chdir(cli.directory)
    settings = settings_for(cove, f"sqlite:///{cli.directory / 'cove.db'}")
    migrate_database(Config.model_validate(settings), None, dry_run=False)
    return Patient(cli, cove, settings)


HEALTHY = {**dict.fromkeys(EVERY_CHECK, "ok"), "TLS": "not tried", "last poll": "warning"}
"""Of an installation on this machine, without TLS and never polled yet."""


def test_all_is_well_after_a_sync_and_nothing_but_the_audit_trail_has_changed(
    cli: Cli, cove: FakeCove, database_url: str, tmp_path: Path
) -> None:
    patient = Patient(cli, cove, settings_for(cove, database_url))
    assert (patient.run("migrate"), patient.run("sync")) == (0, 0)
    site = LiveSite(cove, database_url, tmp_path)
    before = site.stored()
    done = cli("doctor", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert verdicts(patient.understood(json.loads(done.stdout), code=0)) == {**HEALTHY, "last poll": "ok"}
    after = site.stored()
    assert len(after.pop("cove_polls")) == len(before.pop("cove_polls")) + 1
    assert after == before
    assert site.rows("SELECT command, outcome FROM cove_polls ORDER BY id DESC")[0] == {
        "command": "doctor", "outcome": "ok",
    }  # fmt: skip


def test_the_text_says_each_verdict_in_words_and_what_to_do_and_no_secret(patient: Patient) -> None:
    patient.cli.write_config(tomli_w.dumps(patient.settings)).chmod(0o644)
    done = patient.cli("doctor")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[0].startswith("+  ok         configuration ")
    assert any(line.startswith("!  warning    secret files ") for line in lines)
    assert any(line.startswith("-  not tried  TLS 127.0.0.1:") for line in lines)
    assert any(line.strip().startswith("-> ") and "chmod 600" in line for line in lines)
    assert lines[-2] == "11 ok, 2 warning, 1 not tried"
    assert lines[-1].startswith("Next: secret files: ")
    assert "chmod 600" in lines[-1]
    assert patient.cove.password not in done.stdout


class TestConfigurationAndSecrets:
    def test_every_problem_is_named_and_nothing_else_is_tried(self, patient: Patient) -> None:
        patient.settings["api"]["page_size"] = 1
        patient.settings["api"]["colour"] = "red"
        found = patient.examined(code=10)
        assert verdicts(found) == {**dict.fromkeys(EVERY_CHECK, "not tried"), "configuration": "failed"}
        assert "api.page_size" in found["configuration"]["message"]
        assert "api.colour" in found["configuration"]["message"]
        assert patient.cove.requests == []

    def test_no_configuration_at_all_is_a_failed_check(self, cli: Cli) -> None:
        done = cli("doctor")
        assert done.returncode == 10
        assert "no configuration found" in done.stdout

    def test_a_password_that_cannot_be_had_keeps_only_its_login_from_being_tried(self, patient: Patient) -> None:
        patient.settings["logins"]["other"] = {"username": "somebody", "password_file": "nowhere"}
        found = patient.examined(code=10)
        assert found["password login other"]["verdict"] == "failed"
        assert "nowhere cannot be read" in found["password login other"]["message"]
        assert (found["login other"]["verdict"], found["login main"]["verdict"]) == ("not tried", "ok")
        assert found["secret files"]["verdict"] == "not tried"
        assert patient.cove.count("Login") == 1

    def test_a_database_password_that_cannot_be_had_is_told(self, patient: Patient) -> None:
        patient.settings["database"]["password_command"] = "false"
        found = patient.examined(code=10)
        assert found["password database"]["verdict"] == "failed"
        assert {found[name]["verdict"] for name in ("database", "rights", "login", "last poll")} == {"not tried"}
        assert patient.cove.count("Login") == 0


class TestTls:
    @pytest.fixture
    def secure(self, patient: Patient, tls_files: TlsFiles, monkeypatch: pytest.MonkeyPatch) -> Iterator[Patient]:
        """The same Cove over TLS, with a certificate of a company's own authority."""
        with serving_tls(patient.cove, tls_files.certificate, tls_files.key) as address:
            patient.settings["api"]["url"] = f"https://{address}/jsonapi"
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls_files.authority))
            yield patient

    def test_a_certificate_that_is_trusted_is_ok(self, secure: Patient) -> None:
        found = secure.examined(code=0)
        assert (found["TLS"]["verdict"], found["login"]["verdict"]) == ("ok", "ok")

    def test_one_that_cannot_be_verified_fails_and_no_password_is_sent(
        self, secure: Patient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        found = secure.examined(code=13)
        assert found["TLS"]["verdict"] == "failed"
        assert "certificate of 127.0.0.1" in found["TLS"]["message"]
        assert "REQUESTS_CA_BUNDLE" in found["TLS"]["advice"]
        assert (found["login"]["verdict"], found["columns"]["verdict"]) == ("not tried", "not tried")
        assert found["clock"]["verdict"] == "not tried"
        assert secure.cove.requests == []


class TestLogin:
    def failed(self, patient: Patient, code: int) -> dict[str, Any]:
        found = patient.examined(code=code)
        assert (found["login"]["verdict"], found["columns"]["verdict"]) == ("failed", "not tried")
        return found["login"]

    def test_rejected_credentials_are_remembered_and_not_tried_again_until_test_login(self, patient: Patient) -> None:
        right, patient.cove.password = patient.cove.password, "another"
        first = self.failed(patient, 11)
        assert first["code"] == "login_rejected"
        assert first["message"].startswith("credentials or partner name: ")
        assert "2100" in first["message"]
        second = self.failed(patient, 11)
        assert "not tried again since" in second["message"]
        assert "test-login --login main" in second["advice"]
        assert patient.run("sync") == 11
        assert patient.cove.count("Login") == 1
        patient.cove.password = right
        assert patient.run("test-login") == 0
        assert patient.examined(code=11)["login"]["verdict"] == "ok"  # the last poll failed with 11

    def test_one_that_sync_was_rejected_with_is_not_tried(self, patient: Patient) -> None:
        patient.cove.password = "another"
        patient.run("sync")
        found = patient.examined(code=11)
        assert found["last poll"]["verdict"] == "failed"
        assert patient.cove.count("Login") == 1

    def test_a_changed_configuration_is_tried_at_once(self, patient: Patient) -> None:
        right, patient.cove.password = patient.cove.password, "another"
        self.failed(patient, 11)
        patient.cove.password = right + "2"
        patient.settings["logins"]["main"]["password"] = right + "2"
        assert patient.examined(code=0)["login"]["verdict"] == "ok"

    @pytest.mark.parametrize("where", ["at the login", "afterwards"])
    def test_a_refused_visa_is_told_apart(self, patient: Patient, where: str) -> None:
        if where == "afterwards":
            patient.cove.faults.every_visa_is_refused = True
        else:
            patient.cove.faults.login_error = RpcError(1701, "Visa is inconsistent/corrupted.")
        login = self.failed(patient, 13)
        assert (login["code"], login["message"].partition(":")[0]) == ("visa_refused", "visa")
        assert "1701" in login["message"]

    def test_a_missing_permission_is_told_apart(self, patient: Patient) -> None:
        patient.cove.faults.login_error = RpcError(13501, "Operation failed because of security reasons")
        login = self.failed(patient, 12)
        assert (login["code"], login["message"].partition(":")[0]) == ("permission_denied", "permission")

    def test_a_network_that_does_not_answer_is_told_apart(self, patient: Patient) -> None:
        patient.settings["api"]["url"] = "http://127.0.0.1:9/jsonapi"
        login = self.failed(patient, 13)
        assert (login["code"], login["message"].partition(":")[0]) == ("api_unavailable", "network")

    def test_an_answer_that_makes_no_sense_is_told_apart(self, patient: Patient) -> None:
        patient.settings["api"]["url"] = patient.cove.url + "/nowhere"
        assert self.failed(patient, 13)["message"].startswith("answer: ")

    def test_logins_that_fail_differently_end_with_3(self, patient: Patient) -> None:
        patient.settings["logins"]["other"] = {"username": "nobody", "password": "wrong"}
        patient.cove.faults.forbidden_methods = frozenset({"EnumerateAccountStatistics"})
        found = patient.examined(code=3)
        assert (found["login other"]["code"], found["columns main"]["code"]) == ("login_rejected", "permission_denied")


class TestColumns:
    @pytest.mark.parametrize(
        ("code", "meaning"),
        [("D02F00", "how System State went cannot be read"), ("D02F12", "told less exactly, and nothing else is lost")],
    )
    def test_refused_ones_are_a_warning_with_what_that_means(self, patient: Patient, code: str, meaning: str) -> None:
        patient.cove.faults.forbidden_columns = lambda column: column == code
        columns = patient.examined(code=0)["columns"]
        assert columns["verdict"] == "warning"
        assert code in columns["message"]
        assert meaning in columns["message"]

    def test_a_required_one_that_is_refused_fails(self, patient: Patient) -> None:
        patient.cove.faults.forbidden_columns = lambda column: column == "I78"
        found = patient.examined(code=12)
        assert (found["login"]["verdict"], found["columns"]["verdict"]) == ("ok", "failed")

    def test_a_user_that_sees_no_device_is_a_warning(self, patient: Patient) -> None:
        patient.cove.fleet.devices.clear()
        assert "no device" in patient.examined(code=0)["columns"]["message"]


class TestDatabase:
    def test_an_sqlite_file_that_is_not_there_is_a_warning_and_is_not_made(self, patient: Patient) -> None:
        patient.settings["database"]["url"] = "sqlite:///other.db"
        found = patient.examined(code=0)
        assert found["database"]["verdict"] == "warning"
        for name in ("table contract", "tables", "rights", "trial write", "login", "columns", "last poll"):
            assert found[name]["verdict"] == "not tried"
        assert "test-login --login main" in found["login"]["advice"]
        assert patient.cove.count("Login") == 0
        assert not (patient.cli.directory / "other.db").exists()

    def test_one_that_cannot_be_opened_fails_and_no_login_is_tried_whose_rejection_it_could_not_remember(
        self, patient: Patient
    ) -> None:
        patient.settings["database"]["url"] = "sqlite:///cove.toml"
        found = patient.examined(code=14)
        assert found["database"]["verdict"] == "failed"
        assert found["login"]["verdict"] == found["rights"]["verdict"] == "not tried"
        assert patient.cove.count("Login") == 0

    def test_tables_that_are_missing_are_named_with_migrate(self, patient: Patient, database_url: str) -> None:
        patient.settings["database"]["url"] = database_url
        run_script(
            database_url,
            STRICT.script(database_url).replace('"Monitoring"', "public").replace("CREATE SCHEMA public;", ""),
        )
        is_sqlite = database_url.startswith("sqlite")  # which sync prepares by itself
        found = patient.examined(code=0 if is_sqlite else 14)
        assert found["table contract"]["verdict"] == "ok"
        assert found["tables"]["verdict"] == ("warning" if is_sqlite else "failed")
        assert "table cove_devices is missing" in found["tables"]["message"]
        assert "cove-poller migrate" in found["tables"]["advice"]
        assert found["rights"]["verdict"] == found["login"]["verdict"] == "not tried"

    def test_a_contract_that_is_not_met_is_told_line_by_line(self, patient: Patient, database_url: str) -> None:
        patient.settings["database"]["url"] = database_url
        run_script(database_url, RENAMED.script(database_url))
        found = patient.examined(code=14)
        assert (found["table contract"]["verdict"], found["tables"]["verdict"]) == ("failed", "not tried")
        assert "jobs.customer_id is missing" in found["table contract"]["message"]
        assert "job_runs.missed is NOT NULL without a default" in found["table contract"]["message"]

    def test_an_empty_database_has_no_contract_to_look_at(
        self, patient: Patient, make_postgres: Callable[[], str]
    ) -> None:
        patient.settings["database"]["url"] = make_postgres()
        found = patient.examined(code=14)
        assert (found["table contract"]["verdict"], found["tables"]["verdict"]) == ("not tried", "failed")

    def test_a_row_that_the_live_table_does_not_take_fails_the_trial_and_stays_nowhere(
        self, patient: Patient, database_url: str, tmp_path: Path
    ) -> None:
        run_script(database_url, STRICT.script(database_url))
        site = LiveSite(patient.cove, database_url, tmp_path, layout=STRICT)
        site.prepare()
        patient.settings["database"] = {"url": database_url, "schema": STRICT.schema}
        assert patient.examined(code=0)["trial write"]["verdict"] == "ok"
        patient.settings["backupchecks"] = {"status": {"warning": "So so"}}
        before = site.rows(f"SELECT * FROM {site.named('job_runs')}")
        found = patient.examined(code=14)
        failed = {name.removesuffix(" None") for name, check in found.items() if check["verdict"] == "failed"}
        # PostgreSQL says which words its ENUM has; what SQLite's CHECK takes shows only when it is tried
        assert failed == ({"trial write"} if database_url.startswith("sqlite") else {"table contract"})
        assert site.rows(f"SELECT * FROM {site.named('job_runs')}") == before

    def test_without_any_job_that_might_be_written_to_nothing_is_written(self, patient: Patient) -> None:
        patient.settings["backupchecks"] = {"create_jobs": False}
        assert patient.examined(code=0)["trial write"]["verdict"] == "not tried"


class TestRights:
    @pytest.fixture
    def limited(
        self, patient: Patient, make_postgres: Callable[[], str], postgres_url: str, tmp_path: Path
    ) -> Iterator[LiveSite]:
        """PostgreSQL with others' tables, and a role that has the rights which the README grants."""
        url, role = make_postgres(), f"role_{uuid.uuid4().hex}"
        run_script(postgres_url, f"CREATE ROLE {role} LOGIN PASSWORD 'example'")
        run_script(url, RENAMED.script(url))
        site = LiveSite(patient.cove, url, tmp_path, layout=RENAMED)
        site.prepare()
        run_script(url, GRANTS.format(role=role, database=sa.make_url(url).database, schema="public"))
        mine = sa.make_url(url).set(username=role, password="example").render_as_string(hide_password=False)
        patient.settings = {**site.content(), "database": {"url": mine}}
        site.settings["role"] = role
        yield site
        run_script(url, f"DROP OWNED BY {role}")
        run_script(postgres_url, f"DROP ROLE {role}")

    def test_those_that_the_readme_grants_are_enough(self, patient: Patient, limited: LiveSite) -> None:
        assert verdicts(patient.examined(code=0)) == HEALTHY
        limited.execute(
            f"REVOKE DELETE ON job_runs FROM {limited.settings['role']}",
            f"REVOKE UPDATE (cove_account_id) ON jobs FROM {limited.settings['role']}",
        )
        found = patient.examined(code=14)
        assert found["rights"]["verdict"] == "failed"
        assert [line.partition(" (the")[0] for line in found["rights"]["message"].splitlines()[1:]] == [
            "UPDATE (cove_account_id) on jobs", "DELETE on job_runs",
        ]  # fmt: skip
        assert found["rights"]["advice"].splitlines()[1:] == [
            f'GRANT SELECT, INSERT, UPDATE ("cove_account_id") ON public.jobs TO {limited.settings["role"]};',
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON public.job_runs TO {limited.settings['role']};",
        ]
        assert found["trial write"]["verdict"] == found["login"]["verdict"] == "not tried"

    def test_a_sequence_that_may_not_be_used_fails_the_trial(self, patient: Patient, limited: LiveSite) -> None:
        limited.execute(f"REVOKE USAGE ON SEQUENCE job_runs_id_seq FROM {limited.settings['role']}")
        found = patient.examined(code=14)
        assert (found["rights"]["verdict"], found["trial write"]["verdict"]) == ("ok", "failed")
        assert "job_runs_id_seq" in found["trial write"]["message"]


class TestClock:
    @pytest.mark.parametrize(
        ("ahead", "verdict", "text"),
        [
            (60, "ok", "this machine's clock and Cove's differ by 60 s"),
            (-61, "warning", "this machine's clock is 61 s ahead of Cove's"),
            (630, "warning", "this machine's clock is 10 minutes behind Cove's"),
            (900, "warning", "this machine's clock is 15 minutes behind Cove's"),
            (901, "failed", "this machine's clock is 15 minutes behind Cove's"),
        ],
    )
    def test_it_is_judged_by_how_far_it_is_from_another(self, ahead: float, verdict: str, text: str) -> None:
        told = clock(timedelta(seconds=ahead), "Cove's")
        assert (told.verdict.value, told.message, told.exit_code) == (verdict, text, 13 if verdict == "failed" else 0)

    def test_it_is_compared_with_coves(self, patient: Patient) -> None:
        patient.cove.faults.clock_ahead_seconds = 1230
        told = patient.examined(code=13)["clock"]
        assert (told["verdict"], told["message"]) == ("failed", "this machine's clock is 20 minutes behind Cove's")

    def test_without_coves_the_databases_will_do(self, patient: Patient, make_postgres: Callable[[], str]) -> None:
        patient.settings["database"]["url"] = make_postgres()
        patient.run("migrate")
        patient.settings["api"]["url"] = "http://127.0.0.1:9/jsonapi"
        told = patient.examined(code=13)["clock"]
        assert told["verdict"] == "ok"
        assert "the database's" in told["message"]

    def test_without_either_it_is_not_tried(self) -> None:
        assert clock(None, "the database's").verdict is Verdict.NOT_TRIED


class TestLastPoll:
    @pytest.mark.parametrize(
        ("minutes", "outcome", "verdict", "text"),
        [
            (90, "ok", "ok", "last successful poll 90 minutes ago"),
            (91, "ok", "warning", "last successful poll 91 minutes ago, so this is old"),
            (30, "partial", "warning", "last successful poll 30 minutes ago; the newest could not read everything: no"),
            (30, "error", "failed", "last successful poll 30 minutes ago; the newest failed: no"),
        ],
    )  # fmt: skip
    def test_it_is_judged_by_its_outcome_and_age(self, minutes: int, outcome: str, verdict: str, text: str) -> None:
        at = NOW - timedelta(minutes=minutes)
        newest = {"started_at": at, "finished_at": at, "outcome": outcome, "exit_code": 13}
        check = judged_poll("main", PollState("main", at, outcome, "no", at), newest, NOW, timedelta(minutes=90))
        assert (check.verdict.value, check.message, check.exit_code) == (verdict, text, 13 * (verdict == "failed"))

    @pytest.mark.parametrize(
        ("poll_at", "began", "verdict", "end"),
        [
            (NOW - timedelta(minutes=40), 10, "ok", "; one began 10 minutes ago and is at work"),
            (NOW - timedelta(hours=10), 540, "warning", "; one began 9 hours ago and never came to its end"),
            (None, 10, "warning", "has never been polled, so nothing is known of its devices; one began 10 minutes ago"
             " and is at work"),
        ],
    )  # fmt: skip
    def test_one_at_work_is_told_and_changes_nothing_of_what_is_known(
        self, poll_at: datetime | None, began: int, verdict: str, end: str
    ) -> None:
        poll = PollState("main", poll_at, "ok", None, poll_at) if poll_at else None
        newest = {"started_at": NOW - timedelta(minutes=began), "finished_at": None, "outcome": "running"}
        check = judged_poll("main", poll, newest, NOW, timedelta(minutes=90))
        assert (check.verdict.value, check.message[-len(end) :]) == (verdict, end)

    def test_one_that_failed_fails_with_its_code_and_one_that_was_partial_warns(self, patient: Patient) -> None:
        patient.cove.faults.forbidden_methods = frozenset({"EnumerateAccountStatistics"})
        assert patient.run("sync") == 12
        patient.cove.faults.forbidden_methods = frozenset()
        assert patient.examined(code=12)["last poll"]["message"].startswith(
            "no poll has ever been successful, so nothing is known of its devices; the newest failed: Cove does"
        )
        patient.cove.faults.edit_row = lambda row, device: {**row, "I1": ""} if device.account_id % 2 else row
        patient.run("sync")
        assert patient.examined(code=0)["last poll"]["verdict"] == "warning"


@pytest.mark.parametrize(
    ("module", "function", "name"),
    [
        (cove_checks, "ask_time", "TLS"),
        (cove_checks, "partner_name", "login"),
        (Trial, "write", "trial write"),
        (Trial, "refused_rights", "rights"),
        (Trial, "inspection", "database"),
        (examination, "last_poll", "last poll"),
        (examination, "_can_be_seen", "secret files"),
    ],
)
def test_a_check_that_breaks_is_told_and_hides_no_other(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, module: object, function: str, name: str
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(module, function, broken)
    found = patient.examined(code=1)
    assert (found[name]["verdict"], found[name]["code"]) == ("failed", "bug")
    assert "ZeroDivisionError" in found[name]["message"]
    assert found.keys() >= set(EVERY_CHECK)

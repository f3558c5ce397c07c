"""Linking the devices of several polls, on both databases: what is there is found, what is not is made once."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from cove_poller.commands.record_jobs import Linker, Links, replaced_devices
from cove_poller.config.settings import BackupchecksSettings
from cove_poller.database.engine import Database, Mode, migrate_database, open_database
from cove_poller.database.store import Store
from cove_poller.records.device import Device, DeviceFields
from tests.conftest import Cli
from tests.world.fake_cove import FakeCove, make_fleet, serving
from tests.world.prepared import make_config

BAKERY, DENTAL = 1001, 1002
BEGIN = datetime(2026, 3, 2, tzinfo=UTC)


def device(
    account_id: int, computer: str, customer: str | None = "Bakery", partner: int | None = BAKERY, name: str = "{}_abc"
) -> Device:
    fields = DeviceFields(name=name.format(computer), computer_name=computer, customer_name=customer, os_type=2)
    return Device(account_id=account_id, partner_id=partner, fields=fields, sources={})


def poll(database: Database, *devices: Device, at: datetime = BEGIN, **settings: Any) -> Links:
    """A poll of its own: its linker has seen nothing yet. The devices are recorded with the jobs found for them."""
    with database.store() as store:
        return save(store, Linker(BackupchecksSettings(**settings)), devices, at)


def save(store: Store, linker: Linker, devices: Iterable[Device], at: datetime = BEGIN) -> Links:
    before = store.devices.rows(one.account_id for one in devices)
    links = linker.link(store, list(devices), before)
    common = {"login": "main", "data_sources": {}, "status": "success", "ignored": False, "last_seen_at": at}
    rows = [
        {
            **common,
            "account_id": one.account_id,
            "partner_id": one.partner_id,
            "device_name": one.name,
            "computer_name": one.fields.computer_name,
            "customer_name": one.fields.customer_name or "",
            "device_type": one.device_type,
            "first_seen_at": before.get(one.account_id, {"first_seen_at": at})["first_seen_at"],
        }
        for one in devices
    ]
    new = [row for row in rows if row["account_id"] not in before]
    store.devices.save(new, [row for row in rows if row["account_id"] in before])
    return links


def mark_gone(database: Database, seen: Iterable[int], at: datetime) -> list[str]:
    with database.store() as store:
        missing = store.devices.not_listed("main", seen)
        store.devices.mark_gone([row["account_id"] for row in missing], at)
        return replaced_devices(store, at)


def names(links: Links) -> list[str]:
    return [one.name for one in links.new_customers]


def add(database: Database, table: str, *rows: dict[str, Any]) -> None:
    with database.transaction() as connection:
        for row in rows:
            connection.execute(getattr(database.tables, table).insert().values(active=True, **row))


def customer_id(database: Database, name: str) -> int:
    with database.store() as store:
        return next(number for number, found in store.jobs.customers() if found == name)


def job(database: Database, name: str, customer: str = "Bakery") -> dict[str, Any]:
    number = customer_id(database, customer)
    return {"customer_id": number, "job_name": name, "backup_software": "Cove Data Protection", "backup_type": "Server"}


def test_a_second_poll_finds_what_the_first_has_made_and_makes_nothing(database: Database) -> None:
    devices = device(1, "SRV1"), device(2, "SRV2")
    first = poll(database, *devices)
    assert (names(first), first.new_jobs) == (["Bakery"], ["SRV1 (Bakery)", "SRV2 (Bakery)"])
    second = poll(database, *devices)
    assert (second.jobs, second.new_customers, second.new_jobs) == (first.jobs, [], [])


def test_a_device_that_comes_later_gets_a_job_with_the_customer_that_is_there(database: Database) -> None:
    first = poll(database, device(1, "SRV1"))
    second = poll(database, device(1, "SRV1"), device(2, "SRV2"))
    assert (second.new_customers, second.new_jobs) == ([], ["SRV2 (Bakery)"])
    assert second.jobs[1] == first.jobs[1] != second.jobs[2]


def test_a_renamed_device_and_customer_keep_their_job(database: Database) -> None:
    first = poll(database, device(1, "SRV1"))
    second = poll(database, device(1, "NEW", customer="Brot AG"))
    assert (second.jobs, second.new_customers, second.new_jobs) == (first.jobs, [], [])


def test_a_company_whose_name_is_only_alike_is_kept_apart_from_the_one_that_was_polled_before(
    database: Database,
) -> None:
    poll(database, device(1, "SRV1", "Bakery"))
    second = poll(database, device(2, "SRV2", "BAKERY (it@other.example)", DENTAL))
    assert second.jobs == {}
    assert "has devices of another Cove customer" in second.unlinked[2]
    assert poll(database, device(3, "SRV3", "BAKERY (it@bakery.example)", BAKERY)).jobs.keys() == {3}


def test_two_companies_of_one_poll_whose_names_differ_by_the_mail_address_share_no_customer(
    database: Database,
) -> None:
    links = poll(database, device(1, "SRV1", "Bakery (a@b.example)"), device(2, "SRV2", "Bakery (c@d.example)", DENTAL))
    assert (names(links), [*links.jobs], [*links.unlinked]) == (["Bakery"], [1], [2])


def test_of_two_free_jobs_with_one_name_none_is_taken(database: Database) -> None:
    add(database, "customers", {"name": "Bakery"})
    add(database, "jobs", job(database, "SRV1"), job(database, "srv1"))
    links = poll(database, device(1, "SRV1"))
    assert (links.jobs, links.unlinked) == ({}, {1: "2 jobs are called 'SRV1'"})
    with database.store() as store:
        assert [one.account_id for one in store.jobs.free()] == [None, None]


def test_of_two_customers_with_one_name_none_is_taken(database: Database) -> None:
    add(database, "customers", {"name": "Bakery"}, {"name": "Bakery"})
    links = poll(database, device(1, "SRV1"))
    assert (links.jobs, links.unlinked) == ({}, {1: "2 customers are called 'Bakery'"})


def test_a_free_job_is_taken_by_one_device_only_and_for_good(database: Database) -> None:
    add(database, "customers", {"name": "Bakery"})
    add(database, "jobs", job(database, "SRV1"))
    links = poll(database, device(1, "SRV1"), device(2, "SRV1"))
    assert (links.new_jobs, len(set(links.jobs.values()))) == (["SRV1_abc (Bakery)"], 2)
    again = poll(database, device(2, "SRV1"), device(1, "SRV1"))
    assert (again.jobs, again.new_jobs) == (links.jobs, [])


def test_a_job_of_another_software_is_not_taken(database: Database) -> None:
    add(database, "customers", {"name": "Bakery"})
    add(database, "jobs", {**job(database, "SRV1"), "backup_software": "Other"})
    assert poll(database, device(1, "SRV1"), create_jobs=False).unlinked == {1: "there is no job 'SRV1'"}
    assert poll(database, device(1, "SRV1")).new_jobs == ["SRV1 (Bakery)"]


def test_two_jobs_that_are_linked_to_one_device_are_a_persons_to_choose_from(database: Database) -> None:
    add(database, "customers", {"name": "Bakery"})
    add(database, "jobs", *({**job(database, name), "cove_account_id": 1} for name in ("one", "two")))
    assert poll(database, device(1, "SRV1")).unlinked == {1: "2 jobs have its cove_account_id"}


def test_what_may_not_be_made_is_linked_as_soon_as_somebody_makes_it(database: Database) -> None:
    assert poll(database, device(1, "SRV1"), create_customers=False).unlinked == {1: "there is no customer 'Bakery'"}
    add(database, "customers", {"name": "Bakery"})
    assert poll(database, device(1, "SRV1"), create_jobs=False).unlinked == {1: "there is no job 'SRV1'"}
    add(database, "jobs", job(database, "SRV1"))
    assert poll(database, device(1, "SRV1"), create_jobs=False).jobs.keys() == {1}


def test_a_device_that_sends_no_name_keeps_its_job_and_gets_none_that_it_has_not(database: Database) -> None:
    first = poll(database, device(1, "SRV1"))
    nameless = device(1, "SRV1", customer=None), device(2, "SRV2", customer=None), device(3, "SRV3", name="")
    second = poll(database, *nameless)
    assert (second.jobs, second.new_jobs, second.events) == (first.jobs, [], [])
    assert second.unlinked == {2: "Cove sends no customer for it", 3: "Cove sends no name for it"}


def test_a_name_in_the_map_without_the_mail_address_finds_the_customer(database: Database) -> None:
    add(database, "customers", {"name": "Bakker"})
    links = poll(database, device(1, "SRV1", "Bakkerij A (a@b.example)"), customers={"Bakkerij A": "Bakker"})
    assert (names(links), links.new_jobs) == ([], ["SRV1 (Bakkerij A (a@b.example))"])


def test_a_customer_is_created_once_without_the_mail_address_and_told_with_the_names_near_it(
    database: Database,
) -> None:
    add(database, "customers", {"name": "Bakker"}, {"name": "Bakkerij A."}, {"name": "Garage"})
    linker = Linker(BackupchecksSettings())
    with database.store() as store:
        pages = [
            save(store, linker, [device(1, "SRV1", "Bakkerij A (a@b.example)"), device(2, "SRV2", "BAKKERIJ A")]),
            save(store, linker, [device(3, "SRV3", "Bakkerij B (a@b.example)", DENTAL)]),
        ]
    assert [one.as_toml() for links in pages for one in links.new_customers] == [
        '"Bakkerij A (a@b.example)" = "Bakkerij A"  # like: "Bakkerij A.", "Bakker"',
        '"Bakkerij B (a@b.example)" = "Bakkerij B"  # like: "Bakkerij A.", "Bakker"',  # not those just made
    ]
    assert [{*links.jobs} for links in pages] == [{1, 2}, {3}]


class TestMoves:
    def test_one_to_another_customer_keeps_its_job_and_is_named_once_with_the_command(self, database: Database) -> None:
        first = poll(database, device(1, "SRV1"), device(2, "SRV2"))
        moved = device(1, "SRV1", "Dental", DENTAL), device(2, "SRV2")
        second, third = poll(database, *moved), poll(database, *moved)
        assert second.events == [
            "Dental, SRV1 (device 1) has moved in Cove; before, its customer was Bakery. Its runs stay with job"
            f" SRV1 (id {first.jobs[1]}) of Bakery; to move it: cove-poller devices link 1 --job JOB_ID"
            " (JOB_ID is a job of the new customer; make one in Backupchecks if there is none)"
        ]
        assert (second.jobs, second.new_customers, second.new_jobs) == (first.jobs, [], [])
        assert (third.jobs, third.events) == (first.jobs, [])

    def test_the_command_has_the_free_job_that_waits_for_it(self, database: Database) -> None:
        poll(database, device(1, "SRV1"))
        add(database, "customers", {"name": "Dental"})
        add(database, "jobs", job(database, "SRV1", "Dental"))
        with database.store() as store:
            (free,) = store.jobs.free()
        (event,) = poll(database, device(1, "SRV1", "Dental", DENTAL)).events
        assert event.endswith(f"to move it: cove-poller devices link 1 --job {free.id}")

    def test_one_whose_job_is_with_the_new_customer_already_needs_no_command(self, database: Database) -> None:
        poll(database, device(1, "SRV1"))
        assert poll(database, device(1, "SRV1", "Dental", DENTAL), customers={"Dental": "Bakery"}).events == []

    def test_a_renamed_customer_is_no_move(self, database: Database) -> None:
        poll(database, device(1, "SRV1"))
        assert poll(database, device(1, "SRV1", "Brot AG")).events == []

    def test_one_that_had_no_job_gets_one_with_the_new_customer_and_is_not_named(self, database: Database) -> None:
        poll(database, device(1, "SRV1"), create_customers=False)
        links = poll(database, device(1, "SRV1", "Dental", DENTAL))
        assert (links.new_jobs, links.events) == (["SRV1 (Dental)"], [])


class TestNewAccounts:
    EVENT = (
        "Bakery, srv1 (device 2) is the computer of Bakery, SRV1 (device 1), which Cove no longer lists, under a"
        " new account; its earlier runs are in the job of the old one"
    )
    NEW = device(2, "srv1", name="SRV1_new")

    def test_a_computer_whose_old_account_was_gone_before_is_named_once(self, database: Database) -> None:
        poll(database, device(1, "SRV1"))
        assert mark_gone(database, [], BEGIN + timedelta(days=1)) == []
        later = BEGIN + timedelta(days=2)
        assert poll(database, self.NEW, at=later).events == [self.EVENT]
        assert poll(database, self.NEW, at=later).events == mark_gone(database, [2], later) == []

    def test_one_whose_old_account_vanishes_in_the_same_poll_is_named_once(self, database: Database) -> None:
        poll(database, device(1, "SRV1"))
        later = BEGIN + timedelta(days=1)
        assert poll(database, self.NEW, at=later).events == []
        assert mark_gone(database, [2], later) == [self.EVENT]
        assert poll(database, self.NEW, at=later).events == mark_gone(database, [2], later + timedelta(hours=1)) == []

    def test_one_that_was_there_beside_the_other_all_the_time_is_another_computer(self, database: Database) -> None:
        poll(database, device(1, "SRV1"), at=BEGIN)
        poll(database, self.NEW, at=BEGIN)
        poll(database, device(1, "SRV1"), at=BEGIN + timedelta(days=9))
        assert mark_gone(database, [2], BEGIN + timedelta(days=10)) == []

    @pytest.mark.parametrize(
        "other", [device(2, "SRV1", "Dental", DENTAL), device(2, "SRV2"), device(2, "", name="SRV1_abc")]
    )
    def test_another_customers_or_another_computer_is_not_named(self, database: Database, other: Device) -> None:
        poll(database, device(1, "SRV1"), device(3, ""))
        mark_gone(database, [], BEGIN)
        assert poll(database, other).events == []


LOGINS = 8


def pages_of(login: int) -> list[list[Device]]:
    """What one of eight logins lists, page by page: the next one lists half of it too, and all have one customer."""
    return [
        [
            device(100 + number, f"SRV{number}", f"Customer {number // 2} (it@c.example)", number // 2),
            device(1000 + 10 * number + login, f"PC{number}-{login}", "All", 99),
        ]
        for number in (shared % (LOGINS * 2) for shared in range(login * 2, login * 2 + 4))
    ]


def what_eight_make(url: str, wait: Callable[[], object], at_once: int) -> tuple[list[tuple[Any, ...]], list[Links]]:
    """Poll with the eight logins, so many `at_once`, each with connections of its own and a `wait` between look and
    lock. Return customers and jobs as they stand then, and what each page told."""
    config = make_config(url)
    migrate_database(config, None, dry_run=False)

    def run(login: int) -> list[Links]:
        linker = Linker(BackupchecksSettings())
        with open_database(config, None, Mode.WRITE) as own:
            return [run_page(own, linker, page) for page in pages_of(login)]

    def run_page(own: Database, linker: Linker, page: list[Device]) -> Links:
        with own.store() as store:
            hold = store.jobs.hold_creation
            store.jobs.hold_creation = lambda: (wait(), hold())  # type: ignore[method-assign, assignment]
            return save(store, linker, page)

    with ThreadPoolExecutor(at_once) as threads:
        told = [links for pages in threads.map(run, range(LOGINS)) for links in pages]
    with open_database(config, None, Mode.READ) as database, database.store() as store:
        jobs = [job for jobs in store.jobs.linked().values() for job in jobs]
        customers = [(name,) for _, name in store.jobs.customers()]
    return sorted([*customers, *((job.customer, job.name, job.account_id) for job in jobs)]), told


def test_eight_that_start_at_once_make_what_one_after_the_other_would(database_url: str, tmp_path: Path) -> None:
    all_have_looked = Barrier(LOGINS, timeout=60)
    is_sqlite = database_url.startswith("sqlite")  # there, nobody looks while another one may write
    made, told = what_eight_make(database_url, (lambda: None) if is_sqlite else all_have_looked.wait, LOGINS)
    in_turn, _ = what_eight_make(f"sqlite:///{tmp_path / 'in_turn.db'}", lambda: None, at_once=1)
    assert made == in_turn
    assert [links.unlinked for links in told if links.unlinked] == []
    assert (sum(len(one.new_customers) for one in told), sum(len(one.new_jobs) for one in told)) == (9, 48)


EVERYTHING = (
    "SELECT name FROM customers",
    "SELECT name, job_name, cove_account_id FROM jobs JOIN customers ON customers.id = customer_id",
    "SELECT account_id, status, job_id IS NULL FROM cove_devices",
    "SELECT account_id, data_source, session_at, status, job_run_id IS NULL FROM cove_sessions",
    "SELECT external_id, run_at, status, remark FROM job_runs",
)


def test_eight_processes_whose_logins_list_the_same_leave_what_one_after_the_other_would(
    cli: Cli, make_postgres: Callable[[], str]
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    logins = [f"login{number}" for number in range(LOGINS)]
    found = []
    with serving(FakeCove(make_fleet(seed=4, begin=now - timedelta(days=2), days=2, devices=12), now)) as cove:
        for at_once in (1, LOGINS):
            config = make_config(url := make_postgres())
            migrate_database(config, None, dry_run=False)
            text = f"[database]\nurl = '{url}'\n[api]\nurl = '{cove.url}'\n"
            text += "requests_per_second = 1000\npage_size = 4\n"
            text += "".join(
                f"[logins.{one}]\nusername = 'api-poller'\npassword = '{cove.password}'\n" for one in logins
            )
            cli.write_config(text)
            with ThreadPoolExecutor(at_once) as threads:
                done = [*threads.map(lambda login: cli("sync", "--login", login), logins)]
            assert [(one.returncode, one.stdout, one.stderr) for one in done] == [(0, "", "")] * LOGINS
            with open_database(config, None, Mode.READ) as database, database.transaction() as connection:
                found.append([sorted(map(str, connection.exec_driver_sql(query))) for query in EVERYTHING])
    assert found[0] == found[1]
    assert all(found[0])


def test_where_nothing_is_to_be_made_nobody_waits_for_whoever_makes_something(make_postgres: Callable[[], str]) -> None:
    config = make_config(make_postgres())
    migrate_database(config, None, dry_run=False)
    with open_database(config, None, Mode.WRITE) as database:
        first = poll(database, device(1, "SRV1"), device(2, "SRV2", "Dental"))
        with database.store() as busy:
            busy.jobs.hold_creation()
            with ThreadPoolExecutor(1) as threads:
                later = threads.submit(poll, database, device(1, "SRV1"), device(3, "SRV3"), create_jobs=False)
                assert later.result(timeout=20).unlinked == {3: "there is no job 'SRV3'"}
    assert first.unlinked == {}

"""Linking the devices of several polls, on both databases: what is there is found, what is not is made once."""

from typing import Any

import sqlalchemy as sa

from cove_poller.commands.record_jobs import Linker, Links
from cove_poller.config.settings import BackupchecksSettings
from cove_poller.database.engine import Database
from cove_poller.records.device import Device, DeviceFields

BAKERY, DENTAL = 1001, 1002


def device(account_id: int, computer: str, customer: str = "Bakery", partner: int = BAKERY) -> Device:
    fields = DeviceFields(name=f"{computer}_abc", computer_name=computer, customer_name=customer, os_type=2)
    return Device(account_id=account_id, partner_id=partner, fields=fields, sources={})


def poll(database: Database, *devices: Device, **settings: Any) -> Links:
    """A poll of its own: its linker has seen nothing yet. The devices are recorded with the jobs found for them."""
    with database.store() as store:
        links = Linker(BackupchecksSettings(**settings)).link(store, devices)
    with database.transaction() as connection:
        table = database.tables.devices
        connection.execute(sa.delete(table).where(table.c.account_id.in_([one.account_id for one in devices])))
        for one in devices:
            connection.exec_driver_sql(
                "INSERT INTO cove_devices (account_id, login, partner_id, device_name, customer_name, device_type,"
                " data_sources, status, first_seen_at, last_seen_at) VALUES"
                f" ({one.account_id}, 'main', {one.partner_id}, 'x', 'x', 'Server', '{{}}', 'success',"
                " '2026-03-02', '2026-03-02')"
            )
    return links


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
    assert (first.new_customers, first.new_jobs) == (["Bakery"], ["SRV1 (Bakery)", "SRV2 (Bakery)"])
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
    assert (links.new_customers, {*links.jobs}, {*links.unlinked}) == (["Bakery"], {1}, {2})


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

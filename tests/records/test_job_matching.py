"""Which customer and job a device belongs to: by names, and never by guessing."""

import pytest

from cove_poller.records.job_matching import (
    Customers,
    Job,
    NewCustomer,
    NewJob,
    Unlinked,
    find_job,
    job_names,
    simplified,
    without_mail_address,
)

Found = int | NewCustomer | Unlinked
BAKERY, DENTAL = 1001, 1002


def customers(*names: str, partners: tuple[tuple[int, int | None], ...] = ()) -> Customers:
    """Customers with the ids 1, 2, ... in Backupchecks, and which Cove partners have devices with them."""
    return Customers(enumerate(names, 1), partners)


def found(known: Customers, name: str, partner: int = BAKERY, *, may_create: bool = True, **mapped: str) -> Found:
    return known.find(name, partner, mapped, may_create=may_create)


@pytest.mark.parametrize(
    ("name", "stripped"),
    [
        ("Bakery (it@bakery.example)", "Bakery"),
        ("Bakery (Berlin) (it@bakery.example) ", "Bakery (Berlin)"),
        ("Bakery (Berlin)", "Bakery (Berlin)"),
        ("(it@bakery.example)", "(it@bakery.example)"),
    ],
)
def test_only_a_trailing_mail_address_is_taken_off_a_name(name: str, stripped: str) -> None:
    assert without_mail_address(name) == stripped


def test_case_spaces_and_mail_address_do_not_make_a_name_another_one() -> None:
    assert simplified("Bäckerei  STRASSE (a@b.example)") == simplified("bäckereistraße")


class TestCustomer:
    def test_an_exact_name_goes_before_one_that_is_alike(self) -> None:
        assert found(customers("bakery", "Bakery"), "Bakery") == 2

    def test_one_that_is_alike_is_found_too(self) -> None:
        assert found(customers("the  BAKERY"), "The Bakery (it@bakery.example)") == 1

    def test_one_that_does_not_exist_is_created_without_the_mail_address(self) -> None:
        assert found(customers(), "Bakery (it@bakery.example)") == NewCustomer("Bakery")

    def test_one_that_may_not_be_created_is_named(self) -> None:
        assert found(customers(), "Bakery", may_create=False) == Unlinked("there is no customer 'Bakery'")

    @pytest.mark.parametrize("name", ["Bakery", "bakery"])
    def test_two_with_the_name_or_one_like_it_are_never_chosen_from(self, name: str) -> None:
        match = found(customers("Bakery", "Bakery"), name)
        assert isinstance(match, Unlinked)
        assert match.reason.startswith("2 customers")

    def test_the_configured_map_is_taken_at_its_word(self) -> None:
        assert found(customers("Bakery", "Brot AG"), "Bakery", Bakery="Brot AG") == 2
        assert found(customers(), "Bakery", Bakery="Brot (x@y.example)") == NewCustomer("Brot (x@y.example)")

    def test_one_that_is_only_alike_and_has_devices_of_another_partner_is_another_company(self) -> None:
        known = customers("Bakery", partners=((1, DENTAL),))
        match = found(known, "bakery")
        assert isinstance(match, Unlinked)
        assert match.reason == "the customer with a name like 'bakery' has devices of another Cove customer"

    def test_that_counts_neither_for_its_own_partner_nor_the_exact_name_nor_the_map(self) -> None:
        known = customers("Bakery", partners=((1, DENTAL),))
        assert found(known, "bakery", DENTAL) == 1
        assert found(known, "Bakery") == 1
        assert found(known, "Brot", Brot="bakery") == 1

    def test_one_that_was_just_added_is_found_and_belongs_to_its_partner(self) -> None:
        known = customers()
        known.add(7, "Bakery")
        known.add_partner(7, DENTAL)
        assert found(known, "Bakery") == 7
        assert isinstance(found(known, "bakery"), Unlinked)
        assert found(known, "bakery", DENTAL) == 7


def job(job_id: int, name: str, account: int | None = None) -> Job:
    return Job(job_id, 1, name, account)


class TestJob:
    def test_a_server_is_looked_for_by_its_computer_and_a_tenant_by_its_device(self) -> None:
        assert [*job_names(7, "srv_abc", "SRV", "Server")] == ["SRV", "srv_abc", "srv_abc (7)"]
        assert [*job_names(7, "tenant", "SRV", "Microsoft 365")] == ["tenant", "tenant (7)"]
        assert [*job_names(7, "srv_abc", None, "Server")] == ["srv_abc", "srv_abc (7)"]

    def test_the_free_one_with_the_first_name_is_taken_whatever_its_case(self) -> None:
        assert find_job(["SRV", "other"], [job(1, "other"), job(2, "srv")], may_create=True) == job(2, "srv")

    def test_two_free_ones_of_one_name_are_never_chosen_from(self) -> None:
        jobs = [job(1, "SRV"), job(2, "srv"), job(3, "other")]
        assert find_job(["SRV", "other"], jobs, may_create=True) == Unlinked("2 jobs are called 'SRV'")

    def test_of_two_the_one_that_is_free_is_taken(self) -> None:
        assert find_job(["SRV"], [job(1, "SRV", 9), job(2, "SRV")], may_create=True) == job(2, "SRV")

    def test_a_name_that_another_device_has_taken_makes_way_for_the_next(self) -> None:
        assert find_job(["SRV", "srv_abc"], [job(1, "SRV", 9)], may_create=True) == NewJob("srv_abc")
        taken = [job(1, "SRV", 9), job(2, "srv_abc", 8)]
        assert find_job(["SRV", "srv_abc"], taken, may_create=True) == Unlinked("all names for its job are taken")

    def test_one_that_may_not_be_created_is_named(self) -> None:
        assert find_job(["SRV"], [], may_create=False) == Unlinked("there is no job 'SRV'")

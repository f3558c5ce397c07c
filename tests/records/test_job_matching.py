"""Which customer and job a device belongs to: by names, and never by guessing."""

import tomllib
from typing import Any

import pytest

from cove_poller.config.settings import Config
from cove_poller.records.job_matching import (
    CreatedCustomer,
    Customers,
    Job,
    NewCustomer,
    NewJob,
    Unlinked,
    find_job,
    has_moved,
    is_same_customer,
    job_names,
    moved,
    near_names,
    simplified,
    unused_names,
    without_mail_address,
)

Found = int | NewCustomer | Unlinked
BAKERY, DENTAL = 1001, 1002


def customers(*names: str, partners: tuple[tuple[int, int | None, str], ...] = ()) -> Customers:
    """Customers with the ids 1, 2, ... in Backupchecks, and which Cove customers have devices with them."""
    return Customers(enumerate(names, 1), partners)


def found(known: Customers, name: str, partner: int = BAKERY, *, may_create: bool = True, **mapped: str) -> Found:
    return known.find(name, partner, mapped, may_create=may_create)


def in_map(known: Customers, name: str, partner: int, mapped: dict[str, str]) -> Found:
    return known.find(name, partner, mapped, may_create=True)


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

    def test_the_map_may_leave_out_the_mail_address_but_not_have_another_one_or_another_name(self) -> None:
        known = customers("Bakker")
        name = "Bakkerij A (a@b.example)"
        assert in_map(known, name, BAKERY, {"Bakkerij A": "Bakker"}) == 1
        assert in_map(known, name, BAKERY, {name: "Bakker"}) == 1
        for other in ("Bakkerij A (c@d.example)", "Bakkerij", "Bakkerij A "):
            assert in_map(known, name, BAKERY, {other: "Bakker"}) == NewCustomer("Bakkerij A")
        assert in_map(customers(), name, BAKERY, {"Bakkerij A": "Bakker"}) == NewCustomer("Bakker")

    def test_the_full_name_in_the_map_goes_before_the_one_without_a_mail_address(self) -> None:
        mapped = {"Bakkerij A": "Bakker", "Bakkerij A (a@b.example)": "Brood"}
        known = customers("Bakker", "Brood")
        assert in_map(known, "Bakkerij A (a@b.example)", BAKERY, mapped) == 2
        assert in_map(known, "Bakkerij A (c@d.example)", DENTAL, mapped) == 1

    def test_two_of_which_one_is_alike_to_a_name_in_the_map_are_never_chosen_from(self) -> None:
        match = in_map(customers("BAKKER", "bakker"), "Bakkerij A", BAKERY, {"Bakkerij A": "Bakker"})
        assert match == Unlinked("2 customers have names like 'Bakker'")

    def test_one_that_is_only_alike_and_has_devices_of_another_partner_is_another_company(self) -> None:
        known = customers("Bakery", partners=((1, DENTAL, "Dental"),))
        match = found(known, "bakery")
        assert isinstance(match, Unlinked)
        assert match.reason == "the customer with a name like 'bakery' has devices of another Cove customer"

    def test_that_counts_neither_for_its_own_partner_nor_the_exact_name_nor_the_map(self) -> None:
        known = customers("Bakery", partners=((1, DENTAL, "Dental"),))
        assert found(known, "bakery", DENTAL) == 1
        assert found(known, "Bakery") == 1
        assert found(known, "Brot", Brot="bakery") == 1
        assert in_map(known, "Brot (a@b.example)", BAKERY, {"Brot": "bakery"}) == 1

    @pytest.mark.parametrize(
        ("name", "mapped"),
        [
            ("Bakkerij (c@d.example)", {"Bakkerij": "Bakker"}),  # the name in the map fits both
            ("Bakkerij", {"Bakkerij": "Bakker"}),
            ("Bakker", {}),  # the exact name
            ("bakker (c@d.example)", {}),
        ],
    )
    def test_two_that_differ_by_the_mail_address_only_share_no_customer(
        self, name: str, mapped: dict[str, str]
    ) -> None:
        other = "Bakkerij (a@b.example)" if mapped else "Bakker (a@b.example)"
        match = in_map(customers("Bakker", partners=((1, DENTAL, other),)), name, BAKERY, mapped)
        assert isinstance(match, Unlinked)
        assert "whose name differs by the mail address only" in match.reason
        assert in_map(customers("Bakker", partners=((1, BAKERY, other),)), name, BAKERY, mapped) == 1

    def test_they_do_where_the_map_names_both_in_full(self) -> None:
        mapped = {"Bakkerij (a@b.example)": "Bakker", "Bakkerij (c@d.example)": "Bakker"}
        known = customers("Bakker", partners=((1, DENTAL, "Bakkerij (a@b.example)"),))
        assert in_map(known, "Bakkerij (c@d.example)", BAKERY, mapped) == 1

    def test_a_customer_that_was_made_anew_in_cove_under_the_same_name_is_the_same(self) -> None:
        assert found(customers("Bakery", partners=((1, DENTAL, "Bakery"),)), "Bakery") == 1

    def test_one_that_a_device_was_just_found_with_belongs_to_its_partner(self) -> None:
        known = customers("Bakery")
        assert found(known, "BAKERY") == 1
        known.add_partner(1, DENTAL, "Bakery")
        assert isinstance(found(known, "BAKERY"), Unlinked)
        assert found(known, "BAKERY", DENTAL) == 1


class TestNearNames:
    def test_the_nearest_come_first_three_at_most_and_none_that_is_not_alike(self) -> None:
        assert near_names("Bakkerij A (a@b.example)", ["Dental", "Bakker", "Bakkerij A."]) == ("Bakkerij A.", "Bakker")
        assert near_names("Bakkerij A", ["Dental", "Garage"]) == ()
        assert len(near_names("Bakery 1", [f"Bakery 1{number}" for number in range(9)])) == 3

    def test_a_customer_to_be_created_is_a_line_of_toml_for_the_map(self) -> None:
        created = CreatedCustomer("Bakkerij A", "Bakkerij A (a@b.example)", ("Bakkerij A.", "Bakker"))
        line = '"Bakkerij A (a@b.example)" = "Bakkerij A"  # like: "Bakkerij A.", "Bakker"'
        assert created.as_toml() == line
        assert CreatedCustomer("Bäcker", "Bäcker").as_toml() == '"Bäcker" = "Bäcker"'
        odd = CreatedCustomer('"A"\\', '"A"\\\n', ("B\nC",))
        assert tomllib.loads(odd.as_toml()) == {'"A"\\\n': '"A"\\'}


class TestMoved:
    def test_another_partner_is_a_move_whatever_its_name(self) -> None:
        assert has_moved((BAKERY, "Bakery"), (DENTAL, "Dental"))
        assert has_moved((BAKERY, "Bakery"), (DENTAL, "Bakery"))

    def test_another_name_of_the_same_partner_is_none(self) -> None:
        assert not has_moved((BAKERY, "Bakery"), (BAKERY, "Brot AG"))

    def test_where_cove_tells_no_partner_the_name_decides(self) -> None:
        assert has_moved((None, "Bakery"), (DENTAL, "Dental"))
        assert not has_moved((BAKERY, "Bakery"), (None, "bakery (a@b.example)"))
        assert not has_moved((BAKERY, "Bakery"), (None, ""))
        assert not has_moved((None, ""), (BAKERY, "Bakery"))

    def test_a_customer_is_the_same_by_its_partner_or_its_name(self) -> None:
        assert is_same_customer((BAKERY, "Bakery"), (BAKERY, "Brot AG"))
        assert is_same_customer((BAKERY, "Bakery"), (DENTAL, "bakery (a@b.example)"))
        assert not is_same_customer((BAKERY, "Bakery"), (DENTAL, "Dental"))
        assert not is_same_customer((None, ""), (None, ""))

    def test_it_is_told_with_the_command_and_the_job_if_there_is_one(self) -> None:
        assert moved("Dental, SRV (device 7)", 7, "Bakery", "SRV (id 3) of Bakery", 9) == (
            "Dental, SRV (device 7) has moved in Cove; before, its customer was Bakery. Its runs stay with job"
            " SRV (id 3) of Bakery; to move it: cove-poller devices link 7 --job 9"
        )
        assert "cove-poller devices link 7 --job JOB_ID (" in moved("device 7", 7, "Bakery", "SRV", None)


class TestUnusedNames:
    LISTED = ("Bakkerij A (a@b.example)", "Dental")

    def config(self, **settings: Any) -> Config:
        return Config.model_validate(
            {"database": {"url": "sqlite://"}, "logins": {"main": {"username": "u", "password": "p"}}, **settings}
        )

    def texts(self, *listed: str, **settings: Any) -> list[str]:
        return [one.what for one in unused_names(self.config(**settings), listed).values()]

    def test_a_name_that_nobody_has_is_named_with_those_that_are_near(self) -> None:
        assert self.texts(*self.LISTED, backupchecks={"customers": {"Bakkerij": "Bakker"}}) == [
            '[backupchecks.customers] "Bakkerij": no customer is called so; near are: "Bakkerij A (a@b.example)"'
        ]
        intervals = {"customers": {"Garage": "2h"}}
        assert self.texts(*self.LISTED, intervals=intervals) == [
            '[intervals.customers] "Garage": no customer is called so'
        ]
        alerts = {"customers": {"Garage": {"server_hours": 9}}}
        assert self.texts(*self.LISTED, alerts=alerts) == ['[alerts.customers] "Garage": no customer is called so']

    def test_it_is_a_warning_and_has_a_key_that_stays_while_others_come_and_go(self) -> None:
        config = self.config(intervals={"customers": {"Garage": "2h"}})
        (found,) = unused_names(config, self.LISTED).items()
        assert (found[0], found[1].is_failure) == ("unused intervals Garage", False)
        assert unused_names(config, ["Garages"]).keys() == {"unused intervals Garage"}

    @pytest.mark.parametrize("name", ["Bakkerij A (a@b.example)", "Bakkerij A"])
    def test_a_name_with_or_without_the_mail_address_is_not_named(self, name: str) -> None:
        settings: dict[str, Any] = {
            "backupchecks": {"customers": {name: "Bakker"}},
            "intervals": {"customers": {name: "2h"}},
            "alerts": {"customers": {name: {"server_hours": 9}}},
        }
        assert self.texts(*self.LISTED, **settings) == []
        assert len(self.texts("Dental", **settings)) == 3

    def test_the_mail_address_of_somebody_else_is_named_but_for_alerts_where_it_does_not_count(self) -> None:
        name = "Bakkerij A (c@d.example)"
        assert len(self.texts(*self.LISTED, backupchecks={"customers": {name: "Bakker"}})) == 1
        assert len(self.texts(*self.LISTED, intervals={"customers": {name: "2h"}})) == 1
        assert self.texts(*self.LISTED, alerts={"customers": {name: {"server_hours": 9}}}) == []

    def test_for_alerts_the_name_in_backupchecks_counts_too(self) -> None:
        alerts = {"customers": {"bakker": {"server_hours": 9}}}
        assert self.texts(*self.LISTED, alerts=alerts, backupchecks={"customers": {"Bakkerij A": "Bakker"}}) == []
        assert unused_names(self.config(alerts=alerts), self.LISTED, ["Bakker"]) == {}
        assert len(self.texts(*self.LISTED, alerts=alerts)) == 1

    def test_a_listing_without_customers_says_nothing(self) -> None:
        assert self.texts(intervals={"customers": {"Garage": "2h"}}) == []


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

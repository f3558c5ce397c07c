"""URLs: which are refused, and what of them is hidden."""

import pytest
from pydantic import SecretStr

from cove_poller.config.urls import (
    checked_api_url,
    checked_database_url,
    checked_page_url,
    checked_ping_url,
    hidden_url,
    host_only,
    is_loopback,
    job_page,
    passwords_in_url,
)
from tests.world.configs import SECRET


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("localhost.example.com", False),
        ("192.0.2.1", False),
        ("0.0.0.0", False),
        ("", False),
        (None, False),
    ],
)
def test_this_machine_is_told_from_all_others(host: str | None, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/jsonapi",
        "http://localhost:8080/jsonapi",
        "http://127.0.0.1/jsonapi",
        "http://127.8.9.10:1/",
        "http://[::1]:8080/jsonapi",
    ],
)
def test_an_api_url_is_https_or_on_this_machine(url: str) -> None:
    assert checked_api_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        f"http://api.example.com/{SECRET}",
        f"http://192.0.2.1/{SECRET}",
        f"http://0.0.0.0/{SECRET}",
        f"http://localhost.example.com/{SECRET}",
        f"http://127.0.0.1.example.com/{SECRET}",
        f"http://localhost@example.com/{SECRET}",
        f"http://localhost:{SECRET}@example.com/",
        f"ftp://localhost/{SECRET}",
        f"api.example.com/{SECRET}",
        f"https://user:{SECRET}@api.example.com/",
        f"https://{SECRET}@api.example.com/",
        f"https://:{SECRET}@api.example.com/",
        f"http://user:{SECRET}@localhost/",
        f"https://[{SECRET}",
    ],
)
def test_an_api_url_that_would_show_the_password_is_refused_without_it(url: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - of several texts, none of which may show the URL
        checked_api_url(url)
    assert SECRET not in str(caught.value)


def test_a_ping_needs_a_host() -> None:
    good = SecretStr("https://hc.example.com/uuid")
    assert checked_ping_url(good) is good
    with pytest.raises(ValueError, match="names no host"):
        checked_ping_url(SecretStr("https:///uuid"))
    with pytest.raises(ValueError, match="must begin with https"):
        checked_ping_url(SecretStr("http://hc.example.com/uuid"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://bc@db/bc?sslmode=require", "postgresql+psycopg2://bc@db/bc?sslmode=require"),
        ("postgres://bc@db/bc", "postgresql+psycopg2://bc@db/bc"),
        ("postgresql+psycopg2://bc@db/bc", "postgresql+psycopg2://bc@db/bc"),
        ("sqlite:////var/lib/cove.db", "sqlite:////var/lib/cove.db"),
    ],
)
def test_a_database_url_gets_the_driver_that_is_installed(url: str, expected: str) -> None:
    assert checked_database_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://backupchecks:{SECRET}@db.example.com/backupchecks",
        f"postgresql+asyncpg://backupchecks:{SECRET}@db.example.com/backupchecks",
        f"postgresql:backupchecks:{SECRET}@db.example.com",
        f"sqlite:{SECRET}",
        f"{SECRET}@db.example.com/backupchecks",
        "",
    ],
)
def test_another_database_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"^must begin with postgresql:// or sqlite:///$"):
        checked_database_url(url)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://backupchecks:%2F{SECRET}%40@db.example.com/backupchecks",
        f"postgresql://:{SECRET}@db.example.com/backupchecks",
        f"postgresql://backupchecks:{SECRET}@/backupchecks?host=/run/postgresql",
        f"postgresql://backupchecks:slash/{SECRET}@db.example.com/backupchecks",
        f"postgresql://backupchecks:hash#{SECRET}@db.example.com/backupchecks",
        f"postgresql://backupchecks:what?{SECRET}@db.example.com/backupchecks",
        f"postgresql://backupchecks:bracket[{SECRET}@db.example.com/backupchecks",
        f"postgresql://backupchecks:in@vented:{SECRET}@db.example.com/backupchecks",
        f"postgresql://backupchecks@db.example.com/backupchecks?password={SECRET}",
        f"postgresql://backupchecks@db.example.com/backupchecks?sslpassword={SECRET}&sslmode=require",
    ],
)
def test_a_password_in_a_database_url_is_found_and_hidden(url: str) -> None:
    assert SECRET not in hidden_url(url)
    assert "********" in hidden_url(url)
    assert any(SECRET in password for password in passwords_in_url(url))


def test_a_password_in_a_url_is_found_as_it_stands_there_and_as_it_is_meant() -> None:
    assert passwords_in_url("postgresql://bc:p%40ss@db/bc") == ["p%40ss", "p@ss"]


@pytest.mark.parametrize("url", ["postgresql://backupchecks@db.example.com/backupchecks", "sqlite:////var/lib/cove.db"])
def test_a_url_without_a_password_stays_as_it_is(url: str) -> None:
    assert (hidden_url(url), passwords_in_url(url)) == (url, [])


def test_of_a_url_that_is_a_secret_only_the_host_is_shown() -> None:
    assert host_only(f"https://hc.example.com:8443/ping/{SECRET}?x={SECRET}") == "https://hc.example.com:8443/********"


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("https://bc.example.com", "https://bc.example.com/jobs/7"),
        ("https://bc.example.com/", "https://bc.example.com/jobs/7"),
        ("http://bc.example.com:8080/backup", "http://bc.example.com:8080/backup/jobs/7"),
        ("https://bc.example.com/job?id={job_id}#runs", "https://bc.example.com/job?id=7#runs"),
    ],
)
def test_a_jobs_page_is_below_backupchecks_url_or_where_its_own_place_is_named(url: str, page: str) -> None:
    assert job_page(checked_page_url(url), 7) == page


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("bc.example.com", "must begin with"),
        ("javascript:alert(1)", "must begin with"),
        ("https:///jobs", "then the host"),
        (f"https://me:{SECRET}@bc.example.com", "must not hold a user or password"),
        ("https://bc.example.com/{id}", "no other braces"),
        ("https://bc.example.com/a b", "no spaces"),
    ],
)
def test_what_is_no_page_that_people_can_open_is_refused(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        checked_page_url(url)
    assert SECRET not in str(caught.value)

"""Where a storage node may be asked: the account token, a permanent secret, goes there."""

import pytest

from cove_poller.cove.node_address import node_url
from cove_poller.errors import ApiError

API = "https://api.backup.management/jsonapi"
DOMAINS = ("cloudbackup.management",)


@pytest.mark.parametrize(
    "address",
    [
        "us-ch-0202-12.cloudbackup.management:443",
        "https://US-CH-0202-12.CloudBackup.Management:443/rcg/x",
        "US-CH-0202-12.cloudbackup.management.",
    ],
)
def test_a_node_in_the_domain_is_asked_by_https_at_its_host_alone(address: str) -> None:
    assert node_url(address, API, DOMAINS) == "https://us-ch-0202-12.cloudbackup.management/repserv_json"


@pytest.mark.parametrize(
    "address",
    [
        "evil.example.com:443",
        "cloudbackup.management.example.com",
        "evilcloudbackup.management",
        "cloudbackup.management@evil.example.com",
        "https://cloudbackup.management@evil.example.com/",
        "http://us-ch-0202-12.cloudbackup.management/",
        "127.0.0.1:8080",
        "localhost",
        "[::1]:443",
        "[",
        "",
        "node.cloudbackup.management:notaport",
        "a b.cloudbackup.management",
        "node\\.cloudbackup.management/../x",
    ],
)
def test_no_other_address_is_ever_asked(address: str) -> None:
    with pytest.raises(ApiError):
        node_url(address, API, DOMAINS)


def test_a_node_on_loopback_is_for_an_api_on_loopback() -> None:
    assert node_url("127.0.0.1:81", "http://localhost:80/jsonapi", DOMAINS) == "http://127.0.0.1:81/repserv_json"
    assert node_url("https://[::1]:81/rcg", "http://localhost:80/jsonapi", ()) == "https://[::1]:81/repserv_json"

"""A history that is read again: how much of it is asked for where the first page is all that was known."""

from datetime import timedelta

import pytest

from cove_poller.cove.client import CoveClient
from cove_poller.cove.listing import Listing
from cove_poller.cove.session_services import SessionHistory
from cove_poller.records.columns import M365_SERVICES
from cove_poller.records.device import Device
from cove_poller.records.past import Request
from cove_poller.records.statuses import Statuses
from cove_poller.records.window import Window
from tests.world.fake_cove import FakeCove, TrueSession


def device_of(kind: str, client: CoveClient) -> Device:
    partner_id = client.login().partner_id
    assert partner_id is not None
    devices = next(iter(Listing(client, partner_id).iter_pages())).devices
    return next(one for one in devices if one.device_type == kind)


@pytest.fixture
def server(client: CoveClient) -> Device:
    """A server with some sessions."""
    return device_of("Server", client)


@pytest.fixture
def tenant(client: CoveClient) -> Device:
    """A Microsoft 365 tenant with some sessions of each service."""
    return device_of("Microsoft 365", client)


@pytest.fixture
def history(cove: FakeCove, client: CoveClient) -> SessionHistory:
    return SessionHistory(client, Request(Window(cove.now - timedelta(days=28), cove.now)), Statuses())


def _asked(cove: FakeCove) -> int:
    return cove.count("QuerySessions")


def test_a_list_that_came_whole_on_its_first_page_again_is_not_asked_for_its_end(
    cove: FakeCove, history: SessionHistory, server: Device
) -> None:
    first = history.read(server)
    before = _asked(cove)
    assert history.read(server, first.digest).is_known
    assert _asked(cove) - before == 1


def test_what_is_new_behind_a_page_that_was_all_there_was_is_found_where_the_oldest_comes_first(
    cove: FakeCove, history: SessionHistory, server: Device
) -> None:
    cove.faults.ignores_order = True
    known = history.read(server)
    (device,) = (one for one in cove.fleet.devices if one.account_id == server.account_id)
    cove.faults.session_page_cap = sum(one.start <= cove.now for one in device.all_sessions())
    again = history.read(server, known.digest)
    assert again.is_known
    end = cove.now - timedelta(minutes=1)
    source = next(iter(device.sessions))
    device.sessions[source].append(TrueSession(source, end - timedelta(seconds=30), end, 2))
    found = history.read(server, known.digest)
    assert (found.is_known, len(found.sessions)) == (False, len(known.sessions) + 1)


def test_of_a_tenant_only_the_services_with_something_new_are_asked_for_their_end(
    cove: FakeCove, history: SessionHistory, tenant: Device
) -> None:
    known = history.read(tenant)
    before = cove.count("EnumerateSessions")
    assert history.read(tenant, known.digest).is_known
    assert cove.count("EnumerateSessions") - before == len(M365_SERVICES)
    (device,) = (one for one in cove.fleet.devices if one.account_id == tenant.account_id)
    end = cove.now - timedelta(minutes=1)
    source = next(iter(device.sessions))
    device.sessions[source].append(TrueSession(source, end - timedelta(seconds=30), end, 2))
    found = history.read(tenant, known.digest)
    assert (found.is_known, len(found.sessions)) == (False, len(known.sessions) + 1)
    assert cove.count("EnumerateSessions") - before == 2 * len(M365_SERVICES) + 1

"""Devices' pasts from Cove, each by the best of the ways that it allows."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from cove_poller.cove.client import CoveClient
from cove_poller.cove.listing import Listing
from cove_poller.cove.past_ways import Attempt, ByColorBar, BySessions, BySnapshots, Terms, Way
from cove_poller.records.columns import DataSource, label
from cove_poller.records.device import Device
from cove_poller.records.past import Past, Request
from cove_poller.records.session import Origin
from cove_poller.records.statuses import Statuses

NOTHING_KNOWN: Mapping[int, str] = MappingProxyType({})


class PastReader:
    """Reads pasts, several at once, of devices from a `listing` whose first page has been read."""

    def __init__(
        self,
        client: CoveClient,
        listing: Listing,
        request: Request,
        statuses: Statuses,
        now: Callable[[], datetime],
    ) -> None:
        self._request = request
        self._now = now
        terms = Terms(request, listing.refused, statuses, now)
        ways: dict[Origin, Way] = {
            Origin.SESSIONS: BySessions(client, terms),
            Origin.SNAPSHOT: BySnapshots(client, listing, terms),
            Origin.COLORBAR: ByColorBar(terms),
        }
        self._ways = [way for origin, way in ways.items() if request.allows(origin)]

    def read(
        self, devices: Iterable[Device], tick: Callable[[], None], known: Mapping[int, str] = NOTHING_KNOWN
    ) -> Generator[tuple[Device, Past], None, None]:
        """Yield each device with its past, as soon as it is known; `tick` is called where that takes a while.

        `known` has digests of what Cove told of devices before, by account: the same again is not read.
        """
        attempts: Iterable[Attempt] = (Attempt.begun(one, known.get(one.account_id, "")) for one in devices)
        for way in self._ways:
            attempts = way.read(attempts, tick)
        for attempt in attempts:
            past = replace(attempt.past, window=self._request.window_of(attempt.device.account_id), read_at=self._now())
            yield attempt.device, replace(past, failures=(*past.failures, *_unread(attempt)))


def _unread(attempt: Attempt) -> Iterator[str]:
    """Yield, in words, what no way could read."""
    if names := sorted(attempt.unread - {DataSource.TOTAL}):
        yield f"could not be read: {', '.join(map(label, names))}"
    elif attempt.device.sources and not attempt.past.ways:
        yield "its history could not be read"

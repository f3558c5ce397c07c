"""The HTTP session that all requests of a login go through: what is the same in each of them is prepared once."""

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

import requests
from requests.utils import select_proxy

from cove_poller import __version__
from cove_poller.config.proxies import checked_proxy
from cove_poller.cove.deadline import WatchedAdapter

HEADERS = {"Content-Type": "application/json", "User-Agent": f"cove-poller/{__version__}"}


class HttpSession(requests.Session):
    """A session that looks at no redirect: the library would read its whole body even where it does not follow.

    It asks this machine through no proxy, and nobody through one that is not understood. The request and the
    environment are looked at once a URL, since that costs as much as half a request.
    """

    def __init__(self, connections: int) -> None:
        super().__init__()
        for scheme in ("https://", "http://"):
            self.mount(scheme, WatchedAdapter(pool_maxsize=connections))
        self.headers.update(HEADERS)
        self.auth = lambda request: request  # or requests would add what a .netrc says
        self._prepared = cache(self._prepare)

    def post_bytes(
        self, url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float
    ) -> requests.Response:
        """Return the answer to a POST once its header is there; its body is still to be read.

        Raise RequestException, HTTPError of urllib3, OSError or ValueError if there is none.
        """
        prepared, settings = self._prepared(url)
        request = prepared.copy()
        request.prepare_headers({**self.headers, **headers})
        request.prepare_cookies(self.cookies)
        request.prepare_body(body, None)
        return self.send(request, timeout=timeout_seconds, allow_redirects=False, **settings)

    def get_redirect_target(self, resp: requests.Response) -> None:
        del resp

    def _prepare(self, url: str) -> tuple[requests.PreparedRequest, Mapping[str, Any]]:
        settings = self.merge_environment_settings(url, {}, True, None, None)
        proxy = checked_proxy(url, select_proxy(url, settings["proxies"]), os.environ)
        prepared = self.prepare_request(requests.Request("POST", url))
        return prepared, {**settings, "proxies": {"all": proxy} if proxy else {}}

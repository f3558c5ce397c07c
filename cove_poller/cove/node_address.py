"""Where a device's storage node is. Pure. The address comes from the server's answer, so it is not trusted.

The account token goes there, which is a permanent secret: to https only, and only inside the configured domains.
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from cove_poller.config.urls import is_loopback
from cove_poller.errors import ApiError

PATH = "repserv_json"
HOST_NAME = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


def node_url(address: str, api_url: str, domains: Iterable[str]) -> str:
    """Return the URL of the session service at `address`, `host:port` or a URL. Raise ApiError if none may be asked.

    The port of a `host:port` is another service's. A node on loopback is believed only by an API on loopback.
    """
    api = urlsplit(api_url)
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise ApiError("the address of its storage node makes no sense; nothing was sent there") from None
    if is_loopback(host) and is_loopback(api.hostname):
        name = f"[{host}]" if ":" in host else host
        return f"{parts.scheme or api.scheme}://{name}:{port or api.port}/{PATH}"
    allowed = [domain.lower().strip(".") for domain in domains]
    if not HOST_NAME.fullmatch(host) or not any(host == one or host.endswith(f".{one}") for one in allowed):
        raise ApiError(
            f"its storage node {host!r} is outside of {', '.join(allowed) or 'all domains'}, so nothing was sent"
            " there; if it is Cove's, add its domain to api.node_domains"
        )
    if parts.scheme not in ("", "https"):
        raise ApiError(f"its storage node {host} is to be asked without https, so nothing was sent there")
    return f"https://{host}/{PATH}"

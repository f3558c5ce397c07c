"""Proxies of the environment: none for this machine, none that is not understood, and no password of one is shown."""

import re
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from cove_poller.config.urls import is_loopback
from cove_poller.errors import ConfigError
from cove_poller.redaction import remember

SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
HOST = re.compile(r"[\w.\-:]+")
USER = re.compile(r"(?:[a-z0-9+.-]+://)?([^:/?#@]*):(.*)@", re.IGNORECASE | re.DOTALL)
"""Who signs in to a proxy: all before the last @, whatever a password with other signs makes of the URL."""


def checked_proxy(url: str, proxy: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the proxy to ask for `url` through, None for none. Raise ConfigError if the `proxy` makes no sense."""
    if not proxy or is_loopback(urlsplit(url).hostname):
        return None
    if not _is_understood(proxy):
        variable = next((name for name, value in environ.items() if _is_proxy(name) and value == proxy), "HTTPS_PROXY")
        raise ConfigError(
            f"the proxy in {variable} cannot be understood; nothing was sent. Write it http://user:password@host:port,"
            " and in the password %23 for #, %2F for /, %3F for ?, %40 for @ and %25 for %"
        )
    return proxy


def remember_proxies(environ: Mapping[str, str]) -> None:
    """Let no text show the password of a proxy, be its URL understood or not."""
    for name, value in environ.items():
        if _is_proxy(name) and (found := USER.match(value.strip())):
            for user, password in (found.groups(), map(unquote, found.groups())):
                remember(password, b64encode(f"{user}:{password}".encode(errors="replace")).decode())


def _is_proxy(variable: str) -> bool:
    return variable.lower().endswith("_proxy")


def _is_understood(proxy: str) -> bool:
    url = proxy if "://" in proxy else f"http://{proxy}"
    if any(sign.isspace() or sign in "#?\\" for sign in url):
        return False
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    return parts.scheme.lower() in SCHEMES and bool(HOST.fullmatch(host)) and port != 0 and not parts.path.strip("/")

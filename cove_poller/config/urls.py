"""The URLs of the configuration: which are safe to use, and what of them may be shown. Pure."""

import ipaddress
import re
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

HIDDEN = "********"
JOB_ID = "{job_id}"

# SQLAlchemy takes everything before an @ for the password, also what urlsplit() takes for the end of the host.
PASSWORDS = (re.compile(r"(://[^:/?@]*:)(.+)(?=@)"), re.compile(r"([?&](?:ssl)?password=)([^&]+)"))


def is_loopback(host: str | None) -> bool:
    """Tell whether a host name or address is this machine."""
    if host == "localhost":
        return True
    try:
        return host is not None and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_api_url(url: str) -> str:
    """Return the URL. Raise ValueError if a password would go over it in the clear, or stands in it."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError("must begin with https:// (http:// is for this machine only)")
    if parts.username or parts.password:
        raise ValueError("must not hold a user or password")
    return url


def checked_ping_url(url: SecretStr) -> SecretStr:
    """Return the URL. Raise ValueError as for an API's, and if it names no host."""
    if not urlsplit(checked_api_url(url.get_secret_value())).hostname:
        raise ValueError("names no host")
    return url


def checked_page_url(url: str) -> str:
    """Return the address of a page that people open. Raise ValueError if it is none, or holds a password."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must begin with https:// or http://, then the host")
    if parts.username or parts.password:
        raise ValueError("must not hold a user or password")
    if re.search(r"[{}\s]", url.replace(JOB_ID, "")):
        raise ValueError(f"may have {JOB_ID} in it, and no other braces and no spaces")
    return url


def job_page(url: str, job_id: int) -> str:
    """Return the page of a job: the URL with the job's id where it says so, else /jobs/ID below it."""
    template = url if JOB_ID in url else f"{url.rstrip('/')}/jobs/{JOB_ID}"
    return template.replace(JOB_ID, str(job_id))


def checked_database_url(url: str) -> str:
    """Return the URL with the driver that is installed: a bare postgresql:// would mean another one."""
    scheme, mark, rest = url.partition("://")
    if scheme in ("postgres", "postgresql", "postgresql+psycopg2") and mark:
        return f"postgresql+psycopg2://{rest}"
    if scheme == "sqlite" and mark:
        return url
    raise ValueError("must begin with postgresql:// or sqlite:///")


def hidden_url(url: str) -> str:
    """Return the URL with every password in it hidden."""
    for pattern in PASSWORDS:
        url = pattern.sub(rf"\g<1>{HIDDEN}", url)
    return url


def host_only(url: str) -> str:
    """Return a URL that is a secret as a whole with nothing but its host, fit to be shown."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/{HIDDEN}"


def passwords_in_url(url: str) -> list[str]:
    """Return every password in the URL, as it stands there and as it is meant."""
    found = [match[2] for pattern in PASSWORDS for match in pattern.finditer(url)]
    return [*found, *map(unquote, found)]

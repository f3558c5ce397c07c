"""One request without any secret to Cove's API: whether it can be reached, whom its certificate names, what time it is.

It goes the way that the client's requests go: through the same library, with the same certificates and proxies.
"""

from datetime import datetime
from urllib.parse import urlsplit

import requests
from requests.exceptions import RequestException

from cove_poller.config.settings import ApiSettings
from cove_poller.cove.transport import date_of, network_error


def ask_time(api: ApiSettings) -> datetime | None:
    """Return the time in the `Date` header of whatever the API answers; None if there is none. Raise ApiError."""
    host = urlsplit(api.url).netloc
    try:
        with requests.Session() as session:
            session.auth = lambda request: request  # or requests would add what a .netrc says
            response = session.head(api.url, timeout=api.timeout_seconds, allow_redirects=False)
            response.close()
    except (RequestException, OSError, ValueError) as error:
        raise network_error(error, host) from error
    return date_of(response)

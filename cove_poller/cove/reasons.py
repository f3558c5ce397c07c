"""Why a request failed, in plain words: other libraries' texts are long, and may show what nobody should see."""

import re
import socket
import ssl
from collections.abc import Iterator
from typing import Any

from requests.exceptions import ProxyError
from requests.exceptions import Timeout as RequestTimeout
from urllib3.exceptions import DecodeError, IncompleteRead, NewConnectionError, ProtocolError
from urllib3.exceptions import TimeoutError as PoolTimeout

UNTRUSTED = "it is signed by an unknown authority"
CERTIFICATE = {
    9: "it is not valid yet; look at this machine's clock",
    10: "it has expired",
    18: "it is signed by itself",
    19: UNTRUSTED,
    20: UNTRUSTED,
    21: UNTRUSTED,
    23: "it was revoked",
    62: "it is for another host",
    64: "it is for another host",
}
"""OpenSSL's numbers (X509_V_ERR_...)."""

TLS = {
    "WRONG_VERSION_NUMBER": "what answers there does not speak TLS",
    "HTTP_REQUEST": "what answers there does not speak TLS",
    "UNEXPECTED_EOF_WHILE_READING": "the TLS connection was cut",
    "UNSUPPORTED_PROTOCOL": "it speaks no version of TLS that is safe",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks no version of TLS that is safe",
}


NO_HTTP = frozenset({"BadStatusLine", "InvalidHeader", "LineTooLong", "UnknownProtocol", "HeaderParsingError"})


NO_ANSWER = "no answer in time"
TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that led to it, each once."""
    pending, seen = [error], set()
    while pending:
        one = pending.pop(0)
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            more: Any = (*one.args, getattr(one, "reason", None), one.__cause__, one.__context__)
            pending += [each for each in more if isinstance(each, BaseException)]


def certificate_problem(error: BaseException) -> str | None:
    """Return what is wrong with the server's certificate; None if the error is none of that."""
    for one in chain(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return CERTIFICATE.get(one.verify_code, f"OpenSSL's error {one.verify_code}")
    return None


def reason(error: BaseException) -> str:
    """Return why there was no answer: "its name is not known", "it refuses the connection"."""
    links = list(chain(error))
    said = next((text for say in (_of_system, _of_library, _of_cut) for one in links if (text := say(one))), None)
    if any(isinstance(one, ProxyError) for one in links):
        wants = any("407" in str(one) for one in links)
        return "the proxy wants another user or password" if wants else f"the proxy does not help: {said}"
    return said or type(error).__name__


def _of_system(error: BaseException) -> str | None:
    if isinstance(error, socket.gaierror):
        is_passing = error.errno == socket.EAI_AGAIN
        return "the name server does not answer" if is_passing else "its name is not known"
    if isinstance(error, ssl.SSLError):
        why = error.reason or "no reason given"
        return TLS.get(why, f"TLS fails: {why.replace('_', ' ').lower()}")
    if isinstance(error, ConnectionRefusedError):
        return "it refuses the connection"
    if isinstance(error, ConnectionError):  # http.client's RemoteDisconnected is one
        return "it closed the connection without an answer"
    if isinstance(error, TimeoutError):
        return NO_ANSWER
    if type(error) is OSError and error.errno and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return None


def _of_library(error: BaseException) -> str | None:
    if isinstance(error, (RequestTimeout, PoolTimeout)) and not isinstance(error, NewConnectionError):
        return NO_ANSWER
    if isinstance(error, DecodeError):
        return "its answer cannot be unpacked"
    if type(error).__name__ in NO_HTTP:
        return "what answers there does not speak HTTP"
    if found := TUNNEL.search(str(error)):
        return f"it answers HTTP {found[1]}"
    return None


def _of_cut(error: BaseException) -> str | None:
    return "its answer breaks off" if isinstance(error, (IncompleteRead, ProtocolError)) else None

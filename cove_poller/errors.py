"""Every error that a person is meant to read. The CLI turns each into its exit code.

CovePollerError
├── WrongUsage           2  what was asked for makes no sense here
├── ConfigError         10  the configuration is wrong
├── LoginRejected       11  Cove refuses the login; never tried again by itself
│   └── LoginLocked     11  Cove has locked the user; tried again after some hours
├── PermissionDenied    12  the API user may not do this (Cove's 13501)
├── ApiError            13  Cove answers nonsense or an error of its own
│   ├── ApiUnavailable  13  no usable answer: network, time-out, 429, 5xx; worth another try
│   └── VisaRefused     13  the visa has run out (Cove's 1701); worth one new login
├── DatabaseError       14
│   ├── DatabaseUnavailable 14  it cannot be reached; what was polled is spooled
│   │   └── DatabaseAway 14  the connection is lost, or the server starts or stops; worth another try
│   ├── DatabaseBusy    14  somebody else holds what is needed, or it takes too long; worth another try
│   └── ValueRefused    14  the database does not take a value of a device
├── LockHeld            15  another run is busy with this login
└── Terminated         143  the process was told to stop (130 for Ctrl-C)
"""

from cove_poller.redaction import redacted

PARTIAL_EXIT_CODE = 3


class CovePollerError(Exception):
    """Something a person has to know. `code` is for programs, `exit_code` for the shell. Its text shows no secret."""

    code = "error"
    exit_code = 1

    def __str__(self) -> str:
        return redacted(super().__str__())


class WrongUsage(CovePollerError):
    """`option` is the one that was used wrongly, if it was a single one."""

    code = "usage"
    exit_code = 2

    def __init__(self, message: str, option: str | None = None) -> None:
        super().__init__(message)
        self.option = option


class ConfigError(CovePollerError):
    code = "configuration"
    exit_code = 10


class LoginRejected(CovePollerError):
    code = "login_rejected"
    exit_code = 11


class LoginLocked(LoginRejected):
    pass


class PermissionDenied(CovePollerError):
    code = "permission_denied"
    exit_code = 12


class ApiError(CovePollerError):
    code = "api"
    exit_code = 13


class ApiUnavailable(ApiError):
    """`retry_after_seconds` is the pause that Cove asked for, if it did."""

    code = "api_unavailable"

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class VisaRefused(ApiError):
    code = "visa_refused"


class DatabaseError(CovePollerError):
    code = "database"
    exit_code = 14


class DatabaseUnavailable(DatabaseError):
    pass


class DatabaseAway(DatabaseUnavailable):
    pass


class DatabaseBusy(DatabaseError):
    pass


class ValueRefused(DatabaseError):
    pass


class LockHeld(CovePollerError):
    code = "locked"
    exit_code = 15


class Terminated(CovePollerError):
    code = "terminated"
    exit_code = 143


class Interrupted(Terminated):
    code = "interrupted"
    exit_code = 130

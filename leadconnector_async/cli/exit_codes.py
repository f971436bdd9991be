"""Exit codes, for scripts.

| code | meaning |
| ---: | --- |
| 0 | done; for a job: all rows are applied or in place |
| 1 | refused by the server; for a job: some rows failed or were left out |
| 2 | usage, settings or plan: nothing was sent |
| 3 | too many errors, or the first rows failed |
| 4 | the token was refused, or has no access |
| 5 | interrupted or not reachable: the job can be resumed |
| 6 | nobody can tell whether some changes were applied, or how; read before you send them again |
| 7 | the journal could not be read or written |
| 8 | the day's budget is spent: the job can be resumed, and is told when |
| 130 | stopped at once by a second Ctrl-C; the job can be resumed |

One meaning, one code, whichever command it is.
"""

from __future__ import annotations

from typing import Final

from ..exceptions import (
    AuthenticationError,
    ConfigurationError,
    DailyLimitError,
    DeadlineExceededError,
    InvalidRequestError,
    JournalError,
    LeadConnectorError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    TokenStoreError,
    TransportError,
)
from ..jobs import JobSummary

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
TOO_MANY: Final = 3
NO_ACCESS: Final = 4
CAN_RESUME: Final = 5
UNKNOWN: Final = 6
JOURNAL: Final = 7
DAY_SPENT: Final = 8
AT_ONCE: Final = 130

HELP: Final = """\
Exit codes: 0 done; 1 refused by the server, or some rows failed or were left out; 2 usage, settings or plan, and
nothing was sent; 3 too many errors; 4 the token was refused; 5 interrupted or not reachable, can be resumed;
6 nobody knows whether some changes were applied; 7 the journal failed; 8 the day's budget is spent, can be resumed;
130 stopped at once by a second Ctrl-C, can be resumed.
"""
_ERRORS: Final[tuple[tuple[type[LeadConnectorError], int], ...]] = (
    (InvalidRequestError, USAGE),
    (ConfigurationError, USAGE),
    (JournalError, JOURNAL),
    (AuthenticationError, NO_ACCESS),
    (PermissionDeniedError, NO_ACCESS),
    (TokenStoreError, NO_ACCESS),
    (DailyLimitError, DAY_SPENT),
    (RateLimitedError, CAN_RESUME),
    (ServerError, CAN_RESUME),
    (TransportError, CAN_RESUME),
    (DeadlineExceededError, CAN_RESUME),
)
_STOPS: Final = (
    ("interrupted", CAN_RESUME),
    ("authentication", NO_ACCESS),
    ("errors", TOO_MANY),
    ("daily", DAY_SPENT),
    ("unreachable", CAN_RESUME),
)


def code_for(error: LeadConnectorError) -> int:
    """The code for a call that failed."""
    if error.outcome != "not_applied":
        return UNKNOWN
    if isinstance(error, PermissionDeniedError) and error.transient:
        return CAN_RESUME
    return next((code for kind, code in _ERRORS if isinstance(error, kind)), FAILED)


def code_of(summary: JobSummary) -> int:
    """The code for a job as it stands, or as it ended."""
    kinds = {stopped.kind for stopped in summary.stopped}
    for kind, code in _STOPS:
        if kind in kinds:
            return code
    if summary.remaining:
        return CAN_RESUME
    if summary.counts.get("unknown"):
        return UNKNOWN
    bad = sum(summary.counts.get(state, 0) for state in ("failed", "skipped", "refused"))
    return FAILED if bad else DONE

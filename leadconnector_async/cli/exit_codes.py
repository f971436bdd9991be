"""Exit codes, for scripts: the same meaning has the same code, whichever command it is."""

from __future__ import annotations

from collections.abc import Mapping
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
    ReadOnlyError,
    ServerError,
    StoreUnavailableError,
    TokenStoreError,
    TransportError,
    WorkersMissingError,
)
from ..jobs import JobSummary
from ..jobs.states import NOT_CHANGED, count_rows, list_states

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

MEANINGS: Final[Mapping[int, str]] = {
    DONE: "done; for a job: every row is applied, or was already in place",
    FAILED: "rejected by the server; for a job: some rows failed, were skipped or refused",
    USAGE: "invalid usage, settings or plan; nothing was sent",
    TOO_MANY: "too many errors, or one of the first rows failed",
    NO_ACCESS: "the token was rejected or lacks access",
    CAN_RESUME: "interrupted, or the server is unreachable; the job can be resumed",
    UNKNOWN: "the outcome of some changes is unknown; read them before you send them again",
    JOURNAL: "the journal cannot be read or written",
    DAY_SPENT: "the daily limit is used up; the job can be resumed after the printed time",
    AT_ONCE: "stopped at once by a second Ctrl-C; the job can be resumed",
}
HELP: Final = "  \n".join(["Exit codes:", *(f"{code} {meaning}" for code, meaning in MEANINGS.items())])
"""Markdown: two spaces at the end of a line break it."""
_ERRORS: Final[tuple[tuple[type[LeadConnectorError], int], ...]] = (
    (InvalidRequestError, USAGE),
    (ConfigurationError, USAGE),
    (ReadOnlyError, USAGE),
    (JournalError, JOURNAL),
    (AuthenticationError, NO_ACCESS),
    (PermissionDeniedError, NO_ACCESS),
    (TokenStoreError, NO_ACCESS),
    (DailyLimitError, DAY_SPENT),
    (RateLimitedError, CAN_RESUME),
    (ServerError, CAN_RESUME),
    (TransportError, CAN_RESUME),
    (StoreUnavailableError, CAN_RESUME),
    (WorkersMissingError, CAN_RESUME),
    (DeadlineExceededError, CAN_RESUME),
)
_STOPS: Final = (
    ("interrupted", CAN_RESUME),
    ("internal", CAN_RESUME),
    ("authentication", NO_ACCESS),
    ("errors", TOO_MANY),
    ("daily", DAY_SPENT),
    ("unreachable", CAN_RESUME),
)
"""Most urgent first."""


def code_for(error: LeadConnectorError) -> int:
    """The code for a call that failed."""
    if error.outcome != "not_applied":
        return UNKNOWN
    if isinstance(error, PermissionDeniedError) and error.transient:
        return CAN_RESUME
    return next((code for kind, code in _ERRORS if isinstance(error, kind)), FAILED)


def code_of(summary: JobSummary) -> int:
    """The code for a job in its current state, or as it ended."""
    kinds = {stopped.kind for stopped in summary.stopped}
    for kind, code in _STOPS:
        if kind in kinds:
            return code
    if summary.remaining:
        return CAN_RESUME
    if count_rows(summary.counts, list_states("unknown")):
        return UNKNOWN
    return FAILED if count_rows(summary.counts, NOT_CHANGED) else DONE

"""`Retry-After` and similar headers, read into seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Final

_NUMBER: Final = partial(re.compile, r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)
_LONGEST_SECONDS: Final = 86_400.0
"""No header makes a location or a call wait longer than this before the next try."""
_DATE: Final = partial(re.compile, r"[A-Za-z]{3,9},? [0-9A-Za-z: +-]{15,40}", re.ASCII)
"""A day of the week, a date and a time, in any of the three forms of HTTP."""
_UNREADABLE: Final = (ValueError, OverflowError, TypeError, IndexError, KeyError, AttributeError)
"""What `email.utils` raises for one invalid date or another."""


def read_retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Read how long the server asks to wait, in seconds.

    `retry-after-ms` holds milliseconds; `Retry-After` seconds or an HTTP date (RFC 9110, section 10.2.3), whatever
    the size of the number. A date is compared with the response's own `Date`, so that no common clock is needed.
    The result is at most a day. `None` for anything else.
    """
    seconds = _read_header(headers, now)
    return None if seconds is None else min(seconds, _LONGEST_SECONDS)


def _read_header(headers: Mapping[str, str], now: datetime | None) -> float | None:
    milliseconds = headers.get("retry-after-ms", "").strip()
    if _NUMBER().fullmatch(milliseconds):
        return float(milliseconds) / 1000
    text = headers.get("retry-after", "").strip()
    if _NUMBER().fullmatch(text):
        return float(text)
    until = _parse_date(text)
    if until is None:
        return None
    reference = _parse_date(headers.get("date", "")) or now or datetime.now(UTC)
    return max(0.0, (until - reference).total_seconds())


def _parse_date(text: str) -> datetime | None:
    if not _DATE().fullmatch(text):
        return None
    try:
        moment = parsedate_to_datetime(text)
    except _UNREADABLE:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

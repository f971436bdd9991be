"""Classes that behave as those of packages which are no dependency here; each was compared with the real one."""

from datetime import datetime, timedelta, tzinfo
from enum import Enum, StrEnum
from typing import Self


class MissingTime(datetime):
    """`pandas.NaT`: a datetime whose parts are not numbers, and which refuses to be asked for its offset."""

    def __new__(cls) -> Self:
        return super().__new__(cls, 1, 1, 1)

    year = month = day = hour = minute = second = microsecond = nanosecond = property(lambda self: float("nan"))  # type: ignore[assignment]

    def utcoffset(self) -> timedelta | None:
        raise ValueError("NaTType does not support utcoffset")

    astimezone = timestamp = utcoffset  # type: ignore[assignment]

    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:
        return "NaT"

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]

    def __lt__(self, other: object) -> bool:
        return False

    __le__ = __gt__ = __ge__ = __lt__  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "NaT"


class FineTime(datetime):
    """`pandas.Timestamp`: a datetime that counts nanoseconds too, and shows them."""

    nanosecond = 0

    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:
        text = super().isoformat(sep, timespec)
        return f"{text[:19]}.{self.nanosecond:09}{text[19:]}" if self.nanosecond else text


class PytzZone(tzinfo):
    """A zone of `pytz` with summer time from March to October.

    As it stands it means the local mean time; `localize` gives it the offset of a time.
    """

    def __init__(self, zone: str, offset: timedelta = timedelta(hours=-4, minutes=-56)) -> None:
        self.zone = zone
        self._offset = offset

    def localize(self, wall: datetime) -> datetime:
        summer = datetime(wall.year, 3, 14, 3) <= wall < datetime(wall.year, 11, 7, 2)
        return wall.replace(tzinfo=PytzZone(self.zone, timedelta(hours=-4 if summer else -5)))

    def utcoffset(self, moment: datetime | None) -> timedelta:
        return self._offset

    def dst(self, moment: datetime | None) -> timedelta:
        return timedelta()

    def tzname(self, moment: datetime | None) -> str:
        return "LMT"

    def fromutc(self, moment: datetime) -> datetime:
        utc = moment.replace(tzinfo=None)
        summer = datetime(utc.year, 3, 14, 7) <= utc < datetime(utc.year, 11, 7, 6)
        offset = timedelta(hours=-4 if summer else -5)
        return (utc + offset).replace(tzinfo=PytzZone(self.zone, offset))


class SafeString(str):
    """Django's: text that was escaped, and renders itself as what it is."""

    __slots__ = ()

    def __str__(self) -> str:
        return self


class NumpyText(str):
    """`numpy.str_`: text with the methods of an array."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"np.str_({str.__repr__(self)})"


class Status(StrEnum):
    """Statuses as a program may name them."""

    CONFIRMED = "confirmed"


class OldStatus(str, Enum):  # noqa: UP042 - that is the point
    """The same, before Python had `StrEnum`: `str()` of a member is not its value."""

    CONFIRMED = "confirmed"


class PlainStatus(Enum):
    """The same, and no text at all."""

    CONFIRMED = "confirmed"

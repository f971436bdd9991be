"""What names a job: a folder of this machine, or `postgresql://HOST/DATABASE#NAME` for one of many machines."""

from __future__ import annotations

import os
import re
from typing import Final, TypeAlias

from msgspec import Struct

from .._secret import Held, Masked, Secret, conceal
from .._sharing.url import StoreAddress, parse_address
from .._validation.settings import check_path
from .._validation.text import escape
from ..exceptions import ConfigurationError

UNDO: Final = "undo"
"""The folder of the undo inside a job's folder, and what its name ends with in a database."""
_URL: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_NAME: Final = re.compile(rf"[A-Za-z0-9._-]{{1,64}}?(?:\.{UNDO}){{0,3}}")
"""Whatever its length, a job can be undone; so can its undo."""


class FolderPlace(Struct, frozen=True):
    """A job in a folder: one process at a time runs it."""

    folder: str

    @property
    def name(self) -> str:
        """What messages call the job."""
        return self.folder

    @property
    def title(self) -> str:
        """What reports call the job."""
        return os.path.basename(os.path.abspath(self.folder))


class DatabasePlace(Masked, Struct, frozen=True):
    """A job in Postgres: any number of workers run it."""

    address: StoreAddress
    job: str

    @property
    def name(self) -> str:
        """What messages call the job: the URL without user, password and options, and the name."""
        return f"{self.address.shown}#{self.job}"

    @property
    def title(self) -> str:
        """What reports call the job."""
        return self.job


Place: TypeAlias = FolderPlace | DatabasePlace


def conceal_place(place: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Mask a URL: it may hold a password, and error reports show parameters. Call it first in a function."""
    return Secret(str.__str__(place)) if is_url(place) and isinstance(place, str) else place


def is_url(place: object) -> bool:
    """Whether this names a database, not a folder."""
    return isinstance(place, str) and _URL.match(place) is not None


def name_undo(place: str) -> str:
    """What names the job that undoes another: in its folder, or beside it in the database."""
    given = conceal_place(place)
    del place
    return Secret(f"{given}.{UNDO}") if is_url(given) else os.path.join(given, UNDO)


def parse_place(place: str | os.PathLike[str], *, allow_plaintext: bool = False) -> Place:
    """Read what names a job. Raises `ConfigurationError`, which shows no password."""
    if not is_url(place):
        return FolderPlace(check_path("place", place))
    given = conceal(place)
    del place
    url, has_name, name = _split(given)
    address = _parse_database(url, allow_plaintext=allow_plaintext)
    if not has_name or not name:
        raise ConfigurationError(f"{address.shown} names no job; write {address.shown}#NAME")
    return DatabasePlace(address, check_name(name))


def parse_database(url: str | Secret | Held, *, allow_plaintext: bool = False) -> StoreAddress:
    """Read the URL of a database with jobs, without the name of one. Raises `ConfigurationError`."""
    given = conceal(url)
    del url
    found, has_name, _ = _split(given)
    address = _parse_database(found, allow_plaintext=allow_plaintext)
    if has_name:
        raise ConfigurationError(f"this takes all jobs of a database: write {address.shown} without #NAME")
    return address


def check_name(name: str) -> str:
    """The name of a job in a database. Raises `ConfigurationError`."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"'{escape(name)}' is not a valid job name: 1 to 64 letters, digits, '.', '_' and '-'"
        )
    return name


def _parse_database(url: object, *, allow_plaintext: bool) -> StoreAddress:
    address = parse_address(conceal(url), allow_plaintext=allow_plaintext)
    if address.kind != "postgresql":
        raise ConfigurationError("jobs of several machines need Postgres; on one machine, pass a folder")
    return address


def _split(given: object) -> tuple[object, bool, str]:
    """The URL, whether a `#` follows, and the name. A `#` in a password is refused with the URL, and not shown."""
    if not isinstance(given, Secret):
        return given, False, ""
    url, mark, name = given.rpartition("#")
    if not mark or "@" in name:
        return given, False, ""
    return Secret(url), True, name

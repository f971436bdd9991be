"""Where a job is: in a folder of this machine, or in Postgres as `postgresql://HOST/DATABASE#NAME`."""

from __future__ import annotations

import os
import re
from typing import Final, TypeAlias

from msgspec import Struct

from .._secret import Held, Masked, Secret, conceal
from .._sharing.url import StoreAddress, parse_address
from .._validation.settings import check_path
from .._validation.text import show
from ..exceptions import ConfigurationError

UNDO: Final = "undo"
"""The subfolder of an undo job, and the suffix of its name in a database."""
_URL: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_NAME: Final = re.compile(rf"[A-Za-z0-9._-]{{1,64}}?(?:\.{UNDO}){{0,3}}")
"""The suffix does not count towards the 64 characters, so any job can be undone, and so can its undo."""


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
        """The name of the job in messages: its URL without user name, password and options."""
        return f"{self.address.shown}#{self.job}"

    @property
    def title(self) -> str:
        """What reports call the job."""
        return self.job


Place: TypeAlias = FolderPlace | DatabasePlace
StrPath: TypeAlias = str | os.PathLike[str]
"""The path of a file, as text or an object."""


def conceal_place(place: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Mask a URL, as it may hold a password and tracebacks can show locals. Call it first in a function."""
    return Secret(str.__str__(place)) if is_url(place) and isinstance(place, str) else place


def is_url(place: object) -> bool:
    """Whether this is a URL, not a folder."""
    return isinstance(place, str) and _URL.match(place) is not None


def name_undo(place: str) -> str:
    """Return the place of the undo job: inside the folder of the job, or beside it in the database."""
    given = conceal_place(place)
    del place
    return Secret(f"{given}.{UNDO}") if is_url(given) else os.path.join(given, UNDO)


def parse_place(place: str | os.PathLike[str], *, allow_plaintext: bool = False) -> Place:
    """Parse a folder or a URL with `#NAME`. Raises `ConfigurationError`, which shows no password."""
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
    """Parse the URL of a database, without `#NAME`. Raises `ConfigurationError`."""
    given = conceal(url)
    del url
    found, has_name, _ = _split(given)
    address = _parse_database(found, allow_plaintext=allow_plaintext)
    if has_name:
        raise ConfigurationError(f"expected a database, not one job: write {address.shown} without #NAME")
    return address


def is_name(name: object) -> bool:
    """Whether this is a valid name of a job, in a database or in the folder of a service."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def check_name(name: str) -> str:
    """Return the name if it is valid for a job. Raises `ConfigurationError` otherwise."""
    if not is_name(name):
        raise ConfigurationError(f"{show(name)} is not a valid job name: 1 to 64 letters, digits, '.', '_' and '-'")
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

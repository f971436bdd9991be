"""The URL of a shared store: which store it is, and whether what goes there is encrypted.

It may hold a password. Nothing of a URL that cannot be used is in the error, nor in its frames; one that can be
used is shown without user and password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias
from urllib.parse import quote, unquote

from msgspec import Struct

from .._secret import Held, Masked, Secret, conceal
from .._validation.settings import check_flag, find_text_fault, is_loopback
from .._validation.text import escape, shorten, show_error
from ..exceptions import ConfigurationError

Kind: TypeAlias = Literal["sqlite", "postgresql", "redis"]

DRIVERS: Final = ("psycopg", "redis")
"""The modules that the extras install."""

_KINDS: Final[Mapping[str, Kind]] = {
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "redis": "redis",
    "rediss": "redis",
    "unix": "redis",
}
_PARTS: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://([^/?#]*)(/[^?#]*)?(?:\?([^#]*))?(#.*)?", re.DOTALL)
_HOST: Final = re.compile(r"(?P<name>[^:\[\]]*|\[[0-9a-fA-F:.]+(?:%[\w.-]+)?\])(?::(?P<port>\d{1,5}))?")
_PASSWORD: Final = re.compile(r":.+@|[?&][a-z_]*password=", re.DOTALL | re.IGNORECASE)
_LAST_PORT: Final = 65535
_LONGEST_ERROR: Final = 300
_LONGEST_READ: Final = 100_000
_DATABASES: Final = re.compile(r"\d{1,4}")
_OPTIONS: Final[Mapping[Kind, frozenset[str]]] = {
    "sqlite": frozenset(),
    "postgresql": frozenset(
        {"host", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "channel_binding", "require_auth"}
        | {"passfile", "application_name", "options"}
    ),
    "redis": frozenset({"db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}),
}
"""Those that cannot bypass the rules for encryption: no `hostaddr`, no `service`, no `ssl_cert_reqs`."""
_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_ENCRYPTED: Final = frozenset(_SSL_MODES[3:])
_SPELL: Final = "write sqlite:///FILE, postgresql://HOST/DATABASE, or redis://HOST or rediss://HOST (Valkey too)"
_FILE: Final = "write sqlite:///FILE, or sqlite:////FOLDER/FILE for an absolute path"
_PLAINTEXT: Final = "on a private network, allow_plaintext=True or --allow-plaintext permits it"
_ENCODE: Final = "percent-encode what is special in user, password, host and path, such as %40 for @ and %2F for /"


class StoreAddress(Masked, Struct, frozen=True, kw_only=True):
    """Where a store is, and how to connect to it. Its repr shows nothing."""

    kind: Kind
    shown: str
    """The URL without user, password and options, safe to show."""
    path: str = ""
    """The file of SQLite, or the Unix socket of a server."""
    host: str = ""
    port: int | None = None
    user: Secret | None = None
    password: Secret | None = None
    database: str = ""
    """The name of a Postgres database, or the number of a Redis one."""
    is_tls: bool = False
    """For Redis."""
    options: Mapping[str, str] = {}
    """Of Postgres, always with `sslmode` unless it is a Unix socket."""


class _Parts(Masked, Struct, frozen=True):
    """A URL taken apart, nothing decoded."""

    scheme: str
    user: Secret | None
    password: Secret | None
    host: str
    port: str
    path: str
    options: Mapping[str, str]


def parse_address(url: str | Secret | Held, *, allow_plaintext: bool = False) -> StoreAddress:
    """Read the URL of a store. Raises `ConfigurationError`, also for a connection that would not be encrypted."""
    given = conceal(url)
    del url
    if not isinstance(given, Secret):
        raise ConfigurationError(f"the URL of the shared store is a {given.kind}; it must be a string")
    check_flag("allow_plaintext", allow_plaintext)
    found = _read(given, allow_plaintext=allow_plaintext)
    if isinstance(found, str):
        raise ConfigurationError(f"the URL of the shared store cannot be used: {found}")
    return found


def explain_missing_driver(address: StoreAddress) -> ConfigurationError:
    """The error for a store whose driver is not installed."""
    extra = "redis" if address.kind == "redis" else "cluster"
    return ConfigurationError(
        f"{address.shown} needs the extra {extra}: pip install 'leadconnector-async[{extra}]'"
    )


def has_password(url: str) -> bool:
    """Tell whether a URL may hold a password, also one that cannot be read."""
    scheme, separator, rest = url.partition("://")
    return scheme.lower() != "sqlite" and _PASSWORD.search(rest if separator else url) is not None


def _read(url: Secret, *, allow_plaintext: bool) -> StoreAddress | str:
    """The address, or what is wrong with it."""
    if not url or url != url.strip() or find_text_fault(url):
        return "it must be a non-empty line of text without surrounding whitespace"
    parts = _split(url)
    if isinstance(parts, str):
        return parts
    match _KINDS[parts.scheme]:
        case "sqlite":
            return _read_sqlite(parts)
        case "postgresql":
            return _read_postgres(parts, allow_plaintext=allow_plaintext)
        case "redis":
            return _read_redis(parts, allow_plaintext=allow_plaintext)


def _split(url: Secret) -> _Parts | str:
    match = _PARTS.fullmatch(url)
    scheme = match[1].lower() if match is not None else ""
    if match is None or scheme not in _KINDS:
        return _SPELL
    userinfo, _, authority = (Secret(one) for one in match[2].rpartition("@"))
    path = Secret(match[3] or "")
    host = _HOST.fullmatch(authority)
    if match[5] or ("@" in path and scheme != "sqlite"):
        return f"it has a fragment (#…), or an @ in its path; {_ENCODE}"
    if "," in authority:
        return "it names several hosts; name one, such as a DNS name that follows the primary"
    if host is None or not 0 < int(host["port"] or 1) <= _LAST_PORT:
        return f"its host or port cannot be read; {_ENCODE}"
    options = _split_options(Secret(match[4] or ""), _OPTIONS[_KINDS[scheme]])
    user, _, password = userinfo.partition(":")
    decoded = _decode_all(user, password, host["name"], path)
    if isinstance(options, str) or decoded is None:
        return options if isinstance(options, str) else f"its percent-encoding is not valid; {_ENCODE}"
    user, password, name, path = decoded
    return _Parts(scheme, user or None, password or None, str(name), host["port"] or "", str(path), options)


def _split_options(query: Secret, known: frozenset[str]) -> dict[str, str] | str:
    """Neither the name nor the value of an option that is not known is shown: it may be half a password."""
    options: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, equals, value = part.partition("=")
        decoded = _decode(value)
        if name not in known or not equals or not decoded:
            usable = f"only {', '.join(sorted(known))} can be used" if known else "it cannot have any"
            return f"it has an option (?…) that is unknown or empty; {usable}"
        if name in options:
            return f"it has the option {name} twice"
        options[name] = str(decoded)
    return options


def _decode_all(*texts: str) -> list[Secret] | None:
    decoded = [_decode(one) for one in texts]
    return None if None in decoded else [Secret(one or "") for one in decoded]


def _decode(text: str) -> str | None:
    """`None` for what is not valid percent-encoded text."""
    if re.search(r"%(?![0-9a-fA-F]{2})", text):
        return None
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        return None
    return None if find_text_fault(decoded) else decoded


def _read_sqlite(parts: _Parts) -> StoreAddress | str:
    if parts.host or parts.user or parts.port:
        return f"an SQLite file is on this machine; {_FILE}"
    path = parts.path[1:]
    if not path or path.endswith("/") or path == ":memory:":
        return f"it names no file; {_FILE}"
    path = os.path.abspath(path)
    return StoreAddress(kind="sqlite", shown=escape(f"sqlite:///{path}"), path=path)


def _read_postgres(parts: _Parts, *, allow_plaintext: bool) -> StoreAddress | str:
    options = dict(parts.options)
    socket = options.pop("host", parts.host)
    if ("host" in parts.options and parts.host) or (socket and "host" in parts.options and socket[0] != "/"):
        return "write the host before the database; the option host is for the folder of a Unix socket"
    database = parts.path[1:]
    if not database or "/" in database:
        return "it must name one database: postgresql://HOST/DATABASE"
    if not socket:
        return "it names no host: write postgresql://HOST/DATABASE, or …///DATABASE?host=/FOLDER for a Unix socket"
    mode = options.get("sslmode")
    if mode is not None and mode not in _SSL_MODES:
        return f"its sslmode must be one of {', '.join(_SSL_MODES)}"
    is_socket = socket[0] == "/"
    is_local = is_socket or is_loopback(_strip_brackets(socket))
    if mode is None:
        mode = "prefer" if is_local or allow_plaintext else "verify-full"
    if not (is_local or allow_plaintext or mode in _ENCRYPTED):
        return f"sslmode={mode} to {escape(socket)} may send everything unencrypted; use verify-full; {_PLAINTEXT}"
    where = f"/{escape(database)}?host={escape(socket)}" if is_socket else f"{_show_host(parts)}/{escape(database)}"
    return StoreAddress(
        kind="postgresql",
        shown=f"postgresql://{where}",
        path=socket if is_socket else "",
        host="" if is_socket else _strip_brackets(socket),
        port=int(parts.port) if parts.port else None,
        user=parts.user,
        password=parts.password,
        database=database,
        options=options | {"sslmode": mode},
    )


def _read_redis(parts: _Parts, *, allow_plaintext: bool) -> StoreAddress | str:
    options = dict(parts.options)
    is_socket, is_tls = parts.scheme == "unix", parts.scheme == "rediss"
    number = options.pop("db", "" if is_socket else parts.path[1:]) or "0"
    if not _DATABASES.fullmatch(number) or ("db" in parts.options and not is_socket and parts.path[1:]):
        return "its database must be one number, such as redis://HOST/0"
    if is_socket and (parts.host or not parts.path[1:]):
        return "write the path of the Unix socket after three slashes: unix:///FOLDER/SOCKET"
    if not is_socket and not parts.host:
        return "it names no host: write redis://HOST or rediss://HOST"
    if options and not is_tls:
        return f"the options {', '.join(sorted(options))} need rediss://"
    host = _strip_brackets(parts.host)
    if not (is_tls or is_socket or is_loopback(host) or allow_plaintext):
        return f"redis:// to {escape(host)} is not encrypted; use rediss://; {_PLAINTEXT}"
    where = escape(parts.path) if is_socket else f"{_show_host(parts)}/{number}"
    return StoreAddress(
        kind="redis",
        shown=f"{parts.scheme}://{where}",
        path=parts.path if is_socket else "",
        host=host,
        port=int(parts.port) if parts.port else None,
        user=parts.user,
        password=parts.password,
        database=number,
        is_tls=is_tls,
        options=options,
    )


def _strip_brackets(host: str) -> str:
    return host[1:-1] if host.startswith("[") else host


def _show_host(parts: _Parts) -> str:
    return escape(f"{parts.host}:{parts.port}" if parts.port else parts.host)


def redact(address: StoreAddress, error: BaseException) -> str:
    """What a driver says about an error, without user and password, on one short line."""
    text = show_error(error, _LONGEST_READ)  # not cut yet: of a secret that was, the rest would be shown
    for one in _list_forms(address.password):
        text = text.replace(one, "…")
    for one in _list_forms(address.user):  # as a word only: some are short, and part of other words
        text = re.sub(rf"(?<!\w){re.escape(one)}(?!\w)", "…", text)
    return shorten(text, _LONGEST_ERROR)


def _list_forms(secret: Secret | None) -> tuple[str, ...]:
    return (secret, quote(secret, safe="")) if secret else ()

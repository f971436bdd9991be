"""URLs of stores: what each means, what is refused before anything is opened, and what is shown of them."""

import os
from pathlib import Path

import pytest

from leadconnector_async import ConfigurationError, Shared
from leadconnector_async._sharing.url import has_password, parse_address, redact

from ..leaks import show_all

PASSWORD = "pass-w0rd-zzzz"
FAR = "db.example.com"

USABLE = {
    "sqlite:////var/lib/clinic/leads.db": "sqlite:////var/lib/clinic/leads.db",
    "sqlite:////var/lib/my%20clinic/a@b.db": "sqlite:////var/lib/my clinic/a@b.db",
    "sqlite:///leads.db": f"sqlite:///{os.getcwd()}/leads.db",
    "postgresql://db.example.com/leads": "postgresql://db.example.com/leads",
    "postgres://me:secret@db.example.com:5433/leads": "postgresql://db.example.com:5433/leads",
    "postgresql://[2001:db8::1]:5433/leads": "postgresql://[2001:db8::1]:5433/leads",
    "postgresql:///leads?host=/run/postgresql": "postgresql:///leads?host=/run/postgresql",
    "postgresql://me@%2Frun%2Fpostgresql/leads": "postgresql:///leads?host=/run/postgresql",
    "redis://127.0.0.1": "redis://127.0.0.1/0",
    "redis://localhost:6380/3": "redis://localhost:6380/3",
    "redis://[::1]/?db=2": None,
    "rediss://:secret@cache.example.com": "rediss://cache.example.com/0",
    "REDISS://cache.example.com/7": "rediss://cache.example.com/7",
    "unix:///run/valkey.sock?db=1": "unix:///run/valkey.sock",
}


@pytest.mark.parametrize(("url", "shown"), USABLE.items())
def test_what_is_shown_of_a_url(url: str, shown: str | None) -> None:
    """Scheme, host and database; neither user nor password nor options."""
    address = parse_address(url)
    assert shown is None or address.shown == shown
    assert repr(address) == "<StoreAddress>"


def test_user_and_password_are_decoded() -> None:
    """Special characters are percent-encoded, in the database too."""
    address = parse_address("postgresql://a%40b:p%2Fw%3A%25@db.example.com/le%20ads?sslmode=require")
    assert (address.user, address.password, address.database) == ("a@b", "p/w:%", "le ads")
    assert address.options == {"sslmode": "require"}
    redis = parse_address("unix://me:p%23w@/run/valkey.sock?db=4")
    assert (redis.path, redis.database, redis.user, redis.password) == ("/run/valkey.sock", "4", "me", "p#w")


REFUSED = {
    "": "non-empty line",
    " redis://127.0.0.1": "surrounding whitespace",
    "redis://127.0.0.1\n": "surrounding whitespace",
    "leads.db": "write sqlite:///FILE",
    f"mysql://me:{PASSWORD}@{FAR}/x": "postgresql://HOST/DATABASE",
    f"postgresql+psycopg://me:{PASSWORD}@{FAR}/x": "postgresql://HOST/DATABASE",
    f"me:{PASSWORD}@{FAR}/x": "postgresql://HOST/DATABASE",
    f"postgresql:me:{PASSWORD}@{FAR}/x": "postgresql://HOST/DATABASE",
    "sqlite://": "names no file",
    "sqlite:///": "names no file",
    "sqlite:///:memory:": "names no file",
    "sqlite:////var/lib/": "names no file",
    "sqlite://var/lib/x.db": "on this machine",
    "sqlite:///x.db?mode=ro": "cannot have any",
    f"postgresql://me:{PASSWORD}@{FAR}": "must name one database",
    f"postgresql://me:{PASSWORD}@{FAR}/": "must name one database",
    f"postgresql://me:{PASSWORD}@{FAR}/a/b": "must name one database",
    "postgresql:///leads": "names no host",
    f"postgresql://one.example.com,{FAR}/leads": "several hosts",
    f"postgresql://me:{PASSWORD}@{FAR}:x/leads": "host or port cannot be read",
    f"postgresql://me:{PASSWORD}@{FAR}:0/leads": "host or port cannot be read",
    f"postgresql://me:{PASSWORD}@{FAR}:65536/leads": "host or port cannot be read",
    f"postgresql://me:{PASSWORD}@[::1/leads": "host or port cannot be read",
    f"postgresql://me:12/{PASSWORD}@{FAR}/leads": "@ in its path",
    f"postgresql://me:{PASSWORD[:4]}/{PASSWORD}@{FAR}/leads": "@ in its path",
    f"postgresql://me:{PASSWORD}#{PASSWORD}@{FAR}/leads": "fragment",
    f"postgresql://me:{PASSWORD}?{PASSWORD}@{FAR}/leads": "host or port cannot be read",
    f"postgresql://{FAR}/leads#{PASSWORD}": "fragment",
    f"postgresql://me:%zz{PASSWORD}@{FAR}/leads": "percent-encoding",
    f"postgresql://me:%ff{PASSWORD}@{FAR}/leads": "percent-encoding",
    f"postgresql://me:%00{PASSWORD}@{FAR}/leads": "percent-encoding",
    f"postgresql://{FAR}/leads?hostaddr=10.0.0.1": "option",
    f"postgresql://{FAR}/leads?service={PASSWORD}": "option",
    f"postgresql://{FAR}/leads?password={PASSWORD}": "option",
    f"postgresql://{FAR}/leads?{PASSWORD}": "option",
    f"postgresql://{FAR}/leads?sslmode=": "unknown or empty",
    f"postgresql://{FAR}/leads?sslmode=require&sslmode=disable": "twice",
    f"postgresql://{FAR}/leads?sslmode=off": "sslmode must be one of",
    f"postgresql://{FAR}/leads?host=/run/x": "folder of a Unix socket",
    "postgresql:///leads?host=10.0.0.1": "folder of a Unix socket",
    "redis://": "names no host",
    f"rediss://:{PASSWORD}@{FAR}/leads": "must be one number",
    "redis://127.0.0.1/1?db=2": "must be one number",
    "redis://127.0.0.1?ssl_ca_certs=/x": "need rediss://",
    f"rediss://{FAR}?ssl_cert_reqs=none": "option",
    "unix://": "three slashes",
    "unix://run/valkey.sock": "three slashes",
}


@pytest.mark.parametrize("url", REFUSED)
def test_what_cannot_be_used_is_refused_at_once(url: str) -> None:
    """With what to write instead; nothing of it is shown, as a password may have slipped into any part of it."""
    with pytest.raises(ConfigurationError, match="shared store cannot be used: ") as caught:
        Shared(url)
    assert REFUSED[url] in str(caught.value)
    assert PASSWORD not in show_all(caught.value)


@pytest.mark.parametrize("url", [None, 7, b"redis://127.0.0.1", Path("/x")])
def test_what_is_not_text_is_refused(url: object) -> None:
    """With its type."""
    with pytest.raises(ConfigurationError, match=f"is a {type(url).__name__}; it must be a string"):
        Shared(url)  # type: ignore[arg-type]


PLAIN = {
    f"redis://{FAR}": "use rediss://",
    "redis://10.0.0.7": "use rediss://",
    "redis://127.1": "use rediss://",
    "redis://0.0.0.0": "use rediss://",
    "redis://localhost.example.com": "use rediss://",
    "redis://[2001:db8::1]:6379": "use rediss://",
    f"postgresql://me:{PASSWORD}@{FAR}/leads?sslmode=disable": "use verify-full",
    f"postgresql://{FAR}/leads?sslmode=allow": "use verify-full",
    f"postgresql://{FAR}/leads?sslmode=prefer": "use verify-full",
}


@pytest.mark.parametrize("url", PLAIN)
def test_plain_text_to_another_machine_needs_permission(url: str) -> None:
    """`allow_plaintext=True` gives it, and only `True` does."""
    with pytest.raises(ConfigurationError, match="allow_plaintext=True or --allow-plaintext") as caught:
        Shared(url)
    assert PLAIN[url] in str(caught.value)
    assert PASSWORD not in show_all(caught.value)
    assert parse_address(url, allow_plaintext=True).host
    with pytest.raises(ConfigurationError, match="allow_plaintext is 'yes'"):
        Shared(url, allow_plaintext="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "allow", "mode"),
    [
        (f"postgresql://{FAR}/leads", False, "verify-full"),
        (f"postgresql://{FAR}/leads", True, "prefer"),
        (f"postgresql://{FAR}/leads?sslmode=require", False, "require"),
        (f"postgresql://{FAR}/leads?sslmode=verify-ca", True, "verify-ca"),
        ("postgresql://127.0.0.1/leads", False, "prefer"),
        ("postgresql://[::1]/leads", False, "prefer"),
        ("postgresql://localhost/leads?sslmode=disable", False, "disable"),
        ("postgresql:///leads?host=/run/postgresql", False, "prefer"),
    ],
)
def test_how_postgres_is_encrypted(url: str, allow: bool, mode: str) -> None:
    """The certificate is verified on the way to another machine, unless the URL names another mode."""
    assert parse_address(url, allow_plaintext=allow).options["sslmode"] == mode


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{PASSWORD}@{FAR}/leads",
        f"rediss://:{PASSWORD}@{FAR}",
        f"nonsense://:{PASSWORD}@{FAR}",
        f"postgresql://{FAR}/leads?password={PASSWORD}",
        f"postgresql://{FAR}/leads?a=b&sslpassword={PASSWORD}",
        f"postgresql://me:{PASSWORD}/{PASSWORD}@{FAR}/leads",
        f"me:{PASSWORD}@{FAR}/leads",
    ],
)
def test_a_password_is_found_in_a_url_of_any_shape(url: str) -> None:
    """Also in one that cannot be used."""
    assert has_password(url)


@pytest.mark.parametrize(
    "url",
    ["sqlite:////a:b/c@d.db", f"postgresql://me@{FAR}:5432/leads", "postgresql://me:@/leads", f"rediss://{FAR}:1"],
)
def test_no_password_is_found_where_there_is_none(url: str) -> None:
    """A port, a path that looks like one, and an empty one."""
    assert not has_password(url)


def test_user_and_password_are_cut_out_of_what_a_driver_says() -> None:
    """Also where its text is cut; a short user name leaves the other words as they are."""
    address = parse_address("postgresql://a:top-secret@127.0.0.1/leads")
    said = redact(address, RuntimeError('password authentication failed for user "a" (top-secret)'))
    assert said == 'RuntimeError: password authentication failed for user "…" (…)'
    assert "top" not in redact(address, RuntimeError("x" * 283 + " top-secret"))

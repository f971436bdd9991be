"""What goes to a store is encrypted and its certificate verified, and no error shows a user or a password."""

import asyncio
import copy
import logging
import os
import pickle
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from leadconnector_async import ConfigurationError, LeadConnector, LeadConnectorError, Shared, StoreUnavailableError
from leadconnector_async._sharing.crypto import make_key
from leadconnector_async._sharing.store import MISSING
from leadconnector_async._sharing.url import parse_address
from leadconnector_async.integrations.postgres import build_settings

from ..leaks import show_all
from ..servers import PostgresServer, StoreServer, ValkeyServer, take_port
from .certificates import write_authority
from .conftest import migrate
from .counting import KEEP, add, get
from .relay import relay

USER = "a-user-qqqq"
PASSWORD = "p/ss:w@rd-%zz"
OTHER = "another-xxxx"


def build_valkey() -> StoreServer:
    server = ValkeyServer("--user", USER, "on", f">{PASSWORD}", "~*", "+@all", "--user", "default", "off")
    server.is_ready = lambda: _accepts(server.port)  # type: ignore[method-assign] # it tells nothing without a password
    return server


def _accepts(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(params=["postgresql", "redis"], scope="module")
def guarded_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that wants a user and a password."""
    name, password = quote(USER, safe=""), quote(PASSWORD, safe="")
    if request.param == "redis":
        with build_valkey() as server:
            yield f"redis://{name}:{password}@127.0.0.1:{server.port}"
        return
    server = PostgresServer()
    rules = server.folder / "hba.conf"
    rules.write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    server.options = ("-c", f"hba_file={rules}")
    with server:
        with psycopg.connect(host=str(server.folder), port=server.port, user="postgres") as connection:
            connection.execute(f"""CREATE ROLE "{USER}" SUPERUSER LOGIN PASSWORD '{PASSWORD}'""".encode())
        yield f"postgresql://{name}:{password}@127.0.0.1:{server.port}/postgres"


def check_nothing_leaks(error: BaseException) -> None:
    shown = show_all(error)
    for secret in (USER, PASSWORD, OTHER, quote(PASSWORD, safe=""), "psycopg", "redis.exceptions"):
        assert secret not in shown, [line[:300] for line in shown.splitlines() if secret in line]
    assert isinstance(error, LeadConnectorError)
    assert (error.__cause__, error.__context__) == (None, None)


async def catch(shared: Shared) -> LeadConnectorError:
    """The same for every use."""
    errors: list[LeadConnectorError] = []
    for use in (
        shared.check,
        shared.migrate,
        lambda: shared.store.read("key"),
        lambda: shared.store.swap("key", MISSING, b"", KEEP),
    ):
        with pytest.raises(LeadConnectorError) as caught:
            await use()
        check_nothing_leaks(caught.value)
        errors.append(caught.value)
    await shared.aclose()
    assert len({type(one) for one in errors}) == 1
    return errors[0]


async def test_a_user_and_a_password_of_any_characters_can_be_used(guarded_url: str) -> None:
    """Percent-encoded in the URL."""
    shared = Shared(guarded_url)
    await shared.migrate()
    before = await get(shared.store)
    await add(shared.store, 1)
    assert await get(shared.store) == before + 1
    await shared.aclose()


@pytest.mark.parametrize("which", ["password", "user", "nobody", "database"])
async def test_what_a_server_refuses_shows_no_secret(
    guarded_url: str, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is an error in the settings, at once, and not an outage that is waited for; logs show nothing either."""
    caplog.set_level(logging.DEBUG)
    where = guarded_url.rpartition("@")[2]
    name, password = quote(USER, safe=""), quote(PASSWORD, safe="")
    scheme = guarded_url.partition(":")[0]
    url = {
        "password": f"{scheme}://{name}:{OTHER}@{where}",
        "user": f"{scheme}://{OTHER}:{password}@{where}",
        "nobody": f"{scheme}://{where}" if scheme == "redis" else f"{scheme}://{name}@{where}",
        "database": f"{guarded_url}/9999"
        if scheme == "redis"
        else guarded_url.replace("/postgres", f"/{OTHER}-db"),
    }[which]
    if which == "database" and scheme == "postgresql":
        url = guarded_url.removesuffix("postgres") + "missing"
    error = await catch(Shared(url))
    assert isinstance(error, ConfigurationError), error
    assert f"{scheme}://127.0.0.1:{urlsplit(guarded_url).port}" in str(error)
    with pytest.raises(ConfigurationError):
        async with Shared(url):
            pass
    assert not [one for one in (USER, PASSWORD, OTHER) if one in caplog.text]


@pytest.mark.parametrize("scheme", ["postgresql", "redis"])
async def test_a_server_that_is_away_shows_no_secret(scheme: str) -> None:
    """Its error is an outage, with its address."""
    where = f"127.0.0.1:{take_port()}"
    url = f"{scheme}://{USER}:{OTHER}@{where}/{'leads' if scheme == 'postgresql' else 1}"
    error = await catch(Shared(url))
    assert isinstance(error, StoreUnavailableError)
    assert where in str(error)
    assert any(one in str(error) for one in ("refused", "Connect call failed"))
    async with Shared(url):
        pass  # a program may start while it is away


@pytest.mark.parametrize("scheme", ["postgresql", "redis"])
async def test_a_host_without_an_address_is_an_outage(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server may be away too."""

    def look_up(*given: object, **more: object) -> list[object]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    url = f"{scheme}s" if scheme == "redis" else scheme
    error = await catch(
        Shared(f"{url}://{USER}:{OTHER}@no-such-host.invalid/{'leads' if scheme == 'postgresql' else 1}")
    )
    assert isinstance(error, StoreUnavailableError)


@pytest.mark.parametrize("scheme", ["postgresql", "redis"])
async def test_a_server_of_another_kind_is_an_error_without_a_secret(scheme: str) -> None:
    """One that sends anything else, and repeats what it was sent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = await reader.read(1000)
        writer.write(b"E" + sent + b"\r\nHTTP/1.1 400 " + USER.encode() + OTHER.encode() + b"\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    where = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    error = await catch(Shared(f"{scheme}://{USER}:{OTHER}@{where}/{'leads' if scheme == 'postgresql' else 1}"))
    assert where in str(error)
    server.close()
    await server.wait_closed()


TLS = {"postgresql": ("sslmode=verify-full&sslrootcert", "postgresql"), "redis": ("ssl_ca_certs", "rediss")}


@pytest.mark.parametrize("kind", TLS)
async def test_a_certificate_is_verified(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Its authority and the name of its host; nothing but TLS is spoken."""
    server = str(request.getfixturevalue("postgres_url" if kind == "postgresql" else "redis_url"))
    direct = Shared(server)
    await direct.migrate()
    await direct.aclose()
    option, scheme = TLS[kind]
    authority, context = write_authority(tmp_path)
    other, of_other_host = write_authority(tmp_path, "192.0.2.1")
    for shown, trusted, is_valid in [
        (context, authority, True),
        (context, other, False),
        (of_other_host, other, False),
    ]:
        async with relay(server, shown) as between:
            url = between.url.replace(f"{kind}://", f"{scheme}://")
            shared = Shared(f"{url}?{option}={quote(str(trusted))}")
            if is_valid:
                await add(shared.store, 1)
                assert await get(shared.store) == 1
            else:
                with pytest.raises(ConfigurationError, match="certificate"):
                    await shared.store.read("key")
            await shared.aclose()


async def test_a_server_without_tls_is_refused_where_it_is_required(redis_url: str, postgres_url: str) -> None:
    """No password is sent in plain text before that is known."""
    async with relay(redis_url) as between:
        shared = Shared(between.url.replace("redis://", f"rediss://{USER}:{OTHER}@"))
        with pytest.raises(LeadConnectorError):
            await shared.check()
        await shared.aclose()
    for mode in ("require", "verify-full"):
        shared = Shared(f"{postgres_url}?sslmode={mode}")
        with pytest.raises(ConfigurationError, match="SSL"):
            await shared.check()
        await shared.aclose()


async def test_redis_over_tls_trusts_no_unknown_authority(redis_url: str, tmp_path: Path) -> None:
    """Without an option, only the authorities of the system are trusted."""
    _, context = write_authority(tmp_path)
    async with relay(redis_url, context) as between:
        shared = Shared(between.url.replace("redis://", "rediss://"))
        with pytest.raises(ConfigurationError, match="certificate verify failed"):
            await shared.check()
        await shared.aclose()


def test_no_variable_leads_postgres_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Host, address, port, database and encryption are those of the URL; a password may come from a file."""
    for name in (
        "PGHOST",
        "PGHOSTADDR",
        "PGPORT",
        "PGDATABASE",
        "PGSSLMODE",
        "PGTARGETSESSIONATTRS",
        "PGGSSENCMODE",
    ):
        monkeypatch.setenv(name, "disable")
    settings = build_settings(parse_address("postgresql://db.example.com/leads"))
    explicit = {"host": "db.example.com", "hostaddr": "", "port": "5432", "dbname": "leads"}
    assert settings.items() >= (explicit | {"sslmode": "verify-full", "gssencmode": "disable"}).items()
    assert "password" not in settings
    assert "user" not in settings
    assert os.path.exists(settings["sslrootcert"]) or settings["sslrootcert"] == "system"


async def test_a_variable_does_not_lead_a_connection_elsewhere(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Libpq would use a `PGHOSTADDR` or a service that nobody has thought of."""
    await _migrate(postgres_url)
    services = tmp_path / "services"
    services.write_text("[elsewhere]\nhostaddr=192.0.2.1\nsslmode=require\nport=1\n")
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    monkeypatch.setenv("PGSERVICE", "elsewhere")
    async with Shared(postgres_url) as shared:
        await add(shared.store, 1)


async def test_the_password_of_postgres_may_be_in_its_own_file(
    guarded_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`PGPASSFILE`, as every client of Postgres reads it."""
    if not guarded_url.startswith("postgresql"):
        return
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    path = tmp_path / "pgpass"
    path.write_text(f"127.0.0.1:*:*:{USER}:{escaped}\n")
    path.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(path))
    url = f"postgresql://{USER}@{guarded_url.rpartition('@')[2]}"
    await _migrate(url)
    async with Shared(url) as shared:
        await shared.check()


async def test_a_unix_socket_needs_no_encryption(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It does not leave the machine."""
    server = ValkeyServer("--unixsocket", "socket", "--unixsocketperm", "700")
    with server:
        shared = Shared(f"unix://{server.folder}/socket?db=3")
        await add(shared.store, 1)
        assert await get(shared.store) == 1
        await shared.aclose()
    with PostgresServer() as postgres:
        url = f"postgresql://postgres@/postgres?host={postgres.folder}"
        shared = Shared(url.replace("@/postgres", f"@:{postgres.port}/postgres"))
        await shared.migrate()
        await add(shared.store, 1)
        await shared.aclose()


async def _migrate(url: str) -> None:
    shared = Shared(url)
    await shared.migrate()
    await shared.aclose()


async def test_what_holds_a_password_and_connections_is_not_pickled(store_url: str) -> None:
    """Before it is used and afterwards, also within a client; not half a copy either."""
    await migrate(store_url)
    async with Shared(store_url, key=make_key()) as shared:
        client = LeadConnector("pit-token", shared=shared)
        for one in (Shared(store_url, key=make_key()), shared, shared.token_store(), client):
            for spread in (pickle.dumps, copy.deepcopy):
                with pytest.raises(TypeError, match=r"cannot be pickled or copied; create one in each process"):
                    spread(one)

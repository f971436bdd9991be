"""Every way to open a client that shares its limits, and who shares what."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leadconnector_async import ConfigurationError, LeadConnector, OAuthApp, Shared
from leadconnector_async._sharing.state import BudgetState, decode
from leadconnector_async.jobs import update_many
from leadconnector_async.sandbox import Limits, Sandbox

from ..cli.commanding import run
from ..conftest import MakeClient
from ..jobs.jobbing import rows, week_later
from ..jobs.jobbing import run as run_job

PASSWORD = "pass-w0rd-zzzz"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'shared.db'}"


@pytest.fixture
async def shared(url: str) -> AsyncIterator[Shared]:
    async with Shared(url) as opened:
        yield opened


async def find_state(url: str, location_id: str, app: str = "pit") -> BudgetState | None:
    async with Shared(url) as looking:
        return decode((await looking.store.read(f"{app}/{location_id}")).content)


async def test_the_environment_names_the_store(sandbox: Sandbox, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_env` reads LEADCONNECTOR_SHARED; the store is closed with the client, and has heard of its request."""
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", sandbox.token)
    monkeypatch.setenv("LEADCONNECTOR_LOCATION_ID", sandbox.location_id)
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", sandbox.url)
    monkeypatch.setenv("LEADCONNECTOR_SHARED", url)
    async with LeadConnector.from_env() as client:
        await client.get_appointment(sandbox.appointment_ids[0])
        assert (client.quota.source, client.quota.members) == ("shared", 1)
    state = await find_state(url, sandbox.location_id)
    assert state is not None
    assert (len(state.used), state.members) == (1, {})


async def test_the_command_line_names_the_store(sandbox: Sandbox, url: str) -> None:
    """`--shared`; the request counts for all others."""
    env = {
        "LEADCONNECTOR_TOKEN": sandbox.token,
        "LEADCONNECTOR_LOCATION_ID": sandbox.location_id,
        "LEADCONNECTOR_BASE_URL": sandbox.url,
    }
    code, _, err = await run("get", sandbox.appointment_ids[0], "--shared", url, env=env)
    assert (code, err) == (0, "")
    state = await find_state(url, sandbox.location_id)
    assert state is not None
    assert len(state.used) == 1


async def test_no_command_takes_a_password(sandbox: Sandbox) -> None:
    """All users of the machine can see it: exit code 2, and it is not repeated."""
    env = {"LEADCONNECTOR_TOKEN": "t", "LEADCONNECTOR_LOCATION_ID": "l", "LEADCONNECTOR_BASE_URL": sandbox.url}
    url = f"postgresql://me:{PASSWORD}@127.0.0.1/leads"
    for words in (["get", "ev1"], ["delete", "ev1", "--yes"], ["resume", "job"], ["verify", "job"]):
        code, out, err = await run(*words, "--shared", url, env=env)
        assert code == 2
        assert PASSWORD not in out + err
        assert "LEADCONNECTOR_SHARED" in err


@pytest.mark.sandbox(limits=Limits(max_requests=100, interval=10.0))
async def test_copies_share_too(sandbox: Sandbox, make_client: MakeClient, shared: Shared) -> None:
    """`with_options` and `for_location`, each location by itself."""
    client = make_client(shared=shared)
    bulk = client.with_options(priority="bulk")
    other = client.for_location("another", sandbox.issue_token())
    await bulk.get_appointment(sandbox.appointment_ids[0])
    await other.get_appointment(sandbox.appointment_ids[0])
    assert {one.quota.source for one in (client, bulk, other)} == {"shared"}
    assert client.quota.remaining == bulk.quota.remaining == other.quota.remaining == 99


@pytest.mark.sandbox(limits=Limits(interval=60.0))
async def test_jobs_share_too(
    sandbox: Sandbox, make_client: MakeClient, shared: Shared, url: str, tmp_path: Path
) -> None:
    """Each request of a `BulkJob` and of `update_many` takes a lease: none is sent that the store does not know."""
    client = make_client(shared=shared)
    summary = await run_job(tmp_path / "job", client, rows(*week_later(sandbox, 5)))
    assert summary.counts == {"applied": 5}
    changes = [{"event_id": sandbox.appointment_ids[0], "title": "New"}]
    assert [one.state async for one in update_many(client, changes)] == ["applied"]
    await client.aclose()
    state = await find_state(url, sandbox.location_id)
    assert state is not None
    assert len(state.used) == len(sandbox.requests)


async def test_clients_in_one_process_are_one_member(
    sandbox: Sandbox, make_client: MakeClient, shared: Shared
) -> None:
    """They have one lane for the location, so a slot that one waits for is not kept for the other."""
    first, second = make_client(shared=shared), make_client(shared=shared)
    await asyncio.gather(*(one.get_appointment(sandbox.appointment_ids[0]) for one in (first, second)))
    assert first.quota.members == second.quota.members == 1
    await first.aclose()
    await second.get_appointment(sandbox.appointment_ids[0])


async def test_each_event_loop_is_a_member(sandbox: Sandbox, make_client: MakeClient, url: str) -> None:
    """A `Shared` may be used in several threads; they share the limit as processes do."""
    shared = Shared(url)
    client = make_client(shared=shared)
    members: list[int] = []

    async def call() -> None:
        async with LeadConnector(
            sandbox.token, location_id=sandbox.location_id, base_url=sandbox.url, shared=shared
        ) as other:
            await other.get_appointment(sandbox.appointment_ids[0])
            members.append(other.quota.members)

    await client.get_appointment(sandbox.appointment_ids[0])
    thread = threading.Thread(target=lambda: asyncio.run(call()))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert members == [2]
    await shared.aclose()


async def test_an_event_loop_that_ended_is_forgotten(
    sandbox: Sandbox, make_client: MakeClient, shared: Shared
) -> None:
    """Also without a goodbye: a program that calls `asyncio.run` again and again keeps none of its loops."""

    async def call() -> None:
        client = LeadConnector(sandbox.token, location_id="l", base_url=sandbox.url, shared=shared)
        await client.get_appointment(sandbox.appointment_ids[0])
        await client._shared.transport.close()

    for _ in range(3):
        await asyncio.to_thread(asyncio.run, call())
    await make_client(shared=shared).get_appointment(sandbox.appointment_ids[0])
    assert len(shared.membership._members) == 1


async def test_the_app_is_that_of_the_tokens(sandbox: Sandbox, url: str) -> None:
    """An OAuth app's client id, or the name that was given: HighLevel counts each app by itself."""
    app = OAuthApp(sandbox.client_id, sandbox.client_secret, base_url=sandbox.url)
    await app.exchange_code(sandbox.issue_code())
    for given, name in ((None, sandbox.client_id), ("booking", "booking")):
        async with (
            Shared(url, app=given) as shared,
            LeadConnector(
                app.provider(sandbox.location_id),
                location_id=sandbox.location_id,
                base_url=sandbox.url,
                shared=shared,
            ) as client,
        ):
            await client.get_appointment(sandbox.appointment_ids[0])
        assert await find_state(url, sandbox.location_id, name) is not None
    assert await find_state(url, sandbox.location_id) is None


async def test_leases_are_not_used_after_a_fork(
    sandbox: Sandbox, make_client: MakeClient, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are the parent's: the child is told to create a client of its own."""
    client = make_client(shared=shared)
    await client.get_appointment(sandbox.appointment_ids[0])
    pid = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: pid + 1)
    with pytest.raises(ConfigurationError, match="forked"):
        await client.get_appointment(sandbox.appointment_ids[0])
    monkeypatch.undo()


def test_only_a_shared_is_accepted() -> None:
    """Not its URL, which may hold a password."""
    with pytest.raises(ConfigurationError, match="shared"):
        LeadConnector("t", shared="sqlite:////tmp/x.db")  # type: ignore[arg-type]

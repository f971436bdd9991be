"""The programs of the pages *Use Redis* and *Use Postgres*, with real servers; and the user that Redis gets."""

import asyncio
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from leadconnector_async import AppointmentCreate, LeadConnector, OAuthApp, RateLimit, Shared
from leadconnector_async.sandbox import Sandbox

from ..cli.shell import build_environment
from ..conftest import MakeClient

HOW_TO = Path(__file__).parents[2] / "docs/pages/how-to"
PAGES = {"redis": HOW_TO / "use-redis.md", "postgresql": HOW_TO / "use-postgres.md"}
pytestmark = pytest.mark.campaign(60)
LIMIT = RateLimit(interval=0.5)
"""A server that has just been started gives out nothing for longer than that."""
KEY = "b25seS1hbi1leGFtcGxlLW9mLWEta2V5LTEyMzQ1Njc="


@pytest.mark.parametrize("store_url", PAGES, indirect=True)
async def test_the_program_of_a_page_shares_a_limit(sandbox: Sandbox, store_url: str) -> None:
    """With the URL of a server in place of the page's."""
    shared = Shared(store_url)
    await shared.migrate()
    await shared.aclose()
    page = PAGES[urlsplit(store_url).scheme].read_text()
    [program] = re.findall(r"```python notest\n(.*?)```", page, re.DOTALL)
    program = re.sub(r'URL = "[^"]+"', f'URL = "{store_url}"', program)
    program = program.replace("LeadConnector, Shared", "LeadConnector, RateLimit, Shared")
    program = program.replace(
        "from_env(shared=shared", "from_env(rate_limit=RateLimit(interval=0.5), shared=shared"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, env=build_environment(sandbox), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert (process.returncode, out.decode()) == (0, "shared 1\n")


@pytest.fixture
def user_url(redis_url: str) -> Iterator[str]:
    """The server's URL for the user of the page."""
    import redis  # only these tests need it

    [line] = re.findall(r"^ACL SETUSER .*$", PAGES["redis"].read_text(), re.MULTILINE)
    name, password = f"clinic{uuid.uuid4().hex}", uuid.uuid4().hex
    command = line.replace("clinic", name, 1).replace(">PASSWORD", f">{password}").split()
    with redis.Redis.from_url(redis_url) as admin:
        admin.execute_command(*command)
        yield redis_url.replace("://", f"://{name}:{password}@")
        admin.execute_command("ACL", "DELUSER", name)


async def test_the_user_of_the_redis_page_may_do_all_that_is_needed(
    sandbox: Sandbox, make_client: MakeClient, user_url: str
) -> None:
    """Limits, tokens and keys; and nothing with the keys of others."""
    import redis  # only these tests need it

    async with Shared(user_url, key=KEY) as shared:
        app = OAuthApp(sandbox.client_id, sandbox.client_secret, store=shared.token_store(), base_url=sandbox.url)
        await app.exchange_code(sandbox.issue_code())
        client: LeadConnector = make_client(app.provider(sandbox.location_id), rate_limit=LIMIT, shared=shared)
        known = sandbox.appointment(sandbox.appointment_ids[0])
        booking = AppointmentCreate(
            calendar_id=known.calendar_id,
            contact_id=known.contact_id,
            assigned_user_id=known.assigned_user_id,
            start_time=known.start_time,
            ignore_free_slot_validation=True,
        )
        booked = [await client.create_appointment(booking, once="order-1") for _ in range(2)]
        assert booked[0].id == booked[1].id
        assert client.quota.source == "shared"
    with redis.Redis.from_url(user_url) as user:
        for command in (("SET", "other", "x"), ("CONFIG", "GET", "*"), ("FLUSHALL",), ("KEYS", "*")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                user.execute_command(*command)

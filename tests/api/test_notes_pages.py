"""A server that does not heed the offset of a page: its list has no end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from leadconnector_async import DecodeError, InvalidEventError, LeadConnector, OutcomeUnknownError, RetryPolicy

from ..raw_server import answer

QUICK = RetryPolicy(backoff_base=0.001, apply_timeout=0.01, max_attempts=2)
PAGE = answer(200, json.dumps({"notes": [{"id": "n1", "body": "x"}], "hasMore": True}).encode())


@asynccontextmanager
async def serve(*created: bytes) -> AsyncIterator[LeadConnector]:
    """A server with always the same page of notes, and these responses to creations; an empty one is lost."""
    responses = list(created)

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"POST"):
                    await reader.readuntil(b"}")
                response = responses.pop(0) if head.startswith(b"POST") else PAGE
                if not response:
                    break
                writer.write(response)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with LeadConnector("pit-x", base_url=url, location_id="loc", retry=QUICK) as client:
            yield client
    finally:
        server.close()
        await server.wait_closed()


async def test_a_page_that_comes_again_is_an_error() -> None:
    """Not the end: the notes of the pages that cannot be read would be missing without notice."""
    async with serve() as client:
        notes = client.list_notes("ev")
        assert (await anext(notes)).id == "n1"
        with pytest.raises(DecodeError, match=r"The notes from number 1 on are those of earlier pages again"):
            await anext(notes)


async def test_what_such_a_list_does_not_show_may_have_been_created() -> None:
    """After a lost response it is neither found nor called missing."""
    async with serve(b"") as client:
        with pytest.raises(OutcomeUnknownError, match="Part of the calendar cannot be read"):
            await client.create_note("ev", "Called back.")


async def test_a_note_of_a_key_that_such_a_list_does_not_show_is_an_error() -> None:
    """It was created: it is not created again."""
    async with serve(answer(201, b'{"note": {"id": "n2", "body": "Called back."}}')) as client:
        created = await client.create_note("ev", "Called back.", once="key")
        with pytest.raises(InvalidEventError, match="created n2, which is no longer listed"):
            await client.create_note("ev", "Called back.", once="key")
        assert created.id == "n2"

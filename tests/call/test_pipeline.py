"""The walk of one call."""

import sys
from pathlib import Path

import aiohttp
import pytest
import tenacity

import leadconnector_async
from leadconnector_async import AppointmentUpdate, LeadConnector
from leadconnector_async.sandbox import Sandbox

PACKAGE = str(Path(leadconnector_async.__file__).parent)
UPDATE = AppointmentUpdate(title="x")


async def test_four_own_frames_stand_between_the_caller_and_aiohttp(
    sandbox: Sandbox, client: LeadConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Method, pipeline, attempt, transport; no more."""
    frames: list[str] = []
    real = aiohttp.ClientSession._request

    async def look(*args: object, **options: object) -> aiohttp.ClientResponse:
        frame = sys._getframe(1)
        while frame is not None and frame.f_code.co_name != test_name:
            if frame.f_code.co_filename.startswith(PACKAGE):
                frames.append(frame.f_code.co_name)
            frame = frame.f_back  # type: ignore[assignment]
        return await real(*args, **options)  # type: ignore[arg-type]

    test_name = "test_four_own_frames_stand_between_the_caller_and_aiohttp"
    monkeypatch.setattr(aiohttp.ClientSession, "_request", look)
    await client.update_appointment(sandbox.appointment_ids[0], UPDATE)
    assert frames == ["send", "make", "call", "update_appointment"]


async def test_a_call_that_succeeds_never_touches_the_retry_machinery(
    sandbox: Sandbox, client: LeadConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tenacity is called in by the first failure that may pass."""
    made: list[object] = []
    real = tenacity.Retrying
    monkeypatch.setattr(tenacity, "Retrying", lambda **options: made.append(options) or real(**options))
    await client.update_appointment(sandbox.appointment_ids[0], UPDATE)
    assert made == []
    sandbox.faults.plan("update_appointment", ["503"])
    await client.update_appointment(sandbox.appointment_ids[0], UPDATE)
    assert len(made) == 1

"""The adapter of the page *Run jobs in Temporal*, with a Temporal that calls activities in its own process."""

import asyncio
import re
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from .field import LONGEST, lay_out, make_client

PAGE = Path(__file__).parents[2] / "docs/pages/how-to/run-in-temporal.md"
LOCATIONS, ROWS = 3, 10
pytestmark = [pytest.mark.campaign(180), pytest.mark.timeout(180)]


class Temporal:
    """What the adapter uses of the real one."""

    def __init__(self) -> None:
        self.beats = 0
        self.activities: list[str] = []

    def heartbeat(self) -> None:
        self.beats += 1

    async def execute_activity(
        self, activity: Any, *one: object, args: list[object] | None = None, **bounds: object
    ) -> Any:
        self.activities.append(activity.__name__)
        return await activity(*one, *(args or []))

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = ModuleType("temporalio")
        made.activity = SimpleNamespace(defn=keep, heartbeat=self.heartbeat)  # type: ignore[attr-defined]
        unsafe = SimpleNamespace(imports_passed_through=nullcontext)
        made.workflow = SimpleNamespace(  # type: ignore[attr-defined]
            defn=keep, run=keep, unsafe=unsafe, execute_activity=self.execute_activity
        )
        monkeypatch.setitem(sys.modules, "temporalio", made)


def keep(what: Any) -> Any:
    """A decorator that changes nothing."""
    return what


def read_adapter() -> str:
    (block,) = re.findall(r"```python notest\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(block)


async def test_the_adapter_carries_out_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a worker: every location is prepared, then run, and the workflow ends with the job."""
    temporal = Temporal()
    temporal.install(monkeypatch)
    async with lay_out(tmp_path, LOCATIONS, ROWS) as field:
        monkeypatch.setenv("LEADCONNECTOR_SHARED", field.server.url)
        adapter: dict[str, Any] = {}
        exec(compile(read_adapter(), str(PAGE), "exec"), adapter)  # noqa: S102 - the page's own code
        shared = adapter["SHARED"]
        clients = [make_client(field.calendar, shared)]

        async def find(location: str) -> Any:
            return clients[0].for_location(location)

        adapter["make_client"] = find
        plan = await field.submit("week")
        async with clients[0], asyncio.timeout(LONGEST):
            await adapter["CarryOut"]().run(field.find_place("week"))
        await shared.aclose()
        verdict = await field.finish("week", plan)
        assert verdict.holds, verdict
    assert temporal.activities.count("work") == 2 * LOCATIONS
    assert temporal.beats >= 2 * LOCATIONS

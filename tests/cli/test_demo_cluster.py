"""The demo with workers: real processes on a real Postgres, one of which is killed."""

import json

import pytest

from leadconnector_async.cli.demo import demo
from leadconnector_async.cli.demo_cluster import ClusterReport, list_rows
from leadconnector_async.cli.demo_steps import Step

from .commanding import run

GOOD_STEPS = [
    Step(command="a", exit_code=-9, seconds=1.0, output="", killed=True),
    Step(command="b", exit_code=0, seconds=1.0, output=""),
]


@pytest.mark.timeout(300)
@pytest.mark.campaign(180)
async def test_workers_move_twelve_locations_although_one_is_killed() -> None:
    """Its locations are taken over; each row is applied once, verified and undone; every worker ends in order."""
    code, out, _ = await run("demo", "--workers", "3", "--json", env={})
    report = json.loads(out)
    assert code == 0, report
    assert report["passed"]
    assert (report["planned"], report["applied"], report["applied_twice"]) == (180, 180, 0)
    assert (report["differing"], report["not_undone"], report["rate_limited"]) == ([], [], 0)
    assert report["taken_over"] >= 1
    assert 60 <= report["applied_at_kill"] < 180
    ends = {step["command"].split()[1]: step["exit_code"] for step in report["steps"] if not step["killed"]}
    assert ends == {"shared": 0, "worker": 0, "reschedule": 0, "jobs": 0, "verify": 0, "undo": 0}
    assert sum(step["killed"] for step in report["steps"]) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"steps": []},
        {"steps": GOOD_STEPS[1:]},
        {"steps": [*GOOD_STEPS, Step(command="c", exit_code=1, seconds=1.0, output="")]},
        {"differing": ["x"]},
        {"not_undone": ["x"]},
        {"applied_twice": 1},
        {"applied": 179},
        {"taken_over": 0},
        {"rate_limited": 1},
    ],
)
def test_the_demo_fails_if_anything_does_not_hold(fault: dict[str, object]) -> None:
    """One figure off is enough."""
    good = {"workers": 3, "planned": 180, "applied": 180, "steps": GOOD_STEPS, "taken_over": 4}
    assert ClusterReport(**good).passed  # type: ignore[arg-type]
    assert not ClusterReport(**{**good, **fault}).passed  # type: ignore[arg-type]


def test_the_result_is_said_in_words() -> None:
    """What was taken over, and how long that took."""
    words = dict(list_rows(ClusterReport(workers=3, planned=180, applied=180, taken_over=4, takeover_seconds=2.44)))
    assert words["taken over"] == "4 locations within 2.4 s"
    assert words["after undo"] == "the sandbox's state equals the state before"


@pytest.mark.parametrize("count", [1, 9, -1])
async def test_so_many_workers_make_no_sense(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody takes over from the only one, and more than eight are too many for one machine."""
    assert await demo(workers=count) == 2
    assert capsys.readouterr().err == f"--workers {count}: it must be from 2 to 8\n"

"""The public surface is a fact."""

import copy
import inspect
import pickle
import subprocess
import sys
import threading
from types import ModuleType

import pytest

import leadconnector_async
from leadconnector_async import AppointmentUpdate, LeadConnector, exceptions, jobs, sandbox, webhooks
from leadconnector_async.integrations import fastapi, starlette

from .raw_server import answer, raw_server


def test_every_public_name_is_sorted_importable_and_described() -> None:
    """What `__all__` promises is there, and says what it is."""
    for module in (leadconnector_async, sandbox, jobs, webhooks, starlette, fastapi):
        plain = sorted(
            module.__all__, key=lambda name: (not name.isupper(), name[0].islower() or name[0] == "_", name)
        )
        assert module.__all__ == plain
        for name in module.__all__:
            thing = getattr(module, name)
            assert not isinstance(thing, ModuleType)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                assert thing.__doc__


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout  # noqa: S603


def test_what_only_oauth_needs_is_loaded_when_it_is_asked_for() -> None:
    """A bare import loads none of it, nor does `dir`; a name is then what its module holds."""
    homes = leadconnector_async._HOMES
    loaded = run("import sys, leadconnector_async; dir(leadconnector_async); print(*sys.modules)").split()
    assert not {f"leadconnector_async.{home}" for home in homes.values()} & set(loaded)
    same = "import leadconnector_async as one; from leadconnector_async.{} import {} as two; print(one.{} is two)"
    assert {run(same.format(home, name, name)) for name, home in homes.items()} == {"True\n"}


def test_every_name_can_be_had_in_every_way() -> None:
    """By a star, by `dir`, and one by one; a name that does not exist is refused as by any module."""
    code = "before = set(dir()); from leadconnector_async import *; print(*set(dir()) - before - {'before'})"
    assert set(run(code).split()) == set(leadconnector_async.__all__)
    assert set(leadconnector_async.__all__) <= set(dir(leadconnector_async))
    with pytest.raises(AttributeError, match=r"module 'leadconnector_async' has no attribute 'Nonsense'"):
        leadconnector_async.Nonsense  # type: ignore[attr-defined] # noqa: B018


def test_every_error_is_public_and_under_the_root() -> None:
    """And drawn in the tree of the docstring."""
    errors = [one for one in vars(exceptions).values() if inspect.isclass(one) and issubclass(one, Exception)]
    for error in errors:
        assert issubclass(error, exceptions.LeadConnectorError)
        assert error.__name__ in leadconnector_async.__all__
        assert error.__name__ in (exceptions.__doc__ or "")


def test_the_tree_is_the_one_that_is_drawn() -> None:
    """Parents as in the picture."""
    assert issubclass(exceptions.InvalidRequestError, ValueError)
    assert exceptions.SlotUnavailableError.__base__ is exceptions.BadRequestError
    assert exceptions.InvalidEventError.__base__ is exceptions.BadRequestError
    assert exceptions.TokenExpiredError.__base__ is exceptions.AuthenticationError
    assert exceptions.DailyLimitError.__base__ is exceptions.RateLimitedError
    for name in ("WebhookSignatureError", "StaleWebhookError", "UnreadableWebhookError"):
        assert getattr(exceptions, name).__base__ is exceptions.WebhookError
    for name in ("PermissionDeniedError", "NotFoundError", "UnprocessableError", "RateLimitedError", "ServerError"):
        assert getattr(exceptions, name).__base__ is exceptions.ApiError


ERRORS = [
    value
    for value in vars(exceptions).values()
    if isinstance(value, type) and issubclass(value, exceptions.LeadConnectorError)
]


@pytest.mark.parametrize("error_type", ERRORS)
def test_every_error_survives_copies_queues_and_pickles(error_type: type[exceptions.LeadConnectorError]) -> None:
    """All its fields do; and what a queue rebuilds of its text alone claims no more than is known."""
    error = error_type("x")
    rebuilt = error_type(*error.args)
    assert (rebuilt.args, vars(rebuilt)) == (("x",), vars(error))
    for name in vars(error):
        setattr(error, name, "unknown" if name == "outcome" else f"any {name}")
    error.add_note("a note")
    for back in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301
        assert (type(back), back.args, vars(back)) == (error_type, error.args, vars(error))


def test_an_unknown_outcome_stays_one() -> None:
    """Celery's JSON keeps the type and the text of an error only."""
    never_sent = {
        "ConfigurationError",
        "InvalidRequestError",
        "PlanError",
        "PreconditionFailedError",
        "JournalError",
    }
    for error_type in ERRORS:
        if issubclass(error_type, exceptions.ApiError | exceptions.TransportError):
            error = error_type("x", outcome="unknown")
            assert error_type(*error.args).outcome == "unknown"
    for error_type in (exceptions.OutcomeUnknownError, exceptions.DeadlineExceededError, exceptions.DecodeError):
        assert error_type("x").outcome == "unknown"
    assert {one.__name__ for one in ERRORS if one("x").outcome == "not_applied"} >= never_sent


async def test_a_whole_answer_can_be_copied_and_pickled() -> None:
    """Headers and value included; names of headers stay in any case."""
    async with raw_server(answer(200, b'{"id":"ev1"}', "X-RateLimit-Max: 7")) as server:
        async with leadconnector_async.LeadConnector("t", base_url=server.url) as client:
            call = client.update_appointment("ev1", leadconnector_async.AppointmentUpdate(title="x"))
            whole = await leadconnector_async.with_response(call)
    for back in (copy.copy(whole), copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))):  # noqa: S301
        assert (back.value, back.headers, back.body) == (whole.value, whole.headers, whole.body)
        assert (back.headers["x-ratelimit-MAX"], back.quota.limit) == ("7", 7)


def test_errors_survive_a_trip_between_processes() -> None:
    """They can be pickled, facts included."""
    error = exceptions.SlotUnavailableError("HTTP 400", messages=["m"], status=400, trace_id="t", attempts=2)
    back = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(back), vars(back), str(back)) == (type(error), vars(error), str(error))


@pytest.mark.parametrize(
    "value", [lambda: 0, (one for one in ()), threading.Lock()], ids=["function", "iterator", "lock"]
)
async def test_an_error_about_a_value_that_cannot_be_pickled_can_be(value: object) -> None:
    """A pool of processes would lose it otherwise; the value's type is left of it."""
    async with LeadConnector("t", base_url="http://127.0.0.1:9") as client:
        with pytest.raises(exceptions.InvalidRequestError) as caught:
            await client.update_appointment("ev1", AppointmentUpdate(title=value))  # type: ignore[arg-type]
    back = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert (str(back), back.field, back.hint) == (str(caught.value), caught.value.field, caught.value.hint)
    assert back.value == f"<{type(value).__name__}>"

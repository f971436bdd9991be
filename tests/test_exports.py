"""The public surface is a fact."""

import inspect
import subprocess
import sys
from types import ModuleType

import pytest

import leadconnector_async
from leadconnector_async import exceptions, jobs, sandbox, webhooks


def test_every_public_name_is_sorted_importable_and_described() -> None:
    """What `__all__` promises is there, and says what it is."""
    for module in (leadconnector_async, sandbox, jobs, webhooks):
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


def test_errors_survive_a_trip_between_processes() -> None:
    """They can be pickled, facts included."""
    import pickle

    error = exceptions.SlotUnavailableError("HTTP 400", messages=["m"], status=400, trace_id="t", attempts=2)
    back = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(back), vars(back), str(back)) == (type(error), vars(error), str(error))

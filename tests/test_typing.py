"""The public surface holds no `Any`."""

import inspect
from collections.abc import AsyncGenerator
from typing import Any, get_type_hints

import pytest

import leadconnector_async
from leadconnector_async import LeadConnector, Shared, jobs, sandbox
from leadconnector_async.integrations.starlette import Backend
from leadconnector_async.webhooks import WebhookEvent, WebhookVerifier


def list_signatures() -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for module in (leadconnector_async, jobs, sandbox):
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isfunction(thing):
                found.append((name, thing))
            elif inspect.isclass(thing):
                members = [(f"{name}.{key}", one) for key, one in vars(thing).items() if not key.startswith("_")]
                found += [(name, thing), *((key, one) for key, one in members if inspect.isfunction(one))]
    return found


@pytest.mark.parametrize(
    ("name", "thing"), list_signatures(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_no_any_in_the_public_surface(name: str, thing: object) -> None:
    """Neither in a parameter, nor in a result, nor in a field."""
    module = inspect.getmodule(thing)
    hints = get_type_hints(thing, vars(module) if module else None, include_extras=True)
    assert not [key for key, hint in hints.items() if hint is Any or "typing.Any" in str(hint)]


def test_the_types_of_a_constructor_can_be_read_at_run_time() -> None:
    """As frameworks that inject dependencies do; the type of an argument that few pass is imported only then."""
    assert get_type_hints(LeadConnector.__init__)["shared"] == Shared | None
    assert get_type_hints(vars(LeadConnector)["shared"].fget)["return"] == Shared | None
    assert get_type_hints(Backend.__init__)["webhook_key"] == str | bytes | WebhookVerifier | None
    assert get_type_hints(Backend.receive_webhook)["return"] == AsyncGenerator[WebhookEvent]

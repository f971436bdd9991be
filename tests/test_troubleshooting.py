"""The page of error texts is compared with the code, so that neither is changed alone."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from leadconnector_async import LeadConnectorError, exceptions
from leadconnector_async._api import errors

PACKAGE = Path(exceptions.__file__).parent
PAGE = PACKAGE.parent / "docs" / "pages" / "how-to" / "troubleshoot-an-error.md"
COMPLETE = {
    "DeadlineExceededError",
    "JobConflictError",
    "JobNotFoundError",
    "ReadOnlyError",
    "ReconnectRequiredError",
    "StaleWebhookError",
    "TokenStoreError",
    "TransportError",
    "UnreadableWebhookError",
    "WebhookSignatureError",
    "WorkersMissingError",
}
"""Errors of which every text that stands in a call is on the page."""
OF_OTHERS = {"asyncio.run() cannot be called from a running event loop"}
BY_STATUS = {"Unauthorized", "Too Many Requests"}
"""What the server says if it says no more than its status code."""
MARK = re.compile(r"`([^`]+)`")


class Row(Struct):
    """A line of a table."""

    texts: list[str]
    errors: set[str]


def list_rows() -> list[Row]:
    """Messages, their errors, and what to do."""
    lines = [line.split("|")[1:3] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    return [Row(MARK.findall(message), set(MARK.findall(rest.split("<br>")[0]))) for message, rest in lines]


def read_template(node: ast.expr) -> str | None:
    """A text with `…` for each value in it; `None` for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(one.value if isinstance(one, ast.Constant) else "…" for one in node.values)  # type: ignore[misc]
    return None


def walk_package() -> Iterator[ast.AST]:
    """All of the code but the sandbox, which stands for the server."""
    for path in PACKAGE.rglob("*.py"):
        if "sandbox" not in path.parts:
            yield from ast.walk(ast.parse(path.read_text()))


@pytest.fixture(scope="module")
def nodes() -> list[ast.AST]:
    return list(walk_package())


def list_server_texts() -> list[str]:
    """What the code knows of the server's messages, normalized."""
    return [*errors._HINTS, *errors._EXPIRED, *errors._OF_THE_REQUEST]


def test_every_text_of_the_page_is_one_of_the_code(nodes: list[ast.AST]) -> None:
    """Or of the server, as far as the code knows it: nothing that nobody says any more."""
    ours = [text for node in nodes if isinstance(node, ast.expr) and (text := read_template(node))]
    known = list_server_texts()
    for row in list_rows():
        for text in row.texts:
            if text in OF_OTHERS | BY_STATUS or any(errors._plain(text).startswith(one) for one in known):
                continue
            begun = text.removesuffix("…")
            assert any(begun in one for one in ours), text


def test_every_error_is_on_the_page() -> None:
    """By its class; and no other."""
    own = {
        name
        for name, one in vars(exceptions).items()
        if inspect.isclass(one) and issubclass(one, LeadConnectorError) and not name.startswith("_")
    }
    named = {*MARK.findall(PAGE.read_text())}
    assert own <= named
    assert {name for row in list_rows() for name in row.errors} - own <= {"RuntimeError"}


def test_every_message_of_the_server_that_the_code_knows_is_on_the_page() -> None:
    """With what to do."""
    shown = [errors._plain(text) for row in list_rows() for text in row.texts]
    for text in list_server_texts():
        assert any(one.startswith(text) for one in shown), text


def test_errors_at_run_time_are_all_there(nodes: list[ast.AST]) -> None:
    """Other than those of invalid settings and arguments, whose texts say what to write instead."""
    shown = [text.removesuffix("…").strip() for row in list_rows() for text in row.texts]
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in COMPLETE:
            text = read_template(node.args[0]) if node.args else None
            if text is not None:
                assert any(one and one in text for one in shown), f"{node.func.id}: {text}"

"""The one table of what a status code means, and that nothing else decides by one."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import leadconnector_async
from leadconnector_async import exceptions
from leadconnector_async._api.statuses import StatusTraits, find_traits

PACKAGE = Path(leadconnector_async.__file__).parent
ERRORS = {
    400: exceptions.BadRequestError,
    401: exceptions.AuthenticationError,
    403: exceptions.PermissionDeniedError,
    404: exceptions.NotFoundError,
    422: exceptions.UnprocessableError,
    429: exceptions.RateLimitedError,
}
NOT_ABOUT_CONTENT = {401, 403, 407, 408, 425, 429}


def test_every_status_code_has_its_row() -> None:
    """What is raised, retryable, ambiguous, still running, charged to the budget, inconclusive."""
    edge = range(520, 531)
    transient = {408, 425, 429, 500, 502, 503, 504, *edge}
    for status in range(100, 700):
        is_4xx, is_success, is_5xx = 400 <= status < 500, 200 <= status < 300, status >= 500
        assert find_traits(status) == StatusTraits(
            error_type=exceptions.ServerError if is_5xx else ERRORS.get(status, exceptions.ApiError),
            is_transient=status in transient,
            is_ambiguous=not (is_4xx or is_success),
            may_still_run=status in {502, 504, *edge},
            costs_budget=status not in {401, 403, 429},
            is_inconclusive=status in {401, 403, 408, 425, 429},
            is_about_content=is_4xx and status not in NOT_ABOUT_CONTENT,
            is_from_network=300 <= status < 400 or status in (407, 511),
            is_moved=status in {307, 308},
            refuses_grant=is_success or status in {400, 401, 403, 422},
        ), status


def test_an_error_without_a_response_has_a_row() -> None:
    """It is charged to the budget, and nothing else is known."""
    assert find_traits(None) == StatusTraits()


def list_strays(source: str) -> Iterator[str]:
    """Literals of error status codes: in sets, tuples, lists, dicts, ranges and comparisons."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Set(elts=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts):
                pass
            case ast.Dict(keys=keys):
                parts = [key for key in keys if key is not None]
            case ast.Compare(left=left, comparators=others):
                parts = [left, *others]
            case ast.Call(func=ast.Name(id="range"), args=parts):
                pass
            case ast.Subscript(slice=index):
                parts = [index]
            case _:
                continue
        for part in parts:
            if isinstance(part, ast.Constant) and type(part.value) is int and 301 <= part.value < 600:
                yield f"line {part.lineno}: {part.value}"


def test_a_stray_decision_by_status_code_is_found() -> None:
    """Of every form it can have."""
    for code in ("x in {400, 404}", "429 == x", "x >= 500", "range(400, 500)", "{429: 1}", "seen[503]", "[408]"):
        assert list(list_strays(code)), code


OTHER_NUMBERS = {
    "rrule.py": "the Gregorian calendar repeats after 400 years",
    "problems.py": "the status codes that backends respond with",
}


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] != "sandbox"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_only_the_table_decides_by_status_code(path: Path) -> None:
    """No other module holds a set, a range or a comparison of its own. (The sandbox is the server.)"""
    if path.name not in ("statuses.py", *OTHER_NUMBERS):
        assert list(list_strays(path.read_text())) == []

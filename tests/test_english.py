"""The English of messages, docstrings, comments and pages: the usual terms, and no translated phrases."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "leadconnector_async").rglob("*.py"))
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs" / "pages").rglob("*.md")),
]
CODE = re.compile(r"^```.*?^```|`[^`]*`", re.DOTALL | re.MULTILINE)
TEXT_TOKENS = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
PHRASES = {
    r"\bmend(s|ed|ing)?\b": "fix, repair; a hint",
    r"(?<!there\s)\b(is|are|was|were|be) no (?!longer\b|more\b|less\b|fewer\b|later\b)\w": "is not a valid …",
    r"\bhow-?many": "sequence number",
    r"\bstands? in\b": "replaces; is in; duplicate of",
    r"\bstands? (for|as|twice|there|already|beside|where)\b": "means, is",
    r"\bclock of the wall\b": "wall-clock time",
    r"\bcom(e|es|ing|e) to (nothing|an end)\b": "has no effect, ends",
    r"\bcame to (nothing|an end)\b": "had no effect, ended",
    r"\bpart company\b": "do not retry in lockstep",
    r"\bgo(es)? on after any\b": "can be resumed after any interruption",
    r"\bis (there|here) already\b|\bis already there\b": "already exists",
    r"\bon (its|their) turn\b": "re-queued",
    r"\bit says nothing\b": "is empty; is inconclusive",
    r"\bwithout blanks\b": "without surrounding whitespace",
    r"\b(is|are) said by\b": "raises",
    r"\bhave been told\b": "have been notified",
    r"\blive through\b": "tolerate",
    r"\bnobody knows\b": "it is not known",
    r"\bfor ever\b": "forever, indefinitely",
    r"\banswer(s|ed|ing)?\b": "response, respond; a prompt",
    r"\bgo(es|ing)? on (with|after|from|when|if|at)\b": "continues; can be resumed",
    r"\bunder way\b": "in flight; in progress",
    r"\bheld against\b": "compared with",
    r"\bstands? (alone|in the way|still as)\b": "is self-contained; blocks; is still",
    r"\bof late\b": "recently",
}
"""Translated phrases, and what to write."""
ALLOWED = {
    "leadconnector_async/jobs/journal/migrate.py": 1,
}
"""How many may be found in a file: the migration names a column of the old journal."""
EXAMPLES = {
    "mend {field}": True,
    "'2027' is no id": True,
    "there is no such folder": False,
    "it is no longer available": False,
    "the how-manyeth request": True,
    "`id` stands in for it": True,
    "stands twice on the clock": True,
    "a job goes on after any end": True,
    "night.csv is there\nalready": True,
    "the answer to a request": True,
    "the response to a request": False,
}
TERMS = {
    "idempotent": ("leadconnector_async/_api/operations.py", "docs/pages/explanation/retries.md"),
    "retryable": (
        "leadconnector_async/_api/statuses.py",
        "leadconnector_async/_retry/decide.py",
        "docs/pages/explanation/retries.md",
    ),
    "status code": (
        "leadconnector_async/_api/statuses.py",
        "leadconnector_async/exceptions.py",
        "leadconnector_async/response.py",
        "docs/pages/explanation/retries.md",
    ),
    "response": ("leadconnector_async/response.py", "leadconnector_async/events.py", "README.md"),
    "rate limit": ("leadconnector_async/policy.py", "docs/pages/explanation/limiter.md", "README.md"),
}
"""Where readers who search for the usual term must find it."""


def read_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Strings and comments of a module, the prose of a page; each with its first line."""
    content = path.read_text()
    if path.suffix == ".md":
        yield 1, CODE.sub(blank_out, content)
        return
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        if token.type in TEXT_TOKENS:
            yield token.start[0], token.string


def blank_out(code: re.Match[str]) -> str:
    return "\n" * code[0].count("\n")


def find_phrases(text: str, first: int = 1) -> Iterator[str]:
    """A line break counts as the space between two words."""
    for phrase, instead in PHRASES.items():
        for found in re.finditer(phrase.replace(" ", r"\s+"), text, re.IGNORECASE):
            line = first + text.count("\n", 0, found.start())
            yield f"line {line}: {found[0]!r}; write: {instead}"


@pytest.mark.parametrize("path", [*SOURCES, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_translated_phrase_is_left(path: Path) -> None:
    """Messages, docstrings, comments and pages read as a native writer's."""
    found = [one for line, text in read_texts(path) for one in find_phrases(text, line)]
    assert len(found) <= ALLOWED.get(str(path.relative_to(ROOT)), 0), "\n".join([str(path), *found])


@pytest.mark.parametrize(("text", "found"), EXAMPLES.items())
def test_phrases_are_told_from_good_english(text: str, found: bool) -> None:
    """A phrase is found in any file, whatever surrounds it; good English is not."""
    assert bool([*find_phrases(text)]) is found


@pytest.mark.parametrize("term", TERMS)
def test_usual_terms_are_found(term: str) -> None:
    """Who searches for the field's term finds the code and the page."""
    assert [file for file in TERMS[term] if term not in (ROOT / file).read_text().lower()] == []

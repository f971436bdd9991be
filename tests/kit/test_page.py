"""The tests on the page about testing are run as a user's would be."""

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "pages" / "how-to" / "test-your-program.md"
FILE = re.compile(r"```python\n# (test_\w+)\.py\n(.*?)```", re.DOTALL)


def test_the_tests_of_the_page_pass(pytester: pytest.Pytester) -> None:
    """Without any configuration. Those of a receiver tell valid, repeated, stale and altered webhooks apart."""
    files = dict(FILE.findall(PAGE.read_text()))
    assert list(files) == ["test_program", "test_outages", "test_receiver"]
    pytester.makepyfile(**files)
    result = pytester.runpytest_subprocess("--strict-markers", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=5)

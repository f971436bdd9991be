"""Whatever is typed, and whatever the environment holds: a sentence, a code, and with `--json` one document."""

import asyncio
import io
import json
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadconnector_async.cli.app import app
from leadconnector_async.cli.errors import run_app
from leadconnector_async.sandbox import Sandbox

from ..jobs.jobbing import FAST
from .vectors import Vector, make_vector, write_files

Capture = pytest.CaptureFixture[str]
CODES = {0, 1, 2, 3, 4, 5, 6, 7, 8}
LONGEST = 8000
"""Characters on stderr: a thing that was typed is never shown whole, however long it is."""


@pytest.fixture
def served() -> Iterator[Sandbox]:
    """A sandbox in a thread of its own, because commands bring a loop of their own."""
    server, loop = Sandbox(limits=FAST, appointments=12), asyncio.new_event_loop()
    loop.run_until_complete(server.__aenter__())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield server
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(server.__aexit__(None, None, None))
    loop.close()


def name_faults(vector: Vector, code: int, out: str, err: str) -> list[str]:
    """What a command must not do."""
    found = {
        "traceback": "Traceback" in out + err,
        "fault": "This is a fault of leadconnector-async" in err,
        "code": code not in CODES,
        "silent": code != 0 and not err.strip(),
        "endless": len(err) > LONGEST,
        "steers": any(one in err for one in "\x01\x07\x1b\u202e"),
        "document": vector.wants_json and not is_document(out, code),
    }
    return [name for name, is_so in found.items() if is_so]


def is_document(out: str, code: int) -> bool:
    try:
        document = json.loads(out)
    except ValueError:
        return False
    return not isinstance(document, dict) or document.get("exit_code", code) == code


@pytest.mark.campaign
def test_every_command_line_ends_in_a_sentence_a_code_and_a_document(
    served: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """400 of them, made from numbers."""
    for name in [one for one in os.environ if one.startswith("LEADCONNECTOR_")]:
        monkeypatch.delenv(name)
    account = {"TOKEN": served.token, "BASE_URL": served.url, "LOCATION_ID": served.location_id}
    for name, text in account.items():
        monkeypatch.setenv(f"LEADCONNECTOR_{name}", text)
    for number in range(400):
        vector = make_vector(random.Random(number), served)
        folder = tmp_path / str(number)
        folder.mkdir()
        write_files(folder, served)
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(vector.stdin), encoding="utf-8"))
            for name, text in vector.settings.items():
                patch.setenv(name, text)
            code = run_app(app, vector.arguments)
        assert not name_faults(vector, code, *capsys.readouterr()), (number, vector)


@pytest.mark.parametrize("columns", ["0", "1"])
def test_a_terminal_without_a_width_hides_nothing(
    columns: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """`COLUMNS=0`, as some shells and schedulers set it."""
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.chdir(tmp_path)
    assert run_app(app, ["status", "missing.job", "--json"]) == 7
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["type"] == "JobNotFoundError"
    assert "missing.job" in err


@pytest.mark.parametrize("arguments", [["\x1b[31m\x07"], ["status", "a", "\x1b[31m" + "x" * 100_000]])
def test_what_was_typed_wrong_steers_no_terminal(arguments: list[str], capsys: Capture) -> None:
    """Nor is it shown whole, however long it is."""
    assert run_app(app, arguments) == 2
    _, err = capsys.readouterr()
    assert "\x1b" not in err
    assert "\x07" not in err
    assert len(err) < LONGEST

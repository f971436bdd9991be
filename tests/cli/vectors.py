"""Random command lines, with what else a command meets: variables of the environment, files, and stdin."""

import os
import random
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from leadconnector_async.sandbox import Sandbox

VALUES = (
    *("", " ", "\x01", "\x1b[31m", "é😀", os.fsdecode(b"\xff"), "a\nb", "x" * 100_000, "9" * 400, "\u202e"),
    *("-1", "0", "nan", "inf", "1e999", "--", "-", "=", "title=", "title=x", "start_time=x", "[]", "{}", "null"),
    *("../..", "/dev/null", "/", "%2e%2e", "good.csv", "utf16.csv", "empty.csv", "nul.csv", "bad.json"),
    *("deep.json", "loop.csv", "folder", "file.job", "junk.job", "day.job", "ID", "CALENDAR"),
    *("2027-03-01", "2027-13-01", "9999-12-31", "0001-01-01", "+2d", "-9999999d", "UTC", "Mars/Phobos", "EST"),
)
SWITCHES = ("--json", "--yes", "--dry-run", "--verify", "--allow-past", "--skip-refused", "--force")
RANGE = ("--calendar", "--user", "--group", "--from", "--to", "--timezone")
FLAGS = {
    "plan": (*RANGE, "--shift", "--shift-to", "--set", "--out", "--format", "--force", "--status", "--profile"),
    "reschedule": (
        *("--job", "--dry-run", "--yes", "--canary", "--max-errors", "--rate", "--concurrency", "--on-conflict"),
        *("--verify", "--allow-past", "--skip-refused", "--max-reading-age", "--timezone", "--format", "--profile"),
        "--reserve",
    ),
    "resume": ("--profile", "--reserve"),
    "status": (),
    "retry-failed": ("--profile", "--reserve"),
    "verify": ("--profile", "--reserve"),
    "undo": ("--yes", "--dry-run", "--profile", "--reserve"),
    "get": ("--profile",),
    "update": ("--set", "--shift", "--profile"),
    "delete": ("--yes", "--profile"),
    "list": (*RANGE, "--contact"),
    "free-slots": ("--from", "--to", "--timezone", "--user"),
}
SETTINGS = (
    *(("COLUMNS", text) for text in ("0", "1", "-5", "many")),
    *(("TERM", text) for text in ("dumb", "\x01")),
    *(("TZ", text) for text in ("", ":", "Bad/Zone")),
    *(("NO_COLOR", "1"), ("HOME", "/nowhere"), ("TMPDIR", "/nowhere"), ("NETRC", "/")),
    *(("HTTP_PROXY", "http://[bad"), ("HTTPS_PROXY", "::::"), ("NO_PROXY", "[["), ("SSL_CERT_FILE", "/nowhere")),
    *(("LEADCONNECTOR_TOKEN", text) for text in (" ", "a\nb", "é", os.fsdecode(b"\xff"))),
    *(("LEADCONNECTOR_LOCATION_ID", text) for text in ("", "a/b", "😀", os.fsdecode(b"\xff"))),
    *(("LEADCONNECTOR_BASE_URL", text) for text in ("x", "ftp://x", "http://[::1", "http://127.0.0.1:99999")),
    *(("LEADCONNECTOR_PROFILE", text) for text in ("x", "é", "../..")),
    *(("LEADCONNECTOR_TOKEN_FILE", "/"), ("LEADCONNECTOR_TOKEN_COMMAND", "'")),
)


class Vector(Struct, frozen=True):
    """A command line, and what it meets."""

    arguments: list[str]
    settings: Mapping[str, str]
    stdin: bytes

    @property
    def wants_json(self) -> bool:
        return self.arguments[:1] != [] and self.arguments[0] in FLAGS and self.arguments[-1] == "--json"


def write_files(folder: Path, sandbox: Sandbox) -> None:
    """Good plans and bad ones, folders that hold no job, and a name that leads nowhere."""
    rows = "".join(f"{one},x\n" for one in sandbox.appointment_ids[:3])
    (folder / "good.csv").write_text(f"event_id,title\n{rows}")
    (folder / "utf16.csv").write_bytes("event_id,title\na,b\n".encode("utf-16"))
    (folder / "empty.csv").write_bytes(b"")
    (folder / "nul.csv").write_bytes(b"event_id,title\n\x00,\x00\n")
    (folder / "bad.json").write_text("[{]")
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "loop.csv").symlink_to("loop.csv")
    (folder / "file.job").write_text("x")
    (folder / "folder").mkdir()
    (folder / "junk.job").mkdir()
    (folder / "junk.job" / "journal.sqlite").write_bytes(b"SQLite format 3\0" + b"x" * 500)


def make_vector(dice: random.Random, sandbox: Sandbox) -> Vector:
    """The same for the same dice."""
    event_id = sandbox.appointment_ids[0]
    calendar = sandbox.appointment(event_id).calendar_id
    names = {"ID": event_id, "CALENDAR": calendar}
    command = dice.choice((*FLAGS, "reschedule", "reschedule", "nothing"))
    usual = {"get": event_id, "update": event_id, "delete": event_id, "free-slots": calendar}.get(command)
    words = [usual or dice.choice(("good.csv", "day.job", "-"))] if dice.random() < 0.6 else []
    words += [dice.choice(VALUES) for _ in range(dice.choice((0, 0, 0, 1, 2)))]
    sane = {"--from": "2027-03-01", "--to": "2027-03-05", "--timezone": "UTC", "--calendar": calendar}
    for flag in FLAGS.get(command, ()):
        if flag in sane and dice.random() < 0.7:
            words += [flag, sane[flag]]
        elif dice.random() < 0.2:
            words += [flag] if flag in SWITCHES else [flag, dice.choice(VALUES)]
    if "--" not in words and dice.random() < 0.6:
        words.append("--json")
    stdin = dice.choice((b"", b"y\n", b"[", b"\xff\xfe\x00", b"event_id,title\n" + event_id.encode() + b",y\n"))
    settings = dict([dice.choice(SETTINGS)]) if dice.random() < 0.4 else {}
    return Vector([command, *(names.get(one, one) for one in words)], settings, stdin)

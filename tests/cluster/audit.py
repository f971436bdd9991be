"""Writes down what a process starts, unpickles, compiles and connects to: `CLUSTER_AUDIT` names the file."""

import os
import re
import sys
from importlib import import_module
from typing import TextIO

EVENTS = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.forkpty",
    "pty.spawn",
    "pickle.find_class",
    "socket.connect",
    "compile",
)
LATER = (
    "leadconnector_async._client.assembly",
    "leadconnector_async.integrations.postgres",
    "leadconnector_async.integrations.postgres_journal",
    "leadconnector_async.integrations.procrastinate",
)
"""What a worker imports when it needs it: classes are made by compiling."""

TYPE = re.compile(r"[\w |\[\],.]+")


def listen() -> None:
    """From now on, until the process ends: a hook cannot be removed."""
    name = os.environ.get("CLUSTER_AUDIT")
    if name:
        for module in LATER:
            import_module(module)
        file = open(name, "a", buffering=1)  # noqa: SIM115 - as long as the process lives

        def note(event: str, arguments: tuple[object, ...]) -> None:
            write(file, event, arguments)

        sys.addaudithook(note)


def write(file: TextIO, event: str, arguments: tuple[object, ...]) -> None:
    """Importing a module compiles its file, and reading a struct for the first time the types of its fields."""
    if event not in EVENTS:
        return
    if event == "compile":
        source, name = arguments
        text = bytes(source).decode() if isinstance(source, bytes | bytearray) else str(source)
        if os.path.exists(str(name)) or TYPE.fullmatch(text):
            return
    file.write(f"{event} {arguments!r}\n")

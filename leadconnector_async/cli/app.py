"""The command line: its help, and the commands of each group."""

from __future__ import annotations

from typing import Final

from cyclopts import App, CycloptsError, CycloptsPanel, Group
from rich.panel import Panel

from .._validation.text import escape, shorten
from .._version import __version__
from . import calls, control, demo, doctor, jobs, listing, plan, sandbox, shared, worker
from .exit_codes import HELP

_HELP = """Move appointments in HighLevel (LeadConnector) in bulk, without losing any.

Try it without an account: `leadconnector demo`. Every command has its own help: `leadconnector plan --help`.

The account comes from the environment: `LEADCONNECTOR_LOCATION_ID`, and one of `LEADCONNECTOR_TOKEN`,
`LEADCONNECTOR_TOKEN_FILE` (a file that only its owner can read) and `LEADCONNECTOR_TOKEN_COMMAND` (a command that
prints the token). For an OAuth app, set `LEADCONNECTOR_CLIENT_ID`, `LEADCONNECTOR_CLIENT_SECRET` and
`LEADCONNECTOR_TOKEN_STORE`, a file or a URL, such as `keyring://SERVICE`; without the last, the tokens are in the
shared store. To use another account, `--profile clinic` or `LEADCONNECTOR_PROFILE=clinic` reads
`LEADCONNECTOR_CLINIC_TOKEN` and so on.

Processes that share a store keep one rate limit together: set `LEADCONNECTOR_SHARED` to its URL,
`LEADCONNECTOR_SHARED_FILE` to a file that contains the URL, or `LEADCONNECTOR_SHARED_COMMAND` to a command that
prints it. `LEADCONNECTOR_KEY` encrypts tokens there.

`LEADCONNECTOR_ACCESS=read`, or `--read-only`, refuses every change before anything is sent.
"""
_MOST_SHOWN: Final = 2000
"""Characters of an error: an argument can be as long as a shell allows."""


def format_error(error: CycloptsError) -> Panel:
    """A usage error, without anything that controls the terminal."""
    lines = shorten(str(error), _MOST_SHOWN).split("\n")
    return CycloptsPanel("\n".join(map(escape, lines)))


app = App(
    name="leadconnector",
    help=_HELP,
    version=__version__,
    help_epilogue=HELP,
    error_formatter=format_error,
    group_commands=Group("About the command", sort_key=5),
)

for commands in (plan, jobs, listing, control, worker, calls, doctor, demo, shared, sandbox):
    commands.register(app)
app.register_install_completion_command()  # pyright: ignore[reportUnknownMemberType] - its **kwargs have no types

"""`leadconnector shared`: prepares and checks the store that processes share, and makes keys for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from cyclopts import App, Parameter
from rich.text import Text

from .._sharing.crypto import make_key
from ..shared import Shared
from .arguments import SHARED, AllowPlaintext, Json, Profile
from .connect import make_shared
from .errors import run_command
from .exit_codes import DONE
from .output import clean, write_json
from .terminal import make_consoles

Url = Annotated[
    str | None,
    Parameter(help="URL of the store, without a password; if omitted, that of LEADCONNECTOR_SHARED."),
]
_HELP: Final = "The store that processes share: limits and tokens."


async def migrate(
    url: Url = None,
    /,
    *,
    allow_plaintext: AllowPlaintext = False,
    json_output: Json = False,
    profile: Profile = None,
) -> int:
    """Create the tables of a store, or upgrade them to this version. Needed for Postgres, and harmless elsewhere.

    Example: leadconnector shared migrate postgresql://db.example.com/leads
    """
    given = (url, profile, allow_plaintext)
    return await _run(given, Shared.migrate, "has the tables of this version", as_json=json_output)


async def check(
    url: Url = None,
    /,
    *,
    allow_plaintext: AllowPlaintext = False,
    json_output: Json = False,
    profile: Profile = None,
) -> int:
    """Connect to a store, and check that it can be used.

    Example: leadconnector shared check postgresql://db.example.com/leads
    """
    given = (url, profile, allow_plaintext)
    return await _run(given, Shared.check, "can be used", as_json=json_output)


async def key() -> int:
    """Print a new key for LEADCONNECTOR_KEY, which encrypts tokens in a store. Nothing is stored.

    To replace a key, put the new one before it, separated by a comma: `NEW,OLD`.
    """
    print(str.__str__(make_key()))
    return DONE


def register(app: App) -> None:
    """Add the commands."""
    group = App(name="shared", help=_HELP, group=SHARED)
    group.command(migrate)
    group.command(check)
    group.command(key)
    app.command(group)


async def _run(
    given: tuple[str | None, str | None, bool],
    act: Callable[[Shared], Awaitable[None]],
    result: str,
    *,
    as_json: bool,
) -> int:
    url, profile, allow_plaintext = given

    async def work() -> int:
        shared = make_shared(url, profile, allow_plaintext=allow_plaintext, required=True)
        try:
            await act(shared)
        finally:
            await shared.aclose()
        if as_json:
            write_json({"store": shared.address.shown, "result": result})
        else:
            make_consoles()[0].print(Text(clean(f"{shared.address.shown} {result}.")), soft_wrap=True)
        return DONE

    return await run_command(work)

"""The command line: `leadconnector`. Needs the extra `cli`.

A command reads its flags, calls the layers below, and turns the result into output and an exit code.
"""

import sys

from .._system.start import end_quietly, ignore_interrupts


def main() -> None:
    """Run the command line; without the extra `cli`, print how to install it."""
    end_quietly()
    from .streams import make_streams_lasting  # noqa: PLC0415 - from here on an interrupt is reported

    make_streams_lasting()
    try:
        from .app import app  # noqa: PLC0415 - the extra may be missing
        from .errors import run_app  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        if error.name not in ("cyclopts", "rich"):
            raise
        print("The command line needs the extra cli: pip install 'leadconnector-async[cli]'", file=sys.stderr)
        sys.exit(2)
    code = run_app(app, sys.argv[1:])
    ignore_interrupts()
    sys.exit(code)

"""The command line: `leadconnector`.

Words and exit codes only; whatever is done is done by the floors below. Needs the extra `cli`.
"""

import sys

from .._start import end_quietly, ignore_interrupts


def main() -> None:
    """Run the command line; without the extra `cli`, say how to get it."""
    end_quietly()
    from .terminal import make_streams_lasting  # noqa: PLC0415 - from here on an interrupt says so

    make_streams_lasting()
    try:
        from .app import app  # noqa: PLC0415 - the extra may be missing
        from .edge import run  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        if error.name not in ("cyclopts", "rich"):
            raise
        print("The command line needs an extra: pip install 'leadconnector-async[cli]'", file=sys.stderr)
        sys.exit(2)
    code = run(app, sys.argv[1:])
    ignore_interrupts()
    sys.exit(code)

"""The command line: `leadconnector`.

Rule: words and exit codes only; whatever is done is done by the floors below. Needs the extra `cli`.
"""

import sys


def main() -> None:
    """Run the command line; without the extra `cli`, say how to get it."""
    try:
        from .app import app  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError as error:
        if error.name not in ("cyclopts", "rich"):
            raise
        print("The command line needs an extra: pip install 'leadconnector-async[cli]'", file=sys.stderr)
        sys.exit(2)
    app()

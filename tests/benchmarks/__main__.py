"""`python -m tests.benchmarks call` or `import`."""

import asyncio
import sys

KINDS = ("call", "import")

if __name__ == "__main__":
    kind = sys.argv[1] if len(sys.argv) == 2 else ""
    if kind == "call":
        from .call import run

        asyncio.run(run())
    elif kind == "import":
        from . import imports

        imports.run()
    else:
        sys.exit(f"usage: python -m tests.benchmarks {{{'|'.join(KINDS)}}}")

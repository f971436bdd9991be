"""`python -m tests.benchmarks` with one of `KINDS`; `against` compares two checkouts."""

import asyncio
import sys

KINDS = ("responses", "call", "import", "limiter", "bulk", "faults", "sharing", "people", "cluster", "page")

if __name__ == "__main__":
    kind = (
        sys.argv[1]
        if len(sys.argv) == 2 or sys.argv[1:2] in (["against"], ["sharing"], ["people"], ["cluster"])
        else ""
    )
    match kind:
        case "responses":
            from . import responses

            responses.run()
        case "against":
            from . import against

            against.run(sys.argv[2:])
        case "sharing":
            from .sharing import command

            command.run(sys.argv[2:])
        case "people":
            from .people import command as people

            people.run(sys.argv[2:])
        case "cluster":
            from .cluster import command as cluster

            cluster.run(sys.argv[2:])
        case "call":
            from . import call

            call.run()
        case "bulk":
            from . import bulk

            bulk.run()
        case "faults":
            from . import faults

            asyncio.run(faults.run())
        case "import":
            from . import imports

            imports.run()
        case "page":
            from . import page

            page.run()
        case "limiter":
            from . import limiter

            limiter.run()
        case _:
            sys.exit(f"usage: python -m tests.benchmarks {{{'|'.join(KINDS)}}} | against CHECKOUT")

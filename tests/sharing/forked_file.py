"""A store that is open while a child is forked: `python -m tests.sharing.forked_file URL`.

The parent, the child, a process that opens the store anew, and the child again add to the number, one after the
other. The parent closes the store before that other process opens it. Prints the number.
"""

import asyncio
import os
import subprocess
import sys

from leadconnector_async import Shared

from .counting import add, get

TURN = b"."


async def take_turns(shared: Shared, begin: int, end: int) -> None:
    """Add once, wait for the others, and add again."""
    await add(shared.store, 1)
    os.write(end, TURN)
    os.read(begin, 1)
    await add(shared.store, 1)
    await shared.aclose()


def main(url: str) -> None:
    loop = asyncio.new_event_loop()
    shared = Shared(url)
    loop.run_until_complete(add(shared.store, 1))
    begin, to_child = os.pipe()
    from_child, end = os.pipe()
    pid = os.fork()
    if pid == 0:
        asyncio.run(take_turns(shared, begin, end))
        os._exit(0)
    os.read(from_child, 1)
    loop.run_until_complete(shared.aclose())
    subprocess.run([sys.executable, "-m", "tests.sharing.counting", url, "1"], check=True)  # noqa: S603 - ours
    os.write(to_child, TURN)
    assert os.waitpid(pid, 0)[1] == 0
    sys.stdout.write(f"{loop.run_until_complete(get(shared.store))}\n")
    loop.run_until_complete(shared.aclose())
    loop.close()


if __name__ == "__main__":
    main(sys.argv[1])

"""A thousand random scripts of faults on real sockets: what is lost, and by how much deadlines are passed."""

import asyncio

from ..campaign import Campaign, Ended

SCRIPTS, AT_ONCE = 1000, 4


async def run() -> None:
    """Half of the scripts cancel calls and set deadlines, half do not."""
    numbers = iter(range(SCRIPTS))
    plain: list[Ended] = []
    cancelling: list[Ended] = []

    async def work() -> None:
        for number in numbers:
            ended = await Campaign(number, cancelling=bool(number % 2)).run()
            (cancelling if number % 2 else plain).append(ended)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    every = plain + cancelling
    print(f"{len(every)} random scripts of 40 calls each, half of them with cancellations and deadlines\n")
    print("| what | seen |\n| --- | ---: |")
    print(f"| requests | {sum(one.seen for one in every)} |")
    print(f"| refused for their rate | {sum(one.refused for one in every)} |")
    print(f"| slots that were not given back | {sum(one.in_flight for one in every)} |")
    print(f"| callers left waiting | {sum(one.waiting for one in every)} |")
    print(f"| scripts with other requests than reported | {sum(one.seen != one.reported for one in plain)} |")
    print(f"| calls with a deadline | {sum(one.bounded for one in every)} |")
    print(f"| deadline passed by at most | {1000 * max(one.overshoot for one in every):.1f} ms |")

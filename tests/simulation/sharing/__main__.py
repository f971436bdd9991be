"""`python -m tests.simulation.sharing --schedules 10000`, or `--seed N` to play one again."""

import argparse
import multiprocessing
import time
from collections import Counter

from .schedules import play


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.sharing", description=__doc__)
    parser.add_argument("--seed", type=int, help="play only this schedule")
    parser.add_argument("--schedules", type=int, default=10_000, help="how many to play (10000)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first one (0)")
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    numbers = [chosen.seed] if chosen.seed is not None else range(chosen.first, chosen.first + chosen.schedules)
    began, broken, kinds, sent, exchanges = time.monotonic(), 0, Counter[str](), 0, 0
    with multiprocessing.Pool(chosen.processes) as pool:
        for played in pool.imap_unordered(play, numbers, 20):
            kinds[played.kind] += 1
            sent, exchanges = sent + played.sent, exchanges + played.exchanges
            if played.broken:
                broken += 1
                print(f"{played.number} ({played.kind}): {'; '.join(played.broken)}")  # noqa: T201
    print(  # noqa: T201
        f"{sum(kinds.values())} schedules ({', '.join(f'{many} {kind}' for kind, many in sorted(kinds.items()))}): "
        f"{broken} broke a law; {sent} requests, {exchanges} exchanges, {time.monotonic() - began:.0f} s"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())

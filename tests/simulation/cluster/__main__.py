"""`python -m tests.simulation.cluster --schedules 1000`, or `--seed N` to play one again and see what happened."""

import argparse
import multiprocessing
import time
from collections import Counter

from .schedules import play


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.cluster", description=__doc__)
    parser.add_argument("--seed", type=int, help="play only this schedule, and print all of it")
    parser.add_argument("--schedules", type=int, default=1000, help="how many to play (1000)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first one (0)")
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    if chosen.seed is not None:
        played = play(chosen.seed)
        print(*played.story, sep="\n")  # noqa: T201
        print(f"after {played.seconds:.0f} s: {'; '.join(played.broken) or 'all laws held'}")  # noqa: T201
        return 1 if played.broken else 0
    numbers = range(chosen.first, chosen.first + chosen.schedules)
    began, broken, faults, takes = time.monotonic(), 0, Counter[str](), 0
    with multiprocessing.Pool(chosen.processes) as pool:
        for played in pool.imap_unordered(play, numbers, 5):
            faults.update(played.faults)
            takes += played.takes
            if played.broken:
                broken += 1
                print(f"{played.seed}: {'; '.join(played.broken)}", flush=True)  # noqa: T201
    happened = ", ".join(f"{many} x {fault}" for fault, many in sorted(faults.items()))
    print(  # noqa: T201
        f"{chosen.schedules} schedules ({happened}): {broken} broke a law; "
        f"{takes} locations taken, {time.monotonic() - began:.0f} s"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())

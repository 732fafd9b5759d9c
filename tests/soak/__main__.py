"""``python -m tests.soak``: half an hour of everything at once, and what is left of it."""

import argparse
import asyncio
import random
import sys
import tempfile
from functools import partial
from pathlib import Path

from tests.soak.load import Plan
from tests.soak.soak import Soak


def main() -> int:
    """Runs it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--sessions", type=int, default=10_000, help="how many are there at a time")
    parser.add_argument("--rate", type=float, default=200.0, help="changes a second")
    parser.add_argument("--seed", type=int, default=random.randrange(10**9), help="without it a random one")
    given = parser.parse_args()
    print(f"seed {given.seed}")
    plan = Plan(given.minutes * 60, given.sessions, given.rate, given.seed)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        table, summary = asyncio.run(Soak(plan, Path(folder, "log"), partial(print, flush=True)).run())
    for what, found, holds in table:
        print(f"{ {True: 'ok', False: 'BAD', None: ''}[holds]:3} {what:18} {found}")
    print(summary)
    return 1 if any(check.holds is False for check in table) else 0


if __name__ == "__main__":
    sys.exit(main())

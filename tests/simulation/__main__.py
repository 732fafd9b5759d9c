"""``make simulate SEEDS=1000``: many runs, as many at a time as there are processors."""

import argparse
import asyncio
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import aiohappyeyeballs
import aiohttp.connector

from tests.simulation import sabotage
from tests.simulation.campaign import Campaign, Report
from tests.simulation.virtual import VirtualLoop, start_connection

PATIENCE = 40
"""Seeds after which a mistake counts as one that nobody notices."""


class Outcome(NamedTuple):
    """How one run ended; ``failure`` is "" where all was well."""

    report: Report
    failure: str
    history: list[str]


def simulate(seed: int) -> Outcome:
    """One run."""
    # aiohttp makes its sockets by the one, and forgets spare connections by the other.
    aiohappyeyeballs.start_connection = start_connection  # type: ignore[assignment]
    aiohttp.connector.monotonic = lambda: asyncio.get_running_loop().time()  # type: ignore[attr-defined]
    campaign: Campaign | None = None

    async def play() -> Report:
        nonlocal campaign
        campaign = Campaign(seed)
        return await campaign.run()

    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return Outcome(runner.run(play()), "", [])
    except BaseException as error:  # whatever it is, it belongs to this seed
        if isinstance(error, KeyboardInterrupt):
            raise
        assert campaign is not None
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        return Outcome(campaign.report, f"{type(error).__name__}: {error}", campaign.history)


def notice(name: str) -> tuple[str, int, str]:
    """Commits a mistake and runs seeds until one notices it: the mistake, the seed and what it says, "" for none."""
    sabotage.commit(name)
    seeds = [sabotage.SABOTAGES[name], *range(1, PATIENCE)]
    noticed = ((seed, failure) for seed in seeds if (failure := simulate(seed).failure))
    return name, *next(noticed, (0, ""))


def sabotaged(names: Sequence[str]) -> int:
    """Commits each of these mistakes; returns how many nobody noticed."""
    missed = 0
    # A process for each: what was replaced in one stays so.
    with multiprocessing.get_context("fork").Pool(maxtasksperchild=1) as pool:
        for name, seed, failure in pool.imap(notice, names, chunksize=1):
            missed += not failure
            print(f"{name}: " + (f"seed {seed}: {failure[:200]}" if failure else "NOBODY NOTICED"), flush=True)
    print(f"sabotage: mistakes={len(names)} missed={missed}")
    return missed


def main() -> int:
    """Runs the seeds; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many fresh ones")
    parser.add_argument("--first", type=int, help="the first of them; without it a random one")
    mistakes = [*sabotage.SABOTAGES, "all"]
    parser.add_argument("--sabotage", choices=mistakes, help="make this mistake, and see who notices it")
    options = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of strings is part of a run.
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            os.environ | {"PYTHONHASHSEED": "0"},
        )
    if options.sabotage:
        return 1 if sabotaged([*sabotage.SABOTAGES] if options.sabotage == "all" else [options.sabotage]) else 0
    first = random.randrange(10**9) if options.first is None else options.first
    begun, done, collected, failures = time.monotonic(), Counter[str](), Counter[str](), 0
    days = 0.0
    with ProcessPoolExecutor() as pool:
        for outcome in pool.map(simulate, range(first, first + options.seeds)):
            done += outcome.report.done
            days += outcome.report.seconds / 86400
            collected += outcome.report.collected
            if outcome.failure:
                failures += 1
                seed = outcome.report.seed
                print(f"seed {seed}: {outcome.failure}\n  replay: make simulate SEEDS=1 FIRST={seed}")
                print("  " + " · ".join(outcome.history[-12:]), flush=True)
    print(f"seeds {first} to {first + options.seeds - 1} in {time.monotonic() - begun:.0f} s")
    print("done: " + ", ".join(f"{name} {count}" for name, count in done.most_common()))
    print("collected: " + ", ".join(f"{reason} {count}" for reason, count in collected.most_common()))
    print(f"virtual time: {days:.1f} days")
    print(f"simulation: seeds={options.seeds} failed={failures}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

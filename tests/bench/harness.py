"""Runs the figures, one after the other, and says what came out. Knows their names."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.bench import burst, core, cost, events, lag, report, start
from tests.bench.sandbox import Sandbox
from tests.bench.setting import TINY, Bench, Scale

FIGURES: dict[str, Callable[[Bench], list[report.Row]]] = {
    "lag": lag.over_age,
    "ownerless": lag.ownerless,
    "burst": burst.figures,
    "start": start.figures,
    "core": core.figures,
    "events": events.figures,
    "cost": cost.figures,
}


def main() -> int:
    """Runs the figures; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Every figure beside what else there is."
    )
    parser.add_argument("--only", action="append", choices=FIGURES, help="this one alone; may be given several times")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    begun, rows = time.monotonic(), list[report.Row]()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        bench = Bench(folder, TINY if options.tiny else Scale(), partial(Sandbox, folder))
        for each in options.only or FIGURES:
            print(f"{each} …", file=sys.stderr, flush=True)
            rows += FIGURES[each](bench)
    seconds = time.monotonic() - begun
    report.show(rows, Sandbox.description, seconds)
    if options.json:
        report.write(options.json, rows, Sandbox.description, seconds)
    return 0

"""Runs the figures, one after the other, and reports them. Knows their names, and on which servers they run.

Figures that need a server, and no clock that is moved, are measured on a real one, too, where ``KUBEBUILDER_ASSETS``
names its programs.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import trustme

from tests import controlplane
from tests.bench import burst, core, cost, events, lag, owners, report, start
from tests.bench.real import Real
from tests.bench.sandbox import Sandbox
from tests.bench.setting import REAL, TINY, Bench, Scale

FIGURES: dict[str, Callable[[Bench], list[report.Row]]] = {
    "lag": lag.over_age,
    "ownerless": lag.ownerless,
    "burst": burst.figures,
    "start": start.figures,
    "core": core.figures,
    "events": events.figures,
    "owners": owners.figures,
    "cost": cost.figures,
}
ON_REAL = ("lag", "ownerless", "burst", "start")


def main() -> int:
    """Runs the figures; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Every figure beside what else there is."
    )
    parser.add_argument("--only", action="append", choices=FIGURES, help="this one alone; may be given several times")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    wanted, begun, rows = options.only or list(FIGURES), time.monotonic(), list[report.Row]()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        bench = Bench(folder, TINY if options.tiny else Scale(), partial(Sandbox, folder))
        rows += _figures(wanted, bench, Sandbox.description)
        if controlplane.ASSETS and (wanted := [each for each in wanted if each in ON_REAL]):
            with controlplane.control_plane(folder, trustme.CA()) as running:
                bench = Bench(folder, TINY if options.tiny else REAL, partial(Real, running, folder))
                rows += _figures(wanted, bench, Real.description)
    seconds = time.monotonic() - begun
    report.show(rows, seconds)
    if options.json:
        report.write(options.json, rows, seconds)
    return 0


def _figures(names: Iterable[str], bench: Bench, server: str) -> Iterator[report.Row]:
    for name in names:
        print(f"{name}, on {server} …", file=sys.stderr, flush=True)
        for row in FIGURES[name](bench):
            yield msgspec.structs.replace(row, server=server)

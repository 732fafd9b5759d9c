"""Start-up and memory: the daemon's time from its execution until every stream is in step, and its memory then."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.bench.programs import Daemon, Memory, dependencies
from tests.bench.report import Row, Sample, beside, growth
from tests.bench.setting import Bench

SETTLED = 1.0
"""Seconds after which the memory that only the start needs is given back."""
FEW = 10_000
"""The number of sessions up to which everything is measured several times."""
_RUN = "import ssh_session_gc.cli.main, ssh_session_gc.daemon.daemon, ssh_session_gc.telemetry.log, rich.console"
IMPORTS = ("pass", _RUN)
MIB = 2**20


class Run(NamedTuple):
    """The figures of one start."""

    seconds: float
    cpu: float
    memory: Memory


def figures(bench: Bench) -> list[Row]:
    """Measures with no sessions, and with more and more."""
    rows = [_imports(bench)]
    found: dict[int, list[Run]] = {}
    for size in (0, *bench.scale.sessions):
        with bench.server() as server:
            server.fill(size)
            repeats = bench.scale.repeats if size <= FEW else 1
            found[size] = [_once(bench, server.kubeconfig) for _ in range(repeats)]
    for size, runs in found.items():
        what = f"exec to in step, {size:,} sessions"
        rows.append(Row("start-up", what, Sample("s", [run.seconds for run in runs]), size))
        rows.append(
            Row("start-up", f"{what}: processor time", Sample("s", [run.cpu for run in runs]), size, detail=True)
        )
    more = _beyond_empty(found, bench.scale.sessions[-3:], lambda run: run.cpu)
    rows.append(growth("start-up", "processor time beyond the empty daemon's", more))
    return rows + _memory(bench, found)


def _once(bench: Bench, kubeconfig: Path) -> Run:
    with Daemon(kubeconfig, bench.folder, "--max-age", "24h") as daemon:
        seconds, cpu = daemon.ready(), daemon.cpu()
        time.sleep(SETTLED)
        return Run(seconds, cpu, daemon.memory())


def _imports(bench: Bench) -> Row:
    """Measures the start of the interpreter alone, and with all that ``run`` imports."""
    empty, full = Sample("s", []), Sample("s", [])
    for _ in range(bench.scale.repeats):
        for code, sample in zip(IMPORTS, (empty, full), strict=True):
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            sample.values.append(time.perf_counter() - begun)
    return beside("start-up", "Python with all imports", full, "Python alone", empty)


def _memory(bench: Bench, found: dict[int, list[Run]]) -> list[Row]:
    alone = []
    for _ in range(bench.scale.repeats):
        with dependencies(bench.folder) as program:
            program.line()
            alone.append(program.memory())
    rows = []
    for what, kind in (("resident", "resident"), ("proportional", "proportional"), ("its own", "unique")):
        ours = Sample("MiB", [getattr(run.memory, kind) / MIB for run in found[0]])
        theirs = Sample("MiB", [getattr(memory, kind) / MIB for memory in alone])
        row = beside("memory", f"empty daemon, {what}", ours, "its dependencies imported", theirs)
        if kind == "resident":
            row.goal = "≤ 1.15 × its dependencies"
            row.at_most(1.15)
        row.detail = kind != "resident"
        rows.append(row)
    for size in bench.scale.sessions:
        resident = Sample("MiB", [run.memory.resident / MIB for run in found[size]])
        rows.append(Row("memory", f"{size:,} sessions, resident", resident, size, detail=True))
        peak = Sample("MiB", [run.memory.peak / MIB for run in found[size]])
        rows.append(Row("memory", f"{size:,} sessions, at the most", peak, size, detail=True))
        ((_, each),) = _beyond_empty(found, (size,), lambda run: run.memory.resident)
        row = Row("memory", f"{size:,} sessions, each", Sample("B", [each / size]), size)
        rows.append(row.per_session("≤ 1 KiB", 1024, each / size))
    more = _beyond_empty(found, bench.scale.sessions[-3:], lambda run: run.memory.resident)
    return [*rows, growth("memory", "resident beyond the empty daemon's", more)]


def _beyond_empty(
    found: dict[int, list[Run]], sizes: tuple[int, ...], what: Callable[[Run], float]
) -> list[tuple[int, float]]:
    """The medians, less the empty daemon's, for each number of sessions."""
    empty = statistics.median(map(what, found[0]))
    return [(size, statistics.median(map(what, found[size])) - empty) for size in sizes]

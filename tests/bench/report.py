"""The report of the figures: on the terminal as a table, in a file as JSON.

Knows which of several measurements counts, spreads, fits and goals. Does not know how anything was measured.
"""

import math
import os
import platform
import re
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

SCHEMA = "ssh-session-gc/bench/v1"
PACKAGES = ("ssh-session-gc", "kubernetes_asyncio", "aiohttp", "msgspec", "structlog", "prometheus-client")
LINEAR = 1.1
"""The slope in a log-log plot up to which growth counts as linear, as measuring is not exact."""

MANY = 10_000
"""The number of sessions from which the cost of each is measured well."""


class Sample(msgspec.Struct, frozen=True):
    """One thing measured several times.

    For pure computation the ``fastest`` run counts, as other work of the machine only makes runs slower (Python's
    documentation of timeit). For everything else the median counts.
    """

    unit: str
    values: list[float]
    fastest: bool = False

    @property
    def value(self) -> float:
        """The value that counts."""
        return min(self.values) if self.fastest else statistics.median(self.values)

    def __str__(self) -> str:
        low, high = min(self.values), max(self.values)
        spread = f" ({number(low)}…{number(high)})" if len(self.values) > 1 else ""
        return f"{number(self.value)} {self.unit}{spread}"


class Row(msgspec.Struct):
    """One figure at one size, ours beside what it is measured against."""

    figure: str
    what: str
    ours: Sample
    size: int = 0
    peer: str = ""
    theirs: Sample | None = None
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    """None where there is no goal."""
    detail: bool = False
    """Whether the row is in the file alone, and not in the table."""
    server: str = ""
    """The API server that the figure was measured on."""

    def at_most(self, limit: float, value: float | None = None) -> "Row":
        """Sets the goal that the ratio (or ``value``) is no more than this."""
        self.met = (self.ratio if value is None else value or 0.0) <= limit  # type: ignore[operator]
        return self

    def per_session(self, goal: str, limit: float, value: float | None = None) -> "Row":
        """Sets such a goal where there are ``MANY`` sessions: with few, fixed costs would count as theirs."""
        if self.size < MANY:
            return self
        self.goal = goal
        return self.at_most(limit, value)

    def at_least(self, limit: float) -> "Row":
        """Sets the goal that the ratio is no less than this."""
        self.met = self.ratio is not None and self.ratio >= limit
        return self


def beside(figure: str, what: str, ours: Sample, peer: str, theirs: Sample, *, size: int = 0, goal: str = "") -> Row:
    """A row with the ratio of the two values that count."""
    return Row(figure, what, ours, size, peer, theirs, ours.value / theirs.value, goal)


def growth(figure: str, what: str, points: Sequence[tuple[int, float]]) -> Row:
    """How a cost grows with the size: the slope of log cost over log size by least squares. 1 is linear."""
    x = [math.log(size) for size, _ in points]
    y = [math.log(max(cost, 1e-12)) for _, cost in points]
    slope = statistics.linear_regression(x, y).slope if len(points) > 1 else 0.0
    sizes = ", ".join(f"{size:,}" for size, _ in points)
    row = Row(figure, f"growth: {what} over {sizes}", Sample("(slope)", [slope]))
    if len(points) < 3:  # no fit, only two measurements
        return row
    row.goal = f"≤ {LINEAR}: linear"
    return row.at_most(LINEAR, slope)


def number(value: float) -> str:
    """The number with three significant digits."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def show(rows: Sequence[Row], seconds: float) -> None:
    """Prints a table for each server, and a last line that sums up."""
    console = Console(width=None if Console().is_terminal else 160)
    for server in dict.fromkeys(row.server for row in rows):
        table = Table(title=f"ssh-session-gc, beside what else there is, on {server}", title_justify="left")
        for name in ("figure", "what", "ours", "beside", "theirs", "ratio", "goal", ""):
            table.add_column(name, overflow="fold", justify="right" if name == "ratio" else "left")
        before = Row("", "", Sample("", []))
        for row in (row for row in rows if row.server == server and not row.detail):
            new = row.figure != before.figure
            if before.figure and new:
                table.add_section()
            mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: ""}[row.met]
            ratio = "" if row.ratio is None or row.theirs is None else number(row.ratio)
            theirs = "" if row.theirs is None else str(row.theirs)
            what, ours = ("", "") if (row.what, row.ours) == (before.what, before.ours) else (row.what, str(row.ours))
            table.add_row(row.figure if new else "", what, ours, row.peer, theirs, ratio, row.goal, mark)
            before = row
        console.print(table)
    goals = [row.met for row in rows if row.met is not None]
    console.print(f"bench: goals={len(goals)} met={sum(goals)} seconds={seconds:.0f}")


def write(path: Path, rows: Sequence[Row], seconds: float) -> None:
    """Writes the JSON."""
    said = {
        "schema": SCHEMA,
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": round(seconds, 1),
        "machine": machine(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "figures": [_with_value(row) for row in rows],
    }
    path.write_bytes(msgspec.json.format(msgspec.json.encode(said), indent=2) + b"\n")


def machine() -> dict[str, object]:
    """The machine of the measurements, for the JSON."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    total = re.search(r"^MemTotal:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "processor": model[1] if model else platform.machine(),
        "processors": os.cpu_count(),
        "memoryBytes": int(total[1]) << 10 if total else 0,
        "system": f"{platform.system()} {platform.release()}",
    }


def _with_value(row: Row) -> dict[str, object]:
    said: dict[str, object] = msgspec.to_builtins(row)
    for side, sample in (("ours", row.ours), ("theirs", row.theirs)):
        if sample is not None:
            said[side] = msgspec.to_builtins(sample) | {"value": sample.value}
    return said

"""A daemon as seen from outside: by Linux, and by its own ``/metrics``. Judges nothing."""

import os
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import aiohttp
from prometheus_client.parser import text_string_to_metric_families


class Usage(NamedTuple):
    """The resources of a process: resident memory in KiB, seconds of processor time so far, and counts."""

    memory: int
    processor: float
    threads: int
    descriptors: int


def usage(pid: int) -> Usage:
    """Reads the usage of this process. Raises OSError or KeyError where it has ended."""
    proc = Path("/proc", str(pid))
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    times = (proc / "stat").read_text().rpartition(")")[2].split()
    processor = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
    return Usage(int(status["VmRSS"].split()[0]), processor, int(status["Threads"]), len(os.listdir(proc / "fd")))


class Scrape:
    """One answer of ``/metrics``."""

    def __init__(self, text: str) -> None:
        self.samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    @classmethod
    async def of(cls, address: str) -> "Scrape":
        """Scrapes this address on a connection of its own. Raises aiohttp.ClientError."""
        async with aiohttp.request("GET", f"http://{address}/metrics") as answer:
            return cls(await answer.text())

    def by(self, label: str, name: str) -> dict[str, float]:
        """One of our metrics, added up for each value of one label."""
        values: dict[str, float] = defaultdict(float)
        for sample in self.samples:
            if sample.name == f"ssh_session_gc_{name}":
                values[sample.labels[label]] += sample.value
        return values

    def quantile(self, share: float, name: str) -> float:
        """The upper bound of the histogram's bucket that this share of observations reaches."""
        buckets = sorted((float(bound), count) for bound, count in self.by("le", f"{name}_bucket").items())
        return next(bound for bound, count in buckets if count >= share * buckets[-1][1])

"""API cost: requests and bytes in an hour, idle or with sessions that come and go, of ours, a poller, the CronJob.

What quiet owners' logs and metrics add to an idle hour is told apart.

The hours are virtual (``hours``). kubectl runs in real time behind a proxy that counts: its loop with nothing there,
with sessions that are too young, and with some to delete. An hour of the CronJob is computed from these.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from ssh_session_gc.sandbox.kubeconfig import write_kubeconfig
from tests.bench import burst, hours
from tests.bench.hours import OPEN, OWNERS, STAYS, Cost
from tests.bench.proxy import counted
from tests.bench.report import Row, Sample, beside, growth
from tests.bench.sandbox import Sandbox
from tests.bench.setting import Bench

RUNS = 4
"""Runs of the CronJob in an hour."""
IDLE = {"watch pods", "watch deployments", "get pods/log", "get leases", "update leases"}
"""The requests that an idle daemon may send."""
LISTENING = ("daemon", "without logs", "with metrics", "with metrics alone")
"""The ways of ``hours.WAYS`` that tell what logs and metrics cost."""
KIB = 1024


def figures(bench: Bench) -> list[Row]:
    """Measures an hour of the daemon for each rate of sessions; at some rates, an hour of the others, too."""
    shown = {0, 100} | set(bench.scale.hourly[:2] if 100 not in bench.scale.hourly else ())
    cron = _Cron(bench)
    rows, costs = list[Row](), dict[int, Cost]()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for hourly in bench.scale.hourly:
            ours = costs[hourly] = pool.submit(hours.hour, "daemon", hourly).result()
            if hourly in shown:
                elected = pool.submit(hours.hour, "elected", hourly).result()
                poller = pool.submit(hours.hour, "poller", hourly).result()
                rows += _rows(hourly, ours, elected, poller, cron.hour(hourly, ours.deleted))
        rows += _owners(*(pool.submit(hours.hour, way, 0).result() for way in LISTENING))
    points = [(hourly, cost.size - costs[0].size) for hourly, cost in costs.items() if hourly]
    return [*rows, growth("API cost", "bytes beyond the idle hour's", points)]


def _rows(hourly: int, ours: Cost, elected: Cost, poller: Cost, cron: Cost) -> list[Row]:
    what = f"{hourly} sessions an hour, {ours.deleted} deleted" if hourly else f"idle, {OPEN} sessions open"
    made = []
    for name, cost in (("alone", ours), ("with a lease", elected)):
        verbs = ", ".join(f"{count} {verb}" for verb, count in sorted(cost.verbs.items()))
        row = Row("API cost", f"{what}, {name}: {verbs}", _requests(cost), hourly)
        if not hourly:
            row.goal = "watches, logs and lease renewals only"
            row.met = set(cost.verbs) <= IDLE
        made.append(row)
    for peer, other in (("poller, 10 s", poller), ("CronJob, 15 min", cron)):
        made += [
            beside("API cost", f"{what}, alone", unit(ours), peer, unit(other), size=hourly)
            for unit in (_requests, _size)
        ]
    return made


def _owners(followed: Cost, deaf: Cost, told: Cost, untold: Cost) -> list[Row]:
    """What an owner adds to an idle hour, in the ways of ``LISTENING``. Its metrics are needed where no log tells."""
    log, metrics = "an idle hour: each owner's quiet log", "an idle hour: each owner's metrics"
    rows = [
        Row("API cost", log, Sample("/h", [followed.verbs["get pods/log"] / OWNERS])),
        Row("API cost", log, Sample("KiB/h", [(followed.size - deaf.size) / OWNERS / KIB])),
        Row("API cost", f"{metrics}, needed", Sample("/h", [untold.gauge.requests / OWNERS])),
        Row("API cost", f"{metrics}, needed", Sample("KiB/h", [untold.gauge.size / OWNERS / KIB])),
    ]
    asked = Row("API cost", f"{metrics}, not needed", Sample("/h", [told.gauge.requests / OWNERS]), goal="none")
    return [*rows, asked.at_most(0.0, asked.ours.value)]


def _requests(cost: Cost) -> Sample:
    return Sample("/h", [float(cost.requests)])


def _size(cost: Cost) -> Sample:
    return Sample("KiB/h", [cost.size / KIB])


class _Cron:
    """The cost of the CronJob's loop, by what there is to list and to delete."""

    def __init__(self, bench: Bench) -> None:
        few = bench.scale.kubectl
        with Sandbox(bench.folder) as server:
            self._empty = self._once(bench.folder, server, 0)
            due = self._once(bench.folder, server, few)
            server.empty()
            server.fill(OPEN)
            young = self._once(bench.folder, server, 0)
        self._each = [(cost - empty) / few for cost, empty in zip(due, self._empty, strict=True)]
        self._open = [(cost - empty) / OPEN for cost, empty in zip(young, self._empty, strict=True)]

    def hour(self, hourly: int, deleted: int) -> Cost:
        """The cost of an hour with these many sessions opened and deleted."""
        sessions = OPEN + hourly * STAYS / hours.HOUR
        requests, size = (
            RUNS * (empty + sessions * one) + deleted * each
            for empty, one, each in zip(self._empty, self._open, self._each, strict=True)
        )
        return Cost(round(requests), round(size), {}, deleted)

    @staticmethod
    def _once(folder: Path, server: Sandbox, due: int) -> tuple[int, int]:
        """Requests and bytes of one run. Each has a new home, as in a new container, so that nothing is cached."""
        server.requests()
        home = folder / f"home-{due}-{len(list(folder.iterdir()))}"
        home.mkdir()
        server.fill(due, age=burst.OLD)
        with counted(server.url) as proxy:
            burst.loop(home, write_kubeconfig(home / "kubeconfig", proxy.url), Sandbox.cutoff)
        return len(server.requests()), proxy.size

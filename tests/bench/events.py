"""Events: how many changes of session Pods a second keep one processor busy."""

import time

from tests.bench.firehose import Handle
from tests.bench.programs import Daemon, Program, watcher
from tests.bench.report import Row, Sample, beside, growth
from tests.bench.setting import Bench

GOAL = "≥ 10 × kubernetes_asyncio's Watch"


def figures(bench: Bench) -> list[Row]:
    """Measures with few sessions that come and go at the same time, and with more and more."""
    rows = [_beside_watch(bench, size) for size in bench.scale.events]
    costs = [(row.size, 1.0 / row.ours.value) for row in rows]
    # The cost of one event must not depend on the number of sessions, so the cost of one for each grows linearly.
    rows.append(growth("events", "processor time for an event of each session", [(n, n * cost) for n, cost in costs]))
    return rows


def _beside_watch(bench: Bench, size: int) -> Row:
    ours, theirs = Sample("/s of a processor", []), Sample("/s of a processor", [])
    with (
        Handle(bench.folder, size) as server,
        Daemon(server.kubeconfig, bench.folder, "--max-age", "24h") as daemon,
        watcher(server.kubeconfig, bench.folder) as peer,
    ):
        daemon.ready()
        peer.line()
        peer.pause()
        for _ in range(bench.scale.repeats):
            for program, other, sample in ((daemon, peer, ours), (peer, daemon, theirs)):
                other.pause()
                program.go_on()
                sample.values.append(_rate(server, program, bench.scale.seconds))
    what = f"changes of {size:,} sessions that come and go"
    return beside("events", what, ours, "Watch with models", theirs, size=size, goal=GOAL).at_least(10)


def _rate(server: Handle, program: Program, seconds: float) -> float:
    """Lines that the program takes for each second of processor time. It always has more to read, and lines on their
    way are few beside those that arrive."""
    time.sleep(seconds / 4)
    count, cpu = server.sent(), program.cpu()
    while True:
        time.sleep(seconds)
        if more := server.sent() - count:
            return more / (program.cpu() - cpu)

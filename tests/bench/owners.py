"""Owner logs: the processor time that it takes to follow one, and the memory of what it tells.

An owner writes recorded lines at an even rate, about sessions that there are. The daemon reads them, and at the same
time a client that only counts them. The sandbox's API server serves them.
"""

import statistics
import time
from typing import NamedTuple

from tests.bench import pods
from tests.bench.programs import Daemon, Program, counter
from tests.bench.report import Row, Sample, beside, growth
from tests.bench.sandbox import Sandbox
from tests.bench.setting import Bench
from tests.bench.start import FEW, SETTLED

MANY = 1_000
"""The number of sessions that the lines are about, where there are so many."""
SHARE = 0.25
"""The share of one processor that the highest rate may take."""
LONG = ("--max-age", "24h", "--abandoned-grace", "24h")
"""So that nothing is deleted meanwhile, whatever the lines say."""
LOUD = 1.5
"""How many times as long as another stream's a measurement is: there is less to measure."""
PAUSE = 0.3
"""Seconds without work after which the daemon has read what the peer has."""


class Read(NamedTuple):
    """Seconds of processor time for each line."""

    ours: float
    theirs: float


def figures(bench: Bench) -> list[Row]:
    """Measures lines that come at once, several rates of lines, and the memory of connections."""
    sessions = max(size for size in bench.scale.sessions if size <= MANY)
    with Sandbox(bench.folder) as server:
        server.fill(sessions)
        with (
            Daemon(server.kubeconfig, bench.folder, *LONG) as daemon,
            counter(server.kubeconfig, bench.folder, pods.owner_name(0)) as peer,
        ):
            daemon.ready()
            peer.line()
            # What is said of a session for the second time is logged once as a contradiction.
            for _ in range(2):
                _poured(server, daemon, peer, sessions)
            assert daemon.metrics('connections{state="unknown"}') == [0.0]
            poured = [_poured(server, daemon, peer, sessions) for _ in range(bench.scale.repeats)]
            rates = {
                rate: [
                    _chatted(server, daemon, peer, sessions, rate, LOUD * bench.scale.seconds)
                    for _ in range(bench.scale.repeats)
                ]
                for rate in bench.scale.lines
            }
    return [*_logs(sessions, poured, rates), *_memory(bench)]


def _logs(sessions: int, poured: list[float], rates: dict[int, list[Read]]) -> list[Row]:
    rows, peer = list[Row](), "aiohttp, counting lines"
    each = Sample("µs", [1e6 * seconds for seconds in poured], fastest=True)
    rows.append(Row("owner logs", f"a line, many at once, {sessions:,} sessions", each, sessions))
    for rate, found in rates.items():
        ours, theirs = (
            Sample("processors", [rate * each for each in side], fastest=True) for side in zip(*found, strict=True)
        )
        row = beside("owner logs", f"{rate:,} lines a second, {sessions:,} sessions", ours, peer, theirs, size=rate)
        if rate == max(rates):
            row.goal = f"≤ {SHARE:g} of a processor"
            row.at_most(SHARE, ours.value)
        rows.append(row)
    points = [(row.size, row.ours.value) for row in rows[1:]]
    return [*rows, growth("owner logs", "processor time", points)]


def _poured(server: Sandbox, daemon: Daemon, peer: Program, sessions: int) -> float:
    """Seconds of processor time for each of many lines that come at once."""
    before, counted, spent = daemon.cpu(), int(peer.ask("")), -1.0
    lines = server.pour(sessions)
    while int(peer.ask("")) < counted + lines:
        time.sleep(PAUSE)
    while (now := daemon.cpu()) != spent:
        spent = now
        time.sleep(PAUSE)
    return (spent - before) / lines


def _chatted(server: Sandbox, daemon: Daemon, peer: Program, sessions: int, rate: int, seconds: float) -> Read:
    server.chat(rate, sessions)
    time.sleep(seconds / 10)
    before = after = _spent(daemon, peer)
    while after.theirs == before.theirs:  # it may take less than can be measured
        time.sleep(seconds)
        after = _spent(daemon, peer)
    lines = after.lines - before.lines
    return Read((after.ours - before.ours) / lines, (after.theirs - before.theirs) / lines)


class _Spent(NamedTuple):
    ours: float
    theirs: float
    lines: int


def _spent(daemon: Daemon, peer: Program) -> _Spent:
    return _Spent(daemon.cpu(), peer.cpu(), int(peer.ask("")))


def _memory(bench: Bench) -> list[Row]:
    """Measures as many sessions as are measured several times, without logs and with what these say of each."""
    size = max(size for size in bench.scale.sessions if size <= FEW)
    found: dict[bool, list[float]] = {False: [], True: []}
    with Sandbox(bench.folder) as server:
        server.fill(size)
        server.connect(size)
        for _ in range(bench.scale.repeats):
            for heard, resident in found.items():
                option = "--owner-logs" if heard else "--no-owner-logs"
                with Daemon(server.kubeconfig, bench.folder, *LONG, option) as daemon:
                    daemon.ready()
                    while heard and daemon.metrics('connections{state="open"}') != [float(size)]:
                        time.sleep(0.1)
                    time.sleep(SETTLED)
                    resident.append(float(daemon.memory().resident))
    without = statistics.median(found[False])
    more = Sample("B", [(each - without) / size for each in found[True]])
    return [Row("memory", f"{size:,} sessions: its known connection, each", more, size)]

"""A soak: the real command in a process of its own, a simulated cluster in this one, and checks of both.

Knows in which order things start and end, and what must hold. The truth about sessions is the cluster's own.
"""

import asyncio
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ssh_session_gc.sandbox import Program, World
from tests.soak.load import Load, Plan
from tests.soak.probe import Scrape, Usage, usage

STREAMS = 3
LOOKS = 20
"""The least number of looks at the daemon; a long soak looks every five seconds."""
BOUND = 240.0
"""Seconds in which all orphans must be gone once nothing goes wrong any more, as in the simulation; and in as many
again, all connections that are not needed. While things do go wrong, none may be due for longer."""
WAIT = 60.0
"""Seconds that the daemon may take to be in step, and to end."""
FLAT = 0.05
"""The share by which memory may grow from the second fifth of the time to the last."""
LONG = 600.0
"""The seconds of a soak from which memory is checked: a shorter one is all warming up."""


class Look(NamedTuple):
    """The daemon and the cluster at one moment (seconds)."""

    at: float
    usage: Usage
    scrape: Scrape
    orphans: int
    watches: int
    connections: int


class Check(NamedTuple):
    """One line of the table. ``holds`` is None where nothing is checked."""

    what: str
    found: str
    holds: bool | None = None


class Soak:
    """One run. The daemon logs to the file ``log``."""

    def __init__(self, plan: Plan, log: Path, say: Callable[[str], None]) -> None:
        self._plan, self._log, self._say = plan, log, say
        self._looks: list[Look] = []

    async def run(self) -> tuple[list[Check], str]:
        """Runs it. Returns the table, and the last line, which is for scripts. Raises the errors of ``usage`` and
        ``Scrape.of`` where the daemon has ended."""
        plan, program = self._plan, Program(pull=0.2, start=0.1)
        world = World(seed=plan.seed, began=time.time(), stamp=True, program=program, bookmark_seconds=30.0)
        async with world:
            self._world, self._load = world, Load(world, plan)
            await self._load.begin()
            command: list[str | Path] = [Path(sys.executable).parent / "ssh-session-gc", "run", "--max-age=6h"]
            command += [f"--owner-grace={plan.grace}s", f"--finished-grace={plan.grace}s", "--listen=127.0.0.1:0"]
            command += ["--log-format=json", "--kubeconfig", world.kubeconfig(self._log.with_suffix(".kubeconfig"))]
            with self._log.open("wb") as log:
                self._daemon = await asyncio.create_subprocess_exec(*command, stderr=log)
            try:
                return await self._soak()
            finally:
                if self._daemon.returncode is None:
                    self._daemon.kill()
                    await self._daemon.wait()

    async def _soak(self) -> tuple[list[Check], str]:
        load, server, pid = self._load, self._world.server, self._daemon.pid
        await _until(lambda: "started" in self._events() and server.watches == STREAMS, WAIT)
        self._address = next(line["listen"] for line in self._lines() if line["event"] == "started")
        before, changes = await self._look(), load.changes
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run())
            group.create_task(self._watch())
        changes = load.changes - changes
        self._world.faults.clear()
        calm = time.monotonic()
        await _until(lambda: not load.orphans(), BOUND)
        calm, left = time.monotonic() - calm, len(load.orphans())
        await _until(
            lambda: (
                server.watches == STREAMS
                and usage(pid).descriptors <= before.usage.descriptors
                and self._connections() <= before.connections
            ),
            BOUND,
        )
        after = await self._look()
        self._daemon.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._daemon.wait(), WAIT)
        lost = len(load.lost())
        table = [
            Check("live sessions lost", str(lost), lost == 0),
            Check("orphans left", f"{left}, {calm:.0f} s after the last trouble", left == 0),
            *self._done(changes, after.scrape),
            *self._taken(changes, before, after),
        ]
        summary = f"soak: minutes={self._plan.seconds / 60:g} sessions={self._plan.sessions} changes={changes}"
        summary += f" live_sessions_lost={lost} orphans_left={left}"
        return table, f"{summary} rss_slope_kib_per_hour={self._slope():.0f}"

    async def _watch(self) -> None:
        """Looks at the daemon at even intervals while the load lasts."""
        begun, looks = time.monotonic(), max(LOOKS, int(self._plan.seconds / 5.0))
        for count in range(looks):
            # The time of a look is taken off, so that the next one is on time.
            await asyncio.sleep(begun + (count + 1) * self._plan.seconds / looks - time.monotonic())
            self._looks.append(look := await self._look())
            self._say(
                f"{count + 1}/{looks}: {self._load.there} sessions, {look.orphans} orphans, {look.watches} watches, "
                f"{look.connections} connections, {look.usage.descriptors} descriptors, {look.usage.memory} KiB"
            )

    async def _look(self) -> Look:
        now = usage(self._daemon.pid)  # first, so as not to count the connection of the scrape
        scrape, orphans = await Scrape.of(self._address), len(self._load.orphans())
        return Look(time.monotonic(), now, scrape, orphans, self._world.server.watches, self._connections())

    def _connections(self) -> int:
        runner = self._world.server._runner
        return len(runner.server.connections) if runner is not None and runner.server is not None else 0

    def _done(self, changes: int, said: Scrape) -> list[Check]:
        """The checks of what happened, and of what the daemon did."""
        plan, load = self._plan, self._load
        lags = (f"{share:.0%} ≤ {said.quantile(share, 'deletion_lag_seconds'):g} s" for share in (0.5, 0.9, 0.99))
        longest = max(s.value for look in self._looks for s in look.scrape.samples if "orphan_oldest" in s.name)
        return [
            Check("changes", f"{changes}, {changes / plan.seconds:.0f}/s", changes >= plan.rate * plan.seconds),
            Check("troubles", _counted(load.troubles)),
            Check("deletions", _counted(said.by("reason", "deletions_total"))),
            Check("their outcome", _counted(said.by("outcome", "deletions_total"))),
            Check("lag", f"{', '.join(lags)}; the sandbox was busy for up to {load.late:.1f} s at a time"),
            Check("longest due", f"{longest:.1f} s, of {BOUND:g} s", longest <= BOUND),
            Check("stream restarts", _counted(said.by("cause", "stream_restarts_total"))),
            Check("requests", _counted(said.by("code", "api_requests_total"))),
            Check("log", _counted(self._events())),
            Check("exit status", str(self._daemon.returncode), self._daemon.returncode == 0),
        ]

    def _taken(self, changes: int, before: Look, after: Look) -> list[Check]:
        """The checks of the daemon's resources, during the soak and at its end."""
        last, fifth = self._looks[-1], len(self._looks) // 5
        early, late = self._memory(fifth, 2 * fifth), self._memory(-fifth, None)
        memory = f"{early:.0f} KiB in the second fifth, {late:.0f} in the last: {late / early - 1:+.1%}"
        used = last.usage.processor - before.usage.processor

        def same(what: str, of: Callable[[Look], int]) -> Check:
            found = f"{of(before)} before, {max(map(of, self._looks))} at the most, {of(after)} in the end"
            return Check(what, found, of(after) <= of(before))

        return [
            Check("memory", memory, late <= early * (1 + FLAT) if self._plan.seconds >= LONG else None),
            same("descriptors", lambda look: look.usage.descriptors),
            same("threads", lambda look: look.usage.threads),
            same("watches", lambda look: look.watches),
            same("connections", lambda look: look.connections),
            Check("time series", f"{len(before.scrape.samples)} before, {len(after.scrape.samples)} in the end"),
            Check("processor", f"{used / changes * 1e6:.0f} µs a change, {used / (last.at - before.at):.0%} of one"),
        ]

    def _memory(self, first: int, end: int | None) -> float:
        return statistics.median(look.usage.memory for look in self._looks[first:end])

    def _slope(self) -> float:
        """The growth of memory from the second fifth on, in KiB an hour."""
        looks = self._looks[len(self._looks) // 5 :]
        hours = [look.at / 3600 for look in looks]
        return statistics.linear_regression(hours, [look.usage.memory for look in looks]).slope

    def _events(self) -> Counter[str]:
        return Counter(line["event"] for line in self._lines())

    def _lines(self) -> list[dict[str, str]]:
        """The lines of the log. Raises ValueError where one is not JSON, as in a traceback."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    """Returns when the condition holds, or after that many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():  # noqa: ASYNC110 - what is waited for is in another process
        await asyncio.sleep(0.2)


def _counted(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{count:.0f} {name}" for name, count in sorted(counts.items()) if count) or "none"

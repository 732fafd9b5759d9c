"""One virtual hour of a cluster with the real daemon, or a poller: how much each asks of the API server.

Everything is in one process on a loop without a clock (``tests.simulation.virtual``), HTTP included.
"""

import asyncio
from collections import Counter
from typing import Any, NamedTuple

import aiohappyeyeballs
import structlog

from ssh_session_gc.core.policy import Policy
from ssh_session_gc.daemon.daemon import Daemon
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.listing import Collection, list_all
from ssh_session_gc.kube.resources import PODS
from ssh_session_gc.kube.wire import Pod
from ssh_session_gc.sandbox.api import objects
from ssh_session_gc.settings import LeaseRef, Settings
from ssh_session_gc.telemetry.metrics import Metrics
from tests.bench import pods
from tests.bench.sandbox import SandboxServer
from tests.harness import connected
from tests.simulation.virtual import VirtualLoop, start_connection

HOUR = 3600.0
SETTLED = 600.0
"""Seconds before the hour begins."""
STAYS = 1200.0
"""Seconds for which a user stays."""
OPEN = 20
"""Sessions that are open all the time, half of them of the owner that crashes."""
POLL = 10.0
BEGAN = 1_795_402_800.0
"""Epoch seconds at which the virtual time begins."""


class Cost(NamedTuple):
    """The traffic of one hour, and the deletions in it."""

    requests: int
    size: int
    """Bytes in both directions."""
    verbs: dict[str, int]
    deleted: int


class CountingLoop(VirtualLoop):
    """Counts the bytes on its connections, in both directions."""

    size = 0

    async def create_connection(self, protocol_factory: Any, *args: Any, **more: Any) -> Any:
        """A connection that counts."""
        here, protocol = await super().create_connection(protocol_factory, *args, **more)
        for pipe in (here, here.peer):
            pipe.write = self._counting(pipe.write)
        return here, protocol

    def _counting(self, write: Any) -> Any:
        def count(data: Any) -> None:
            self.size += len(data)
            write(data)

        return count


def hour(client: str, hourly: int) -> Cost:
    """Runs an hour in which ``hourly`` sessions are opened and, if any are, one of two owners crashes. ``client``:
    daemon, elected (a daemon with a lease) or poller."""
    aiohappyeyeballs.start_connection = start_connection  # type: ignore[assignment]
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        return runner.run(_hour(client, hourly))


async def _hour(client: str, hourly: int) -> Cost:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CountingLoop)
    server = SandboxServer(lambda: BEGAN + loop.time())
    url = await server.start(2)
    for owner in range(2):
        await server.fill(OPEN // 2, 0.0, owner)
    settings = Settings(
        policy=Policy(max_age=24 * HOUR),
        lease=LeaseRef(pods.OWNERS, "ssh-session-gc") if client == "elected" else None,
    )
    metrics, stop = Metrics(dry_run=False), asyncio.Event()
    async with connected(url, observer=metrics) as api:
        work = _poll(api) if client == "poller" else Daemon(settings, api, metrics).run(stop, "127.0.0.1", 0)
        working = asyncio.create_task(work)
        await asyncio.sleep(SETTLED)
        await server.requests()
        loop.size, until = 0, loop.time() + HOUR
        visitors = asyncio.create_task(_visitors(server, hourly))
        await asyncio.sleep(until - loop.time())
        verbs, size = Counter(f"{verb} {resource}" for verb, resource in await server.requests()), loop.size
        stop.set()
        for task in (visitors, *([working] if client == "poller" else [])):
            task.cancel()
        await asyncio.gather(visitors, working, return_exceptions=True)
    await server.api.stop()
    return Cost(sum(verbs.values()), size, dict(verbs), verbs["delete pods"])


async def _visitors(server: SandboxServer, hourly: int) -> None:
    """Opens sessions at even intervals, and crashes an owner half way through."""
    if not hourly:
        return
    async with asyncio.TaskGroup() as group:
        for number in range(hourly):
            group.create_task(_visit(server, 1_000_000 + number, number % 2))
            if number == hourly // 2:
                await server.crash(0)
            await asyncio.sleep(HOUR / hourly)


async def _visit(server: SandboxServer, number: int, owner: int) -> None:
    life = pods.life(number, server.store.now(), owner=owner)
    for index, (kind, pod) in enumerate(life):
        if index == 5:
            await asyncio.sleep(STAYS)
            if pods.name(number) in await server.accepted(0, 1.0):
                return  # it was orphaned meanwhile, and collected
        server.put(objects.PODS, pod, kind)
        await asyncio.sleep(0.3)


async def _poll(api: Api) -> None:
    """Lists the sessions and the owners every few seconds."""
    decoder = Decoder(Pod)
    while True:
        for namespace, selector in ((pods.SESSIONS, pods.SELECTOR), (pods.OWNERS, "app=containerssh")):
            await list_all(api, Collection(PODS, namespace, decoder, labels=selector))
        await asyncio.sleep(POLL)

"""One virtual hour of a cluster with the real daemon, or a poller: what each asks of the API server and of owners.

The owners log what was recorded of users who come and leave, and serve their metrics.

Everything is in one process on a loop without a clock (``tests.simulation.virtual``), HTTP included.
"""

import asyncio
from collections import Counter
from typing import Any, NamedTuple

import aiohappyeyeballs
import structlog
from aiohttp import web

from ssh_session_gc.core.policy import Policy
from ssh_session_gc.daemon.daemon import Daemon
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.listing import Collection, list_all
from ssh_session_gc.kube.resources import PODS
from ssh_session_gc.kube.wire import Pod
from ssh_session_gc.sandbox.api import objects
from ssh_session_gc.sandbox.containerssh.metrics import OPEN_METRICS, Counts
from ssh_session_gc.sandbox.node.ports import PodPorts
from ssh_session_gc.settings import LeaseRef, Settings
from ssh_session_gc.telemetry.metrics import Metrics
from tests.bench import chatter, pods
from tests.bench.sandbox import SandboxServer
from tests.harness import connected
from tests.simulation.virtual import VirtualLoop, start_connection

HOUR = 3600.0
SETTLED = 600.0
"""Seconds before the hour begins."""
STAYS = 1200.0
"""Seconds for which a user stays."""
OWNERS = 2
OPEN = 20
"""Sessions that are open all the time, half of them of the owner that crashes."""
POLL = 10.0
APART = 5.0
"""Seconds between two users who have come before the hour."""
METRICS_PORT = 9100
BEGAN = 1_795_402_800.0
"""Epoch seconds at which the virtual time begins."""
DAY = Policy(max_age=24 * HOUR)


class Gauge(NamedTuple):
    """What the owners' metrics are asked for."""

    requests: int = 0
    size: int = 0
    """Bytes in both directions."""


class Cost(NamedTuple):
    """The traffic of one hour, and the deletions in it."""

    requests: int
    size: int
    """Bytes in both directions."""
    verbs: dict[str, int]
    deleted: int
    gauge: Gauge = Gauge()


class CountingLoop(VirtualLoop):
    """Counts the connections to each port, and the bytes on them in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.connections, self.sizes = Counter[int](), Counter[int]()

    async def create_connection(self, protocol_factory: Any, *args: Any, sock: Any = None, **more: Any) -> Any:
        """A connection that counts."""
        here, protocol = await super().create_connection(protocol_factory, *args, sock=sock, **more)
        _, port = sock.getsockname()
        self.connections[port] += 1
        for pipe in (here, here.peer):
            pipe.write = self._counting(pipe.write, port)
        return here, protocol

    def _counting(self, write: Any, port: int) -> Any:
        def count(data: Any) -> None:
            self.sizes[port] += len(data)
            write(data)

        return count


def hour(client: str, hourly: int) -> Cost:
    """Runs an hour in which ``hourly`` sessions are opened and, if any are, one of two owners crashes. ``client``:
    poller, or a daemon in one of the ways of ``WAYS``."""
    aiohappyeyeballs.start_connection = start_connection  # type: ignore[assignment]
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        return runner.run(_hour(client, hourly))


WAYS: dict[str, Settings] = {
    "daemon": Settings(policy=DAY),
    "elected": Settings(policy=DAY, lease=LeaseRef(pods.OWNERS, "ssh-session-gc")),
    "without logs": Settings(policy=DAY, owner_logs=False),
    "with metrics": Settings(policy=DAY, owner_metrics_port=METRICS_PORT),
    "with metrics alone": Settings(policy=DAY, owner_metrics_port=METRICS_PORT, owner_logs=False),
}
"""The settings of the daemon."""


async def _hour(client: str, hourly: int) -> Cost:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CountingLoop)
    server = SandboxServer(lambda: BEGAN + loop.time())
    url = await server.start(OWNERS)
    for owner in range(OWNERS):
        await server.fill(OPEN // OWNERS, 0.0, owner)
    await _users_come(server)
    await _serve_metrics()
    metrics, stop = Metrics(dry_run=False), asyncio.Event()
    async with connected(url, observer=metrics) as api:
        work = _poll(api) if client == "poller" else Daemon(WAYS[client], api, metrics).run(stop, "127.0.0.1", 0)
        working = asyncio.create_task(work)
        await asyncio.sleep(SETTLED)
        await server.requests()
        loop.connections.clear()
        loop.sizes.clear()
        until = loop.time() + HOUR
        visitors = asyncio.create_task(_visitors(server, hourly))
        await asyncio.sleep(until - loop.time())
        verbs = Counter(f"{verb} {resource}" for verb, resource in await server.requests())
        # Each question to an owner is a connection of its own.
        gauge = Gauge(loop.connections[METRICS_PORT], loop.sizes[METRICS_PORT])
        size = loop.sizes.total() - gauge.size
        stop.set()
        for task in (visitors, *([working] if client == "poller" else [])):
            task.cancel()
        await asyncio.gather(visitors, working, return_exceptions=True)
    await server.api.stop()
    return Cost(sum(verbs.values()), size, dict(verbs), verbs["delete pods"], gauge)


async def _users_come(server: SandboxServer) -> None:
    """Has the users of all sessions come, one after the other."""
    for number in range(OPEN):
        _write(server, number * OWNERS // OPEN, chatter.coming(number))
        await asyncio.sleep(APART)


async def _serve_metrics() -> None:
    """Serves an owner's metrics, for as long as the loop runs. All owners have one address."""
    counts = Counts(OPEN, OPEN)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=counts.text().encode(), headers={"Content-Type": OPEN_METRICS})

    address: str = pods.owner(0, BEGAN)["status"]["podIP"]
    await PodPorts(METRICS_PORT).open(address, answer)


def _write(server: SandboxServer, owner: int, lines: list[bytes]) -> None:
    for line in lines:
        server.log(owner).write(line)


async def _visitors(server: SandboxServer, hourly: int) -> None:
    """Opens sessions at even intervals, and crashes an owner half way through."""
    if not hourly:
        return
    async with asyncio.TaskGroup() as group:
        for number in range(hourly):
            group.create_task(_visit(server, 1_000_000 + number, number % OWNERS))
            if number == hourly // 2:
                await server.crash(0)
            await asyncio.sleep(HOUR / hourly)


async def _visit(server: SandboxServer, number: int, owner: int) -> None:
    life = pods.life(number, server.store.now(), owner=owner)
    _write(server, owner, chatter.coming(number))
    for index, (kind, pod) in enumerate(life):
        if index == 5:
            await asyncio.sleep(STAYS)
            if pods.name(number) in await server.accepted(0, 1.0):
                return  # it was orphaned meanwhile, and collected
            _write(server, owner, chatter.leaving(number))
        server.put(objects.PODS, pod, kind)
        await asyncio.sleep(0.3)


async def _poll(api: Api) -> None:
    """Lists the sessions and the owners every few seconds."""
    decoder = Decoder(Pod)
    while True:
        for namespace, selector in ((pods.SESSIONS, pods.SELECTOR), (pods.OWNERS, "app=containerssh")):
            await list_all(api, Collection(PODS, namespace, decoder, labels=selector))
        await asyncio.sleep(POLL)

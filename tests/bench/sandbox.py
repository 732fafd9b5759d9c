"""The sandbox's API server in a process of its own, and the handle by which figures steer it.

The process serves plain HTTP, as the sandbox does unless it is given a certificate. It has no kubelet and no
controllers, so only what is measured uses it. All times are epoch seconds by the machine's clock, which is also
the clock of the served cluster.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ssh_session_gc.containerssh.log import interesting
from ssh_session_gc.sandbox.api.objects import DEPLOYMENTS, NAMESPACES, PODS, Change, ChangeType, Resource
from ssh_session_gc.sandbox.api.server import ApiServer
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.kubeconfig import write_kubeconfig
from ssh_session_gc.sandbox.node.logs import ContainerLog
from tests.bench import chatter, pods

PATIENCE = 300.0
"""Seconds that the server may take to answer the handle."""
BURST = 0.002
"""Seconds between two bursts of log lines. Users write some lines at once, and not all at the same moment."""


class SandboxServer:
    """The sandbox's API server, and what the process does to it when told."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.store = Store(now)
        self._node = chatter.OwnerNode(now)
        self.api = ApiServer(self.store, nodes=lambda _: self._node)
        self._chatting: asyncio.Task[None] | None = None
        self._restarts: dict[int, int] = {}
        self._accepted: dict[str, float] = {}
        self._news = asyncio.Event()
        self._made = 0
        self._began = 0.0
        self.store.subscribe(self._changed)

    async def start(self, owners: int) -> str:
        """Serves a cluster with ``owners`` owners and no sessions. Returns the address."""
        for namespace in ("default", pods.SESSIONS, pods.OWNERS):
            self.store.create(NAMESPACES, None, {"metadata": {"name": namespace}})
        self._began = self._now() - 2 * pods.AGE
        self.put(DEPLOYMENTS, pods.deployment())
        for number in range(owners):
            self.put(PODS, pods.owner(number, self._began))
        await self.api.start()
        return self.api.url

    async def fill(self, count: int, age: float, owner: int) -> list[str]:
        """Adds ``count`` sessions of this age. Returns their names."""
        created = self._now() - age
        first, self._made = self._made, self._made + count
        for number in range(first, self._made):
            self.put(PODS, pods.session(number, created, owner=owner))
        return [pods.name(number) for number in range(first, self._made)]

    async def fall_due(self, dues: Sequence[float]) -> list[str]:
        """Adds one session for each of these moments, at which its own ttl ends. Returns their names."""
        # A time cut to seconds is believed while it is less than one old, so it is made early in a second.
        if (fraction := self._now() % 1.0) > 0.5:
            await asyncio.sleep(1.0 - fraction)
        created, names = float(int(self._now())), []
        for due in dues:
            self.put(PODS, pods.session(self._made, created, ttl=due - created))
            names.append(pods.name(self._made))
            self._made += 1
        return names

    async def crash(self, owner: int) -> float:
        """Kills the process in one owner Pod, which starts again. Returns the moment as the status has it."""
        self.log(owner).end()
        self._restarts[owner] = self._restarts.get(owner, 0) + 1
        at = float(int(self._now()))
        self.put(PODS, pods.owner(owner, self._began, restarts=self._restarts[owner], restarted=at), "MODIFIED")
        return at

    async def connect(self, count: int) -> None:
        """Has the first owner's log say of the first ``count`` sessions that their users came, in as few lines as can
        be."""
        for number in range(count):
            for line in filter(interesting, chatter.coming(number)):
                self.log(0).write(line)

    async def chat(self, rate: int, sessions: int) -> None:
        """Has the first owner write so many lines a second from now on, about the first ``sessions`` sessions."""
        self._hush()
        self._chatting = asyncio.create_task(self._chat(rate, chatter.rounds(sessions)))

    async def pour(self, sessions: int) -> int:
        """Has the first owner write at once what tells of each of these sessions. Returns the number of lines."""
        self._hush()
        lines = list(chain.from_iterable(islice(chatter.rounds(sessions), chatter.enough(sessions))))
        for line in lines:
            self.log(0).write(line)
        return len(lines)

    def log(self, owner: int) -> ContainerLog:
        """The log of an owner."""
        return self._node.run(pods.owner_name(owner), self._restarts.get(owner, 0))

    async def empty(self) -> None:
        """Removes all sessions."""
        for each in self.store.list(PODS, pods.SESSIONS):
            self.store.delete(PODS, pods.SESSIONS, each["metadata"]["name"])
        self._accepted.clear()

    async def accepted(self, count: int, seconds: float) -> dict[str, float]:
        """Waits for ``count`` deletions; returns when each was accepted. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while len(self._accepted) < count:
                self._news.clear()
                await self._news.wait()
        return dict(self._accepted)

    async def requests(self) -> list[tuple[str, str]]:
        """The verbs and resources of the requests since the last call."""
        asked = [(each.verb, each.resource) for each in self.api.requests]
        self.api.requests.clear()
        return asked

    async def _chat(self, rate: int, rounds: Iterator[list[bytes]]) -> None:
        loop, log, lines, written = asyncio.get_running_loop(), self.log(0), chain.from_iterable(rounds), 0
        begun = loop.time()
        while True:
            await asyncio.sleep(BURST)
            due = int((loop.time() - begun) * rate)
            for line in islice(lines, due - written):
                log.write(line)
            written = due

    def _hush(self) -> None:
        if self._chatting is not None:
            self._chatting.cancel()

    def _changed(self, change: Change) -> None:
        metadata = change.object["metadata"]
        if change.resource is PODS and change.type == "MODIFIED" and "deletionTimestamp" in metadata:
            self._accepted.setdefault(metadata["name"], self._now())
            self._news.set()

    def put(self, resource: Resource, obj: pods.Object, kind: ChangeType = "ADDED") -> None:
        """Stores an object as it is given, under a new version."""
        version = self.store.rv + 1
        obj["metadata"]["resourceVersion"] = str(version)
        self.store.put_raw(kind, resource, obj, version)


def serve(pipe: Connection) -> None:
    """Runs the process, which carries out what the pipe says until it says stop."""
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    loop, server = asyncio.get_running_loop(), SandboxServer()
    told: asyncio.Queue[tuple[str, tuple[Any, ...]]] = asyncio.Queue()
    loop.add_reader(pipe.fileno(), lambda: told.put_nowait(pipe.recv()))
    while (work := await told.get())[0] != "stop":
        name, args = work
        try:
            pipe.send(await getattr(server, name)(*args))
        except TimeoutError as error:
            pipe.send(error)


class Sandbox:
    """Runs a ``SandboxServer`` in a process. Use as a context manager."""

    description = "the sandbox, plain HTTP"
    cutoff = "1 hour ago"

    def __init__(self, folder: Path, owners: int = 1) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self.url: str = self._tell("start", owners)
        self.kubeconfig = write_kubeconfig(folder / f"kubeconfig-{self._process.pid}", self.url)

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.send(("stop", ()))
        self._process.join(10)
        self._process.kill()

    def fill(self, count: int, *, age: float = pods.AGE, owner: int = 0) -> list[str]:
        """See the server's."""
        names: list[str] = self._tell("fill", count, age, owner)
        return names

    def fall_due(self, dues: Sequence[float]) -> list[str]:
        """See the server's."""
        names: list[str] = self._tell("fall_due", list(dues))
        return names

    def crash(self, owner: int = 0) -> float:
        """See the server's."""
        at: float = self._tell("crash", owner)
        return at

    def connect(self, count: int) -> None:
        """See the server's."""
        self._tell("connect", count)

    def chat(self, rate: int, sessions: int) -> None:
        """See the server's."""
        self._tell("chat", rate, sessions)

    def pour(self, sessions: int) -> int:
        """See the server's."""
        lines: int = self._tell("pour", sessions)
        return lines

    def empty(self) -> None:
        """See the server's."""
        self._tell("empty")

    def accepted(self, count: int = 0) -> dict[str, float]:
        """See the server's."""
        times: dict[str, float] = self._tell("accepted", count, PATIENCE - 1.0)
        return times

    def requests(self) -> list[tuple[str, str]]:
        """See the server's."""
        asked: list[tuple[str, str]] = self._tell("requests")
        return asked

    def _tell(self, name: str, *args: object) -> Any:
        self._pipe.send((name, args))
        if not self._pipe.poll(PATIENCE):
            raise TimeoutError(f"the server did not do {name} in {PATIENCE:g} s")
        said = self._pipe.recv()
        if isinstance(said, Exception):
            raise said
        return said

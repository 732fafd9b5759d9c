"""A recording of a real cluster, served again: every object as it was, at its time, over the same API server.

Knows the form of the recordings (tests/data). Simulates nothing: no kubelet runs, so a Pod that is deleted stays,
with its deletionTimestamp, and later lines of the recording about it are skipped. Where ContainerSSH's logs and
metrics were recorded, its Pods serve them again, the latter on loopback addresses of their own.
"""

import asyncio
import json
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from aiohttp import web

from ssh_session_gc.sandbox.api.authorization import Identity
from ssh_session_gc.sandbox.api.faults import Faults
from ssh_session_gc.sandbox.api.objects import DEPLOYMENTS, NAMESPACES, PODS, Change, ChangeType, Object
from ssh_session_gc.sandbox.api.server import ApiServer
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.node.logs import ContainerLog, LogLine
from ssh_session_gc.sandbox.node.ports import PodPorts, drop

STREAMS = {"deployment": DEPLOYMENTS, "owner-pods": PODS, "session-pods": PODS}
STAMP = "ssh-session-gc/owner-pod-"
CONTAINER = "containerssh"
"""The container whose log and metrics are recorded."""
METRICS_PORT = 9100


class Recorded(NamedTuple):
    """One change of a recording; ``at`` is in seconds from its start."""

    at: float
    stream: str
    type: ChangeType | Literal["BOOKMARK"]
    object: Object


class Said(NamedTuple):
    """A line of an owner Pod's log, its end, or its metrics; ``at`` is in seconds from the recording's start."""

    at: float
    stream: str
    entry: dict[str, Any]


class RecordedNode:
    """All nodes of a recording, as far as one can ask them for logs."""

    answers = True

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        # By the Pod's name, which the recordings tell, and the container's; each run by its restartCount.
        self._runs: dict[tuple[str, str], dict[int, ContainerLog]] = {}

    def log(self, pod: Object, container: str, *, previous: bool) -> ContainerLog | None:
        """What the container's latest run wrote, or the one that ended before; None where there was none."""
        name, statuses = pod["metadata"]["name"], pod["status"].get("containerStatuses", ())
        status: Object = next((each for each in statuses if each["name"] == container), {})
        state = status.get("state", {})
        if "running" in state:
            self._run(name, container, status["restartCount"])
        runs = self._runs.get((name, container), {})
        # While a container waits for its restart, its latest run is the one that ended before.
        back = 1 if previous and "waiting" not in state else 0
        return runs[sorted(runs)[-1 - back]] if len(runs) > back else None

    def heard(self, entry: Mapping[str, Any]) -> None:
        """Takes in a line of a log, or its end."""
        log = self._run(entry["pod"], CONTAINER, entry["restartCount"])
        if "line" in entry:
            stamp, _, text = entry["line"].partition(" ")
            log.add(LogLine(datetime.fromisoformat(stamp).timestamp(), text.encode(), stamp))
        elif not log.ended:
            log.end()

    def gone(self, pod: str) -> None:
        """Ends what the Pod's containers write, and forgets it."""
        for key in [key for key in self._runs if key[0] == pod]:
            for log in self._runs.pop(key).values():
                if not log.ended:
                    log.end()

    def _run(self, pod: str, container: str, count: int) -> ContainerLog:
        runs = self._runs.setdefault((pod, container), {})
        if count not in runs:
            runs[count] = ContainerLog(self._now, ended=any(later > count for later in runs))
            for earlier, log in runs.items():
                if earlier < count and not log.ended:
                    log.end()
        return runs[count]


class RecordedMetrics:
    """The metrics of a recording's owner Pods, each on a loopback address of its own, all on one port."""

    def __init__(self, pods: Iterable[str], port: int) -> None:
        self._ports = PodPorts(port)
        self.addresses = {pod: self._ports.address() for pod in pods}
        self._texts: dict[str, str | None] = {}  # by Pod; None: nobody answers

    @property
    def port(self) -> int:
        """The port, the same for all."""
        return self._ports.port

    async def start(self) -> None:
        """Listens. Raises OSError where the port is taken."""
        if self.addresses:
            await self._ports.start()
        for pod, address in self.addresses.items():
            await self._ports.open(address, partial(self._serve, pod))

    async def stop(self) -> None:
        """Listens no longer."""
        await self._ports.stop()

    def heard(self, entry: Mapping[str, Any]) -> None:
        """Takes in what a scrape of a Pod found. Where it failed, so do those that follow."""
        self._texts[entry["pod"]] = entry["text"] if entry["status"] == 200 else None

    def gone(self, pod: str) -> None:
        """Has the Pod answer no more."""
        self._texts.pop(pod, None)

    async def _serve(self, pod: str, request: web.Request) -> web.StreamResponse:
        if (text := self._texts.get(pod)) is None:
            return await drop(request)
        open_metrics = text.endswith(("# EOF", "# EOF\n"))
        kind = "application/openmetrics-text; version=1.0.0" if open_metrics else "text/plain; version=0.0.4"
        ended = text if text.endswith("\n") else f"{text}\n"
        return web.Response(body=ended.encode(), headers={"Content-Type": f"{kind}; charset=utf-8"})


class Replay:
    """Serves one recording from its beginning, on the event loop's clock. Use as an async context manager."""

    def __init__(
        self,
        path: Path,
        *,
        strip_stamp: bool = False,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        tokens: Mapping[str, Identity] | None = None,
        metrics_port: int = METRICS_PORT,
    ) -> None:
        """``strip_stamp`` drops the annotations that name a session's creator. ``metrics_port`` is the owner Pods',
        if the recording has metrics; 0 takes a free one. Raises OSError, and ValueError where the file is no
        recording."""
        entries = [json.loads(line) for line in path.read_text().splitlines() if line]
        if not entries or "wall" not in entries[0]:
            raise ValueError(f"{path.name} is no recording: its first line has no wall clock")
        loop = asyncio.get_running_loop()
        self.began = datetime.fromisoformat(entries[0]["wall"]).timestamp()
        """Epoch seconds of the recording's start."""
        start = loop.time()
        self.store = Store(lambda: self.began + loop.time() - start)
        self.faults = Faults()
        self._node = RecordedNode(self.store.now)
        self.server = ApiServer(self.store, faults=self.faults, tls=tls, tokens=tokens, nodes=lambda _: self._node)
        scraped = dict.fromkeys(entry["pod"] for entry in entries if entry.get("stream") == "owner-metrics")
        self._metrics = RecordedMetrics(scraped, metrics_port)
        self.deleted: dict[str, float] = {}
        """The time (epoch seconds) at which each Pod, by uid, was deleted through the API."""
        self._strip, self._port = strip_stamp, port
        self._pending = list(self._read(entries))
        self.length = float(entries[-1]["t"])
        """Seconds from the first line to the last."""
        self._replaying = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        for namespace in ("ssh-sessions", "containerssh"):
            self.store.create(NAMESPACES, None, {"metadata": {"name": namespace}})
        self.store.subscribe(self._heard)
        while self._pending and self._pending[0].at <= 0:
            self._put(self._pending.pop(0))
        await self._metrics.start()
        await self.server.start(port=self._port)
        self._task = asyncio.create_task(self._run(), name="replay")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.server.stop()
        await self._metrics.stop()

    @property
    def metrics_port(self) -> int:
        """The port on which the owner Pods serve their metrics, each on the address in its status."""
        return self._metrics.port

    def sessions(self) -> list[Object]:
        """The session Pods that are there now."""
        return self.store.list(PODS, "ssh-sessions")

    async def _run(self) -> None:
        while self._pending:
            await asyncio.sleep(max(0.0, self.began + self._pending[0].at - self.store.now()))
            while self._pending and self.began + self._pending[0].at <= self.store.now():
                self._put(self._pending.pop(0))

    def _read(self, entries: list[dict[str, Any]]) -> Iterator[Recorded | Said]:
        # The lists were made in the recording's first moments and show what was there before it. Their objects go in
        # by version, so that each can keep its own.
        lists = [entry for entry in entries if "list" in entry]
        before = [(entry["stream"], item) for entry in lists for item in entry["list"]["items"]]
        for stream, item in sorted(before, key=lambda each: int(each[1]["metadata"]["resourceVersion"])):
            yield Recorded(0.0, stream, "ADDED", self._object(item))
        for entry in lists:
            yield Recorded(0.0, entry["stream"], "BOOKMARK", {"metadata": entry["list"]["metadata"]})
        for entry in entries:
            if "event" in entry:
                yield Recorded(
                    entry["t"], entry["stream"], entry["event"]["type"], self._object(entry["event"]["object"])
                )
            elif entry.get("stream") in ("owner-log", "owner-metrics"):
                yield Said(entry["t"], entry["stream"], entry)

    def _object(self, recorded: Object) -> Object:
        address = self._metrics.addresses.get(recorded["metadata"].get("name", ""))
        if address is not None and recorded.get("status", {}).get("podIP"):
            recorded = recorded | {"status": recorded["status"] | {"podIP": address, "podIPs": [{"ip": address}]}}
        annotations = recorded["metadata"].get("annotations")
        if self._strip and annotations:
            kept = {name: text for name, text in annotations.items() if not name.startswith(STAMP)}
            return recorded | {"metadata": recorded["metadata"] | {"annotations": kept}}
        return recorded

    def _put(self, entry: Recorded | Said) -> None:
        if isinstance(entry, Said):
            source = self._node if entry.stream == "owner-log" else self._metrics
            source.heard(entry.entry)
            return
        metadata = entry.object["metadata"]
        if entry.type == "BOOKMARK":
            self.store.advance_rv(int(metadata["resourceVersion"]))
        elif metadata["uid"] not in self.deleted:
            self._replaying = True
            # Deletions here have moved the version on; the recording's versions go on from there.
            version = max(self.store.rv + 1, int(metadata["resourceVersion"]))
            versioned = entry.object | {"metadata": metadata | {"resourceVersion": str(version)}}
            exact = version == int(metadata["resourceVersion"])
            self.store.put_raw(entry.type, STREAMS[entry.stream], entry.object if exact else versioned)
            self._replaying = False
            if entry.stream == "owner-pods" and entry.type == "DELETED":
                self._node.gone(metadata["name"])
                self._metrics.gone(metadata["name"])

    def _heard(self, change: Change) -> None:
        metadata = change.object["metadata"]
        gone = change.type == "DELETED" or "deletionTimestamp" in metadata
        if gone and not self._replaying and change.resource is PODS:
            self.deleted.setdefault(metadata["uid"], self.store.now())

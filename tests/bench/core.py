"""The core alone, in a process of its own: reading and indexing lists, and judging all sessions again.

The functions are the daemon's own; bytes that were made before stand in for the API server.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from multiprocessing import get_context
from typing import Any, cast

import msgspec
import structlog

from ssh_session_gc.cluster.cluster import Cluster
from ssh_session_gc.core.connections import Line, Said
from ssh_session_gc.core.gauge import Idle
from ssh_session_gc.core.model import Reason
from ssh_session_gc.daemon.collector import Collector
from ssh_session_gc.daemon.election import Elector
from ssh_session_gc.daemon.events import Recorder
from ssh_session_gc.kube import wire
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.listing import PAGE, Collection, list_all
from ssh_session_gc.kube.pods import sessions
from ssh_session_gc.kube.resources import PODS, Resource
from ssh_session_gc.kube.servertime import ServerTime
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics
from tests.bench import pods
from tests.bench.report import MANY, Row, Sample, beside, growth
from tests.bench.setting import Bench

OWNERS = 4


class Scan(msgspec.Struct):
    """A list of which msgspec decodes the metadata alone, and skips the rest."""

    metadata: wire.ListMeta


class Narrow(msgspec.Struct):
    """A list with the fields that the daemon reads of each Pod."""

    metadata: wire.ListMeta
    items: list[wire.Pod]


class WallClock(ServerTime):
    """This machine's time, never sure enough to delete by."""

    def now(self) -> float:
        """Epoch seconds."""
        return time.time()


class PlayedServer:
    """An API server that answers lists and watches only."""

    def __init__(self, pages: list[bytes]) -> None:
        self.created = created = time.time() - 2 * pods.AGE
        """When the owners started."""
        self._pages = pages
        self._others = {
            "deployments": _list([pods.deployment()]),
            "pods": _list([pods.owner(number, created) for number in range(OWNERS)]),
        }
        self.news: asyncio.Queue[bytes] = asyncio.Queue()
        """Lines that the watch of the owners' Pods will carry."""
        self.time = WallClock()

    async def request(self, verb: str, resource: Resource, namespace: str, *, query: Mapping[str, str]) -> bytes:
        """Returns a list, or the next page of it."""
        if namespace == pods.SESSIONS:
            return self._pages[int(query.get("continue", "0"))]
        return self._others[resource.plural]

    @asynccontextmanager
    async def watch(
        self, resource: Resource, namespace: str, query: Mapping[str, str], silence: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Opens a watch: the one of the owners' Pods carries ``news``, others stay quiet."""
        quiet = asyncio.Queue[bytes]()
        yield _lines(self.news if (resource.plural, namespace) == ("pods", pods.OWNERS) else quiet)


async def _lines(queue: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
    while True:
        yield await queue.get()


def _list(items: list[pods.Object], **metadata: str) -> bytes:
    said = {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "999999", **metadata}, "items": items}
    return msgspec.json.encode(said)


def lists(size: int) -> list[bytes]:
    """The pages of a list of ``size`` sessions of several owners."""
    created, made = time.time() - pods.AGE, list[bytes]()
    for first in range(0, size, PAGE):
        last = min(first + PAGE, size)
        items = [pods.session(number, created, owner=number % OWNERS) for number in range(first, last)]
        for number, item in enumerate(items, first):
            item["metadata"]["resourceVersion"] = str(26_000 + number)
        made.append(_list(items, **({"continue": str(len(made) + 1)} if last < size else {})))
    return made


class Core:
    """The cluster and the collector of a daemon. Use as an async context manager, which enters once all is read."""

    def __init__(self, pages: list[bytes]) -> None:
        settings, metrics = Settings(owner_logs=False), Metrics(dry_run=False)
        self.api = PlayedServer(pages)
        api = cast(Api, self.api)
        self.cluster = Cluster(settings, api, metrics)
        recorder, elector = Recorder(api, settings.session_namespace), Elector(api, None)
        self.collector = Collector(self.cluster, api, settings, metrics, recorder, elector)
        self._tasks = [asyncio.create_task(each) for each in (self.cluster.follow(), self.collector.run())]

    async def __aenter__(self) -> "Core":
        while any(source.out_of_sync for source in self.cluster.sources):  # noqa: ASYNC110 - nothing takes any time here
            await asyncio.sleep(0)
        await self.turns()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def turns(self) -> None:
        """Runs the loop until every task has done its work: each wakes within a few turns, and needs one."""
        for _ in range(20):
            await asyncio.sleep(0)

    def connect(self) -> None:
        """Has the owners' logs say of all sessions that they are open."""
        for number, session in enumerate(tuple(self.cluster.sessions.by_uid.values())):
            line = Line(Said.CONNECTED, session.connection_id, "", session.created, session.created)
            self.cluster.connections.hear(line, pods.owner_name(number % OWNERS))

    def nobody(self) -> None:
        """Has the owners' metrics say that nobody is connected to any of them, now and a minute ago."""
        now, gauge = self.api.time.now(), self.cluster._gauge
        gauge.idle = {owner.run: Idle(now - 60.0, now) for owner in self.cluster.owners.owners}
        gauge.changes.tell(None)

    def ownerless(self) -> float:
        """The sum of the times at which sessions became due as Ownerless; it changes with each owner's end."""
        verdicts = self.collector.queue.verdicts.values()
        return sum(verdict.due or 0.0 for verdict in verdicts if verdict.reason is Reason.OWNERLESS)


def decoding(size: int, repeats: int) -> dict[str, list[float]]:
    """Seconds of processor time for the same bytes: scanned, decoded into narrow structs, decoded and indexed as the
    daemon does it, and judged besides."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    pages = lists(size)
    narrow, scan = msgspec.json.Decoder(Narrow), msgspec.json.Decoder(Scan)
    found: dict[str, list[float]] = {"scan": [], "narrow": [], "indexed": [], "judged": []}
    for _ in range(repeats):
        for name, decoder in (("scan", scan), ("narrow", narrow)):
            gc.collect()
            begun = time.process_time()
            for page in pages:
                decoder.decode(page)
            found[name].append(time.process_time() - begun)
        for name, work in (("indexed", _indexed), ("judged", _judged)):
            gc.collect()
            found[name].append(asyncio.run(work(pages)))
    found["bytes"] = [float(sum(map(len, pages)))]
    return found


async def _indexed(pages: list[bytes]) -> float:
    api = cast(Api, PlayedServer(pages))
    cluster = Cluster(Settings(owner_logs=False), api, Metrics(dry_run=False))
    begun = time.process_time()
    listing = await list_all(api, Collection(PODS, pods.SESSIONS, sessions("")))
    cluster.sessions.listed(listing.items, listing.broken)
    return time.process_time() - begun


async def _judged(pages: list[bytes]) -> float:
    begun = time.process_time()
    async with Core(pages) as core:
        took = time.process_time() - begun
        assert len(core.collector.queue.verdicts) == len(core.cluster.sessions.by_uid)
    return took


def owner_changes(size: int, repeats: int, told: str = "") -> dict[str, list[float]]:
    """Seconds of processor time to judge all sessions again. ``told``: what is known of connections, "logs" that all
    are open, or "metrics" that nobody is connected."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    return asyncio.run(_owner_changes(size, repeats, told))


async def _owner_changes(size: int, repeats: int, told: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"one": [], "all": []}
    ended = time.time() - pods.AGE / 2
    async with Core(lists(size)) as core:
        if told == "logs":
            core.connect()
        elif told == "metrics":
            core.nobody()
        await core.turns()
        gc.collect()
        for restarts, (name, owners) in enumerate([("one", 1), ("all", OWNERS)] * repeats, 1):
            changed = [
                pods.owner(n, core.api.created, restarts=restarts, restarted=ended + restarts) for n in range(owners)
            ]
            news = [msgspec.json.encode({"type": "MODIFIED", "object": each}) for each in changed]
            before, begun = core.ownerless(), time.process_time()
            for line in news:
                core.api.news.put_nowait(line)
            await core.turns()
            found[name].append(time.process_time() - begun)
            assert core.ownerless() != before
    return found


def figures(bench: Bench) -> list[Row]:
    """Measures each figure in a new process, so that none finds the others' memory."""
    rows: list[Row] = []
    reading, judging = [], []
    for size in bench.scale.sessions:
        repeats = bench.scale.repeats if size <= 10_000 else 2
        found = _apart(decoding, size, repeats)
        took = {name: Sample("ms", [1000 * each for each in values], fastest=True) for name, values in found.items()}
        what, how = f"{size:,} sessions ({found['bytes'][0] / 1e6:.1f} MB)", "msgspec, narrow structs"
        ours = took["indexed"]
        row = beside("start-up", f"decode and index {what}", ours, how, took["narrow"], size=size)
        rows += [
            row.per_session("≤ 1.5 × msgspec", 1.5),
            beside("start-up", row.what, ours, "msgspec, reading over it", took["scan"], size=size),
            Row("start-up", f"and judge, with timers: {what}", took["judged"], size),
        ]
        reading.append((size, ours.value))
    rows.append(growth("start-up", "decode and index", reading))
    for size in bench.scale.sessions:
        repeats = bench.scale.repeats
        found = _apart(owner_changes, size, repeats)
        for name, what in (("one", "one of 4 owners restarts"), ("all", "all 4 owners restart")):
            each = Sample("µs", [1e6 * seconds / size for seconds in found[name]], fastest=True)
            row = Row("owner change", f"{what}, {size:,} sessions, for each", each, size)
            rows.append(row.per_session("≤ 2 µs", 2.0, each.value) if name == "one" else row)
        judging.append((size, Sample("", found["one"], fastest=True).value))
    return [*rows, *_told(bench), growth("owner change", "time to judge all again", judging)]


def _told(bench: Bench) -> list[Row]:
    """Measures the same where something is known of connections, at one number of sessions."""
    rows, size = list[Row](), max(each for each in bench.scale.sessions if each <= MANY)
    for told, known in (("logs", "all open by logs"), ("metrics", "nobody there by metrics")):
        found = _apart(owner_changes, size, bench.scale.repeats, told)
        each = Sample("µs", [1e6 * seconds / size for seconds in found["one"]], fastest=True)
        row = Row("owner change", f"one of 4 owners restarts, {size:,} sessions, {known}, for each", each, size)
        rows.append(row.per_session("≤ 2 µs", 2.0, each.value))
    return rows


def _apart(work: Any, *args: Any) -> dict[str, list[float]]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found: dict[str, list[float]] = pool.submit(work, *args).result()
    return found

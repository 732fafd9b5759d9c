"""A real API server, with the methods of ``setting.SteeredServer``.

The server sets the time of creation, so no session can be made older. A thread of this process writes what a kubelet
would, and watches for deletions, which it sees a little late.
"""

import asyncio
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import msgspec

from ssh_session_gc.sandbox.kubeconfig import write_kubeconfig
from tests.bench import pods
from tests.bench.sandbox import PATIENCE
from tests.controlplane import ROOT_TOKEN, ControlPlaneServer

T = TypeVar("T")

AT_ONCE = 32
"""Requests at a time while many Pods are created."""
_TOLD = ("name", "labels", "annotations")


class _Metadata(msgspec.Struct):
    name: str


class _Pod(msgspec.Struct):
    metadata: _Metadata


class _Event(msgspec.Struct):
    type: str
    object: _Pod


class Real:
    """A handle of a real API server. Use as a context manager, one at a time."""

    description = "etcd and kube-apiserver, TLS"
    cutoff = "1 minute"
    """Nothing is older than an hour here, so the CronJob's limit is a minute ahead: it deletes everything."""

    def __init__(self, running: ControlPlaneServer, folder: Path, owners: int = 1) -> None:
        self._running = running
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._owners: list[pods.Object] = []
        self._made = 0
        self._there: set[str] = set()
        self._accepted: dict[str, float] = {}
        self._do(self._begin(owners))
        url, authority = running.url, str(running.authority)
        self.kubeconfig = write_kubeconfig(
            folder / "kubeconfig-real", url, token=ROOT_TOKEN, certificate_authority=authority
        )

    def __enter__(self) -> "Real":
        return self

    def __exit__(self, *_: object) -> None:
        self.empty()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def fill(self, count: int, *, age: float = 0.0, owner: int = 0) -> list[str]:
        """Adds ``count`` sessions. Returns their names."""
        return self._do(self._fill([None] * count, owner))

    def fall_due(self, dues: Sequence[float]) -> list[str]:
        """Adds one session for each of these moments, at which its own ttl ends. Returns their names."""
        return self._do(self._fill(dues, 0))

    def crash(self, owner: int = 0) -> float:
        """Kills the process in one owner Pod, which starts again. Returns the moment as the status has it."""
        return self._do(self._crash(owner))

    def empty(self) -> None:
        """Removes all sessions."""
        self._do(self._empty(pods.SESSIONS))
        self._there.clear()
        self._accepted.clear()

    def accepted(self, count: int = 0) -> dict[str, float]:
        """Waits for ``count`` deletions; returns when each was accepted. Raises TimeoutError."""
        until = time.monotonic() + PATIENCE
        while len(self._accepted) < count:
            if time.monotonic() > until:
                raise TimeoutError(f"{len(self._accepted)} of {count} deletions")
            time.sleep(0.01)
        return dict(self._accepted)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _begin(self, owners: int) -> None:
        context = ssl.create_default_context(cafile=str(self._running.authority))
        self._http = aiohttp.ClientSession(
            self._running.url,
            connector=aiohttp.TCPConnector(ssl=context, limit=0),
            headers={"Authorization": f"Bearer {ROOT_TOKEN}"},
            timeout=aiohttp.ClientTimeout(),
            read_bufsize=2**20,
        )
        for namespace in (pods.SESSIONS, pods.OWNERS):
            await self._ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}}, may_be=409)
            await self._empty(namespace)
        deployment = pods.deployment()
        body = {"metadata": _part(deployment["metadata"], _TOLD), "spec": deployment["spec"]}
        await self._ask("POST", f"/apis/apps/v1/namespaces/{pods.OWNERS}/deployments", body, may_be=409)
        for number in range(owners):
            made = await self._create(pods.OWNERS, pods.owner(number, time.time()))
            self._owners.append(made | {"restarts": 0})
            await self._status(pods.OWNERS, pods.owner(number, _created(made)))
        listed = await self._ask("GET", _path(pods.SESSIONS))
        self._watching = asyncio.create_task(self._watch(listed["metadata"]["resourceVersion"]))

    async def _end(self) -> None:
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        await self._http.close()

    async def _fill(self, dues: Iterable[float | None], owner: int) -> list[str]:
        numbered = list(enumerate(dues, self._made))
        self._made += len(numbered)
        names = [pods.name(number) for number, _ in numbered]
        self._there.update(names)
        uid = self._owners[owner]["metadata"]["uid"]

        async def one(item: tuple[int, float | None]) -> None:
            number, due = item
            pod = pods.session(number, time.time(), owner=owner)
            pod["metadata"]["annotations"]["ssh-session-gc/owner-pod-uid"] = uid
            created = _created(await self._create(pods.SESSIONS, pod))
            await self._status(pods.SESSIONS, pods.session(number, created, owner=owner))
            if due is not None:
                note = {"ssh-session-gc/ttl": f"{due - created:.3f}s"}
                await self._patch(_path(pods.SESSIONS, pods.name(number)), {"metadata": {"annotations": note}})

        await _for_each(numbered, one)
        return names

    async def _crash(self, number: int) -> float:
        owner, at = self._owners[number], float(int(time.time()))
        owner["restarts"] += 1
        pod = pods.owner(number, _created(owner), restarts=owner["restarts"], restarted=at)
        await self._status(pods.OWNERS, pod)
        return at

    async def _empty(self, namespace: str) -> None:
        while (await self._ask("GET", f"{_path(namespace)}?limit=1"))["items"]:
            await self._ask("DELETE", _path(namespace), {"gracePeriodSeconds": 0})

    async def _watch(self, version: str) -> None:
        decode = msgspec.json.Decoder(_Event).decode
        query = f"{_path(pods.SESSIONS)}?watch=1&timeoutSeconds=7200&resourceVersion={version}"
        async with self._http.get(query) as response:
            while line := await response.content.readline():
                event = decode(line)
                # A Pod that is bound to no node is gone as soon as its deletion is accepted.
                if event.type == "DELETED" and (name := event.object.metadata.name) in self._there:
                    self._accepted.setdefault(name, time.time())

    async def _create(self, namespace: str, pod: pods.Object) -> pods.Object:
        body = {"metadata": _part(pod["metadata"], _TOLD), "spec": pod["spec"] | {"nodeName": ""}}
        return await self._ask("POST", _path(namespace), body)

    async def _status(self, namespace: str, pod: pods.Object) -> None:
        status = _part(pod["status"], ("phase", "conditions", "containerStatuses", "startTime"))
        await self._patch(f"{_path(namespace, pod['metadata']['name'])}/status", {"status": status})

    async def _patch(self, path: str, body: pods.Object) -> None:
        await self._ask("PATCH", path, body, content_type="application/merge-patch+json")

    async def _ask(
        self, method: str, path: str, body: Any = None, *, content_type: str = "application/json", may_be: int = 0
    ) -> pods.Object:
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": content_type} if data else {}
        async with self._http.request(method, path, data=data, headers=headers) as response:
            answer: pods.Object = msgspec.json.decode(await response.read())
            if response.status >= 300 and response.status != may_be:
                raise RuntimeError(f"{method} {path}: {answer}")
            return answer


async def _for_each(items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    left = iter(items)

    async def some() -> None:
        for item in left:
            await work(item)

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


def _path(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/pods" + (f"/{name}" if name else "")


def _part(whole: pods.Object, names: Sequence[str]) -> pods.Object:
    return {name: whole[name] for name in names if name in whole}


def _created(pod: pods.Object) -> float:
    return datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp()

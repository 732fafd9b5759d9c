"""A sandbox server to test against, and a plain client of it. Holds no tests."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from ssh_session_gc.sandbox.api.objects import NAMESPACES, PODS, Object
from ssh_session_gc.sandbox.api.server import ApiServer
from ssh_session_gc.sandbox.api.storage import Store

NOW = 1_800_000_000.25
"""What the cluster's clock shows at the beginning: 2027-01-15T08:00:00.25Z."""
NAMESPACE = "sessions"


class Clock:
    """A clock for the cluster that moves only when it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Client:
    """Sends requests to one server."""

    def __init__(self, server: ApiServer, session: aiohttp.ClientSession) -> None:
        self.server, self.store, self.session = server, server.store, session

    async def __call__(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Sends one request; returns the whole answer, decoded if it is JSON."""
        data = None if body is None else json.dumps(body)
        sent = {"Content-Type": "application/json"} if data else {}
        async with self.session.request(
            method, self.server.url + path, data=data, headers=sent | dict(headers or {})
        ) as response:
            raw = await response.read()
            is_json = response.content_type == "application/json"
            return Answer(response.status, response.headers, json.loads(raw) if is_json else raw.decode())

    @asynccontextmanager
    async def watch(
        self, query: str = "", path: str = f"/api/v1/namespaces/{NAMESPACE}/pods"
    ) -> AsyncIterator["Lines"]:
        """A watch with these parameters."""
        url = f"{self.server.url}{path}?watch=1&{query}"
        async with self.session.get(url, timeout=aiohttp.ClientTimeout()) as response:
            yield Lines(response)


class Lines:
    """The events of a watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> Any:
        """The next event, None at a clean end."""
        raw = await self.response.content.readline()
        return json.loads(raw) if raw else None

    async def brief(self) -> tuple[str, str]:
        """The next event's type and the name in it."""
        event = await self.next()
        return event["type"], event["object"]["metadata"]["name"]


@asynccontextmanager
async def serving(store: Store | None = None, **options: Any) -> AsyncIterator[Client]:
    """A running server with the namespace ``sessions`` and a client of it."""
    store = store or Store(Clock())
    if not store.list(NAMESPACES):
        store.create(NAMESPACES, None, {"metadata": {"name": NAMESPACE}})
    server = ApiServer(store, **options)
    await server.start()
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout()) as session:
            yield Client(server, session)
    finally:
        await server.stop()


def pod(name: str = "", *, node: str = "", labels: Mapping[str, str] | None = None, **metadata: Any) -> Object:
    """A Pod to create, bound to a node if one is given."""
    named = {"name": name} if name else {"generateName": "containerssh-"}
    spec: Object = {"containers": [{"name": "shell", "image": "shell:1"}]} | ({"nodeName": node} if node else {})
    return {"metadata": named | {"labels": dict(labels or {})} | metadata, "spec": spec}


def add(store: Store, *names: str, **options: Any) -> None:
    """Creates Pods in the namespace ``sessions``."""
    for name in names:
        store.create(PODS, NAMESPACE, pod(name, **options))

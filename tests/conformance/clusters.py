"""An API server to test against: the sandbox's, or a real one. Tests speak the same HTTP to either.

Nobody runs Pods here. A test writes through the API what a kubelet would write.
"""

import asyncio
import itertools
import json
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp

from ssh_session_gc.sandbox.api.authorization import ADMIN, Identity
from ssh_session_gc.sandbox.api.objects import timestamp
from ssh_session_gc.sandbox.api.server import ApiServer
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.kubeconfig import write_kubeconfig
from tests.builders import new_pod
from tests.chart import charts
from tests.controlplane import ROOT_TOKEN
from tests.support import advance

Object = dict[str, Any]

PATIENCE = 180
"""Half seconds in which what is waited for happens, or never will."""
_PLURALS = {
    "Deployment": "apis/apps/v1/namespaces/{}/deployments",
    "Role": "apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "ServiceAccount": "api/v1/namespaces/{}/serviceaccounts",
}


@dataclass(frozen=True)
class Reply:
    """What a request got."""

    status: int
    headers: Mapping[str, str]
    body: Any


class WatchLines:
    """The events of a watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> Any:
        """The next event that is no bookmark, None at a clean end."""
        while raw := await self.response.content.readuntil(b"\n"):
            event = json.loads(raw)
            if event["type"] != "BOOKMARK":
                return event
        return None

    async def brief(self) -> tuple[str, str]:
        """The next event's type and the name in it."""
        event = await self.next()
        return event["type"], event["object"]["metadata"]["name"]


class AnyCluster(ABC):
    """An API server, and two namespaces of this test's own."""

    _numbers: Iterator[int] = itertools.count(1)

    def __init__(self, authority: Path) -> None:
        number = next(self._numbers)
        self.sessions, self.owners = f"sessions-{number}", f"owners-{number}"
        self.authority = authority
        """The file with the certificate authority of the server."""
        self._http: aiohttp.ClientSession

    @property
    @abstractmethod
    def url(self) -> str:
        """``https://host:port``."""

    @abstractmethod
    async def passing(self, seconds: float) -> None:
        """Returns when that time has passed for the server and for the test."""

    async def until(self, condition: Callable[[], Awaitable[object] | bool], what: str) -> None:
        """Returns when the condition holds. Raises AssertionError after ``PATIENCE`` looks."""
        for _ in range(PATIENCE):
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await self.passing(0.5)
        raise AssertionError(f"never happened: {what}")

    @abstractmethod
    async def grant(self, documents: Sequence[Object]) -> None:
        """Puts the Roles, RoleBindings and ServiceAccounts among these objects in force."""

    @abstractmethod
    async def token(self, namespace: str, account: str) -> str:
        """Issues a token of this ServiceAccount."""

    @asynccontextmanager
    async def ready(self) -> AsyncIterator["AnyCluster"]:
        """Makes the namespaces."""
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(self.authority)))
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout()) as self._http:
            for name in (self.sessions, self.owners):
                await self.do("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
            yield self

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str = ROOT_TOKEN,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request, and the whole answer, decoded if it is JSON."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body)
        sent = ({"Content-Type": "application/json"} if data else {}) | _bearer(token)
        async with self._http.request(
            method, self.url + path, data=data, headers=sent | dict(headers or {})
        ) as response:
            raw = await response.read()
            is_json = response.content_type == "application/json"
            return Reply(response.status, response.headers, json.loads(raw) if is_json else raw.decode())

    async def do(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> Object:
        """Sends a request that must succeed, and returns the object in its response."""
        answer = await self(method, path, body, headers=headers)
        assert answer.status < 300, (method, path, answer.body)
        return dict(answer.body)

    @asynccontextmanager
    async def watch(self, query: str = "", path: str = "") -> AsyncIterator[WatchLines]:
        """A watch with these parameters, of the session Pods unless told otherwise."""
        url = f"{self.url}{path or self.pods}?watch=1&{query}"
        async with self._http.get(url, headers=_bearer(ROOT_TOKEN)) as response:
            try:
                yield WatchLines(response)
            finally:
                # A TLS connection left in the middle would send its close to a server that may be gone by then.
                if response.connection is not None and response.connection.transport is not None:
                    response.connection.transport.abort()

    def kubeconfig(self, path: Path, token: str) -> Path:
        """Writes a kubeconfig with this token."""
        return write_kubeconfig(path, self.url, token=token, certificate_authority=str(self.authority))

    async def now(self) -> float:
        """The server's clock, in whole epoch seconds."""
        date = (await self("GET", "/version")).headers["Date"]
        return parsedate_to_datetime(date).timestamp()

    # Pods

    @property
    def pods(self) -> str:
        """The path of the session Pods."""
        return f"/api/v1/namespaces/{self.sessions}/pods"

    @property
    def owner_pods(self) -> str:
        """The path of ContainerSSH's Pods."""
        return f"/api/v1/namespaces/{self.owners}/pods"

    async def add(self, *names: str, **options: Any) -> None:
        """Creates session Pods."""
        for name in names:
            await self.do("POST", self.pods, new_pod(name, **options))

    async def version(self) -> str:
        """The current resourceVersion."""
        found = await self.do("GET", f"{self.pods}?limit=1")
        return str(found["metadata"]["resourceVersion"])

    async def status(self, path: str, phase: str, *, restarts: int = 0, **state: Object) -> Object:
        """Writes a Pod's status as its kubelet would, with one container in this state."""
        body = await self.do("GET", path)
        name = body["spec"]["containers"][0]["name"]
        container = {"name": name, "ready": "running" in state, "restartCount": restarts, "state": state}
        container |= {"image": "x", "imageID": "", "lastState": {}}
        patch = {"status": {"phase": phase, "containerStatuses": [container]}}
        headers = {"Content-Type": "application/merge-patch+json", "User-Agent": "kubelet/v1"}
        return await self.do("PATCH", f"{path}/status", patch, headers=headers)

    async def start(self, path: str) -> None:
        """Has the Pod's container start now."""
        await self.status(path, "Running", running={"startedAt": timestamp(await self.now())})

    async def end(self, path: str, phase: str = "Failed", code: int = 137) -> None:
        """Has the Pod's container end now, for good."""
        now = timestamp(await self.now())
        state = {"exitCode": code, "reason": "Error", "startedAt": now, "finishedAt": now}
        await self.status(path, phase, terminated=state)

    async def gone(self, path: str) -> None:
        """Removes the Pod as its kubelet does once nothing of it is left."""
        await self.do("DELETE", path, {"gracePeriodSeconds": 0})

    async def find(self, path: str) -> Object | None:
        """The object, or None."""
        answer = await self("GET", path)
        return None if answer.status == 404 else dict(answer.body)


class SandboxCluster(AnyCluster):
    """The sandbox's API server. Its clock is the loop's, which can be moved on."""

    def __init__(self, authority: Path, context: ssl.SSLContext) -> None:
        super().__init__(authority)
        loop = asyncio.get_running_loop()
        # Programs of their own look at it, too, and they have a clock.
        epoch = time.time() - loop.time()
        self._tokens = {ROOT_TOKEN: ADMIN}
        store = Store(lambda: epoch + loop.time())
        self.server = ApiServer(store, tls=context, tokens=self._tokens, roles={})

    @property
    def url(self) -> str:
        return self.server.url

    @asynccontextmanager
    async def ready(self) -> AsyncIterator[AnyCluster]:
        await self.server.start()
        try:
            async with super().ready():
                yield self
        finally:
            await self.server.stop()

    async def passing(self, seconds: float) -> None:
        await advance(seconds)

    async def grant(self, documents: Sequence[Object]) -> None:
        self.server.roles = {**(self.server.roles or {}), **charts.granted(documents)}

    async def token(self, namespace: str, account: str) -> str:
        token = f"of-{namespace}-{account}"
        self._tokens[token] = Identity(f"system:serviceaccount:{namespace}:{account}")
        return token


class RealCluster(AnyCluster):
    """A real API server, whose time is everybody's."""

    def __init__(self, authority: Path, url: str) -> None:
        super().__init__(authority)
        self._url = url

    @property
    def url(self) -> str:
        return self._url

    async def passing(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def grant(self, documents: Sequence[Object]) -> None:
        for document in documents:
            if document["kind"] in ("ServiceAccount", "Role", "RoleBinding"):
                namespace = document["metadata"]["namespace"]
                if not await self.find(f"/api/v1/namespaces/{namespace}"):
                    await self.do("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
                path = "/" + _PLURALS[document["kind"]].format(namespace)
                await self("DELETE", f"{path}/{document['metadata']['name']}")
                await self.do("POST", path, document)

    async def token(self, namespace: str, account: str) -> str:
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        made = await self.do("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", request)
        return str(made["status"]["token"])


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}

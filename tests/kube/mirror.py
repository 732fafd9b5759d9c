"""A reflector and what it believes, beside a store and what is so.

Knows how both are set up and compared. Does not know what goes wrong: each test breaks something else.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.listing import Collection
from ssh_session_gc.kube.reflector import Reflector
from ssh_session_gc.kube.resources import PODS
from ssh_session_gc.kube.wire import Pod
from ssh_session_gc.sandbox import Faults, Identity
from ssh_session_gc.sandbox.api.objects import NAMESPACES
from ssh_session_gc.sandbox.api.objects import PODS as STORED_PODS
from ssh_session_gc.sandbox.api.server import ApiServer
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.kubeconfig import write_kubeconfig
from tests.builders import T
from tests.harness import connected
from tests.support import advance, eventually

NAMESPACE = "ssh-sessions"
EVERY_POD = Collection(PODS, NAMESPACE, Decoder(Pod))
SESSION_PODS = replace(EVERY_POD, labels="containerssh.io/session=true")


class Mirror:
    """A Sink that shows what the reflector believes."""

    def __init__(self) -> None:
        self.pods: dict[str, str] = {}
        """resourceVersion by name."""
        self.arrivals = 0
        self.listed_at: list[float] = []
        """When each list came, on the event loop's clock."""
        self.said: list[tuple[float, str | None]] = [(0.0, "not yet")]
        """What it was told of being in step, and when."""
        self.incomplete: str | None = None
        self.broken: list[str] = []
        self.causes: list[str] = []
        self._time = asyncio.get_running_loop().time

    @property
    def lists(self) -> int:
        """How many lists came."""
        return len(self.listed_at)

    @property
    def out_of_sync(self) -> str | None:
        """Why it is out of step; None while it is in step."""
        return self.said[-1][1]

    def listed(self, items: Sequence[Pod], broken: Sequence[str]) -> None:
        self.listed_at.append(self._time())
        self.broken += broken
        self.pods = {pod.metadata.name: pod.metadata.resource_version for pod in items}
        assert len(self.pods) == len(items), "something was listed twice"

    def changed(self, item: Pod) -> None:
        self.pods[item.metadata.name] = item.metadata.resource_version

    def deleted(self, item: Pod) -> None:
        self.pods.pop(item.metadata.name, None)

    def unreadable(self, why: str) -> None:
        self.broken.append(why)

    def sync(self, out_of_sync: str | None) -> None:
        self.said.append((self._time(), out_of_sync))

    def arrived(self) -> None:
        self.arrivals += 1

    def restarted(self, cause: str, detail: str) -> None:
        self.causes.append(cause)


class MirrorScene:
    """A store with session Pods in it, served with faults, and a reflector that mirrors it."""

    def __init__(self, server: ApiServer, store: Store, faults: Faults) -> None:
        self.server, self.store, self.faults = server, store, faults
        self.mirror = Mirror()
        self.reflector: Reflector[Pod]

    def add(self, name: str, *, session: bool = True, annotations: dict[str, str] | None = None) -> None:
        """Creates a Pod, which is a session's unless told otherwise."""
        labels = {"containerssh.io/session": "true"} if session else {}
        metadata = {"name": name, "labels": labels, "annotations": annotations or {}}
        spec = {"containers": [{"name": "shell", "image": "shell"}], "schedulerName": "none"}
        self.store.create(STORED_PODS, NAMESPACE, {"metadata": metadata, "spec": spec})

    def touch(self, name: str, label: str = "touched") -> None:
        """Changes a label of a Pod."""

        def change(pod: dict[str, Any]) -> None:
            pod["metadata"].setdefault("labels", {})[label] = str(self.store.rv)

        self.store.update(STORED_PODS, NAMESPACE, name, change)

    def remove(self, name: str) -> None:
        """Deletes a Pod at once."""
        self.store.delete(STORED_PODS, NAMESPACE, name, grace=0)

    def truth(self) -> dict[str, str]:
        """The session Pods as they are: resourceVersion by name."""
        pods = self.store.list(STORED_PODS, NAMESPACE)
        return {
            p["metadata"]["name"]: p["metadata"]["resourceVersion"]
            for p in pods
            if p["metadata"].get("labels", {}).get("containerssh.io/session") == "true"
        }

    async def mirrored(self) -> None:
        """Returns when the mirror shows the truth and is in step; moves the time on where it waits to try again."""

        def done() -> bool:
            return self.mirror.pods == self.truth() and not self.mirror.out_of_sync

        for _ in range(60):
            if done():
                return
            await advance(1)
        await eventually(
            done, f"{self.mirror.pods} is {self.truth()}; {self.mirror.causes} {self.mirror.out_of_sync}"
        )

    def requests(self, verb: str) -> int:
        """How often Pods were asked for in this way."""
        return sum(r.verb == verb and r.resource == "pods" for r in self.server.requests)


def three(scene: MirrorScene) -> None:
    """Three sessions, and a Pod that is none."""
    for name in ("a", "b", "c"):
        scene.add(name)
    scene.add("other", session=False)


@asynccontextmanager
async def reflected(
    tmp_path: Path,
    *,
    before: Callable[[MirrorScene], None] = three,
    ready: Callable[[Reflector[Pod]], None] = lambda _: None,
    token: str = "",
    silence: float = 90.0,
) -> AsyncIterator[MirrorScene]:
    """A reflector that runs. ``before`` fills the store; ``ready`` is given the reflector before it runs."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    store, faults = Store(lambda: T + loop.time() - start), Faults()
    store.create(NAMESPACES, None, {"metadata": {"name": NAMESPACE}})
    server = ApiServer(store, faults=faults, tokens={token: Identity("gc")} if token else None)
    await server.start()
    scene = MirrorScene(server, store, faults)
    before(scene)
    try:
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", server.url, token=token)
        async with connected(kubeconfig) as api:
            scene.reflector = Reflector(api, SESSION_PODS, scene.mirror, silence=silence)
            ready(scene.reflector)
            task = asyncio.create_task(scene.reflector.run())
            try:
                yield scene
            finally:
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
    finally:
        await server.stop()


def everything_changes(scene: MirrorScene) -> None:
    """Something appears, something changes, something goes, one joins the selection and one leaves it."""
    scene.add("new")
    scene.touch("a")
    scene.remove("b")
    scene.touch("other", "containerssh.io/session")
    scene.store.update(
        STORED_PODS,
        NAMESPACE,
        "other",
        lambda pod: pod["metadata"].setdefault("labels", {}).update({"containerssh.io/session": "true"}),
    )
    scene.store.update(STORED_PODS, NAMESPACE, "c", lambda pod: pod["metadata"]["labels"].clear())

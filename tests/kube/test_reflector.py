"""The reflector under everything that an API server and the way to it can do, over HTTP.

Each test breaks something, changes something meanwhile, and asks whether the mirror shows what is there in the end.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.listing import PAGE, Collection
from ssh_session_gc.kube.reflector import Reflector
from ssh_session_gc.kube.resources import PODS
from ssh_session_gc.kube.wire import Pod
from ssh_session_gc.sandbox import Fault, Faults, Identity
from ssh_session_gc.sandbox.api.objects import NAMESPACES
from ssh_session_gc.sandbox.api.objects import PODS as STORED_PODS
from ssh_session_gc.sandbox.api.server import ApiServer
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.kubeconfig import write_kubeconfig
from tests.harness import connected
from tests.support import advance, eventually

NAMESPACE = "ssh-sessions"
SELECTOR = "containerssh.io/session=true"


class Mirror:
    """A Sink that shows what the reflector believes."""

    def __init__(self) -> None:
        self.pods: dict[str, str] = {}
        """resourceVersion by name."""
        self.lists = self.arrivals = 0
        self.out_of_sync: str | None = "not yet"
        self.incomplete: str | None = None
        self.broken: list[str] = []
        self.causes: list[str] = []

    def listed(self, items: Sequence[Pod], broken: Sequence[str]) -> None:
        self.lists += 1
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
        self.out_of_sync = out_of_sync

    def arrived(self) -> None:
        self.arrivals += 1

    def restarted(self, cause: str, detail: str) -> None:
        self.causes.append(cause)


class Cluster:
    """A store with session Pods in it, served with faults, and a reflector that mirrors it."""

    def __init__(self, server: ApiServer, store: Store, faults: Faults) -> None:
        self.server, self.store, self.faults = server, store, faults
        self.mirror = Mirror()

    def add(self, name: str, *, session: bool = True, annotations: dict[str, str] | None = None) -> None:
        labels = {"containerssh.io/session": "true"} if session else {}
        metadata = {"name": name, "labels": labels, "annotations": annotations or {}}
        spec = {"containers": [{"name": "shell", "image": "shell"}], "schedulerName": "none"}
        self.store.create(STORED_PODS, NAMESPACE, {"metadata": metadata, "spec": spec})

    def touch(self, name: str, label: str = "touched") -> None:
        def change(pod: dict[str, Any]) -> None:
            pod["metadata"].setdefault("labels", {})[label] = str(self.store.rv)

        self.store.update(STORED_PODS, NAMESPACE, name, change)

    def remove(self, name: str) -> None:
        self.store.delete(STORED_PODS, NAMESPACE, name, grace=0)

    def truth(self) -> dict[str, str]:
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
        return sum(r.verb == verb and r.resource == "pods" for r in self.server.requests)


@asynccontextmanager
async def reflected(
    tmp_path: Path, *, before: Callable[[Cluster], None] = lambda _: None, token: str = "", silence: float = 90.0
) -> AsyncIterator[Cluster]:
    loop = asyncio.get_running_loop()
    start = loop.time()
    store, faults = Store(lambda: 1_795_402_800.0 + loop.time() - start), Faults()
    store.create(NAMESPACES, None, {"metadata": {"name": NAMESPACE}})
    server = ApiServer(store, faults=faults, tokens={token: Identity("gc")} if token else None)
    await server.start()
    cluster = Cluster(server, store, faults)
    before(cluster)
    try:
        async with connected(server.url, tmp_path, token=token) as api:
            task = asyncio.create_task(reflector(api, cluster.mirror, silence).run())
            try:
                yield cluster
            finally:
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
    finally:
        await server.stop()


def reflector(api: Api, mirror: Mirror, silence: float) -> Reflector[Pod]:
    return Reflector(api, Collection(PODS, NAMESPACE, Decoder(Pod), labels=SELECTOR), mirror, silence=silence)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """One that is mirrored, with three sessions and a Pod that is none."""

    def fill(new: Cluster) -> None:
        for name in ("a", "b", "c"):
            new.add(name)
        new.add("other", session=False)

    async with reflected(tmp_path, before=fill) as made:
        await made.mirrored()
        assert made.mirror.pods.keys() == {"a", "b", "c"}
        yield made


def everything_changes(cluster: Cluster) -> None:
    """Something appears, something changes, something goes, one joins the selection and one leaves it."""
    cluster.add("new")
    cluster.touch("a")
    cluster.remove("b")
    cluster.touch("other", "containerssh.io/session")
    cluster.store.update(
        STORED_PODS,
        NAMESPACE,
        "other",
        lambda pod: pod["metadata"].setdefault("labels", {}).update({"containerssh.io/session": "true"}),
    )
    cluster.store.update(STORED_PODS, NAMESPACE, "c", lambda pod: pod["metadata"]["labels"].clear())


async def test_changes_arrive_by_the_watch(cluster: Cluster) -> None:
    everything_changes(cluster)
    await cluster.mirrored()
    assert cluster.mirror.pods.keys() == {"a", "new", "other"}
    assert (cluster.mirror.lists, cluster.mirror.causes) == (1, [])


async def test_many_pages(tmp_path: Path) -> None:
    def fill(new: Cluster) -> None:
        for n in range(PAGE + 2):
            new.add(f"pod-{n}")

    async with reflected(tmp_path, before=fill) as cluster:
        await cluster.mirrored()
        assert len(cluster.mirror.pods) == PAGE + 2
        assert (cluster.mirror.lists, cluster.requests("list")) == (1, 2)


async def test_a_continue_token_that_expires_between_two_pages(tmp_path: Path) -> None:
    def fill(new: Cluster) -> None:
        for n in range(PAGE + 2):
            new.add(f"pod-{n}")
        # The first page is answered; the second finds its token expired.
        new.faults.add(Fault("slow", verb="list", times=1))
        new.faults.add(Fault("gone", verb="list", times=1))

    async with reflected(tmp_path, before=fill) as cluster:
        await cluster.mirrored()
        assert len(cluster.mirror.pods) == PAGE + 2
        # The third is the first page once more: all in one piece would take many times the memory.
        assert (cluster.mirror.lists, cluster.requests("list")) == (1, 4)


@pytest.mark.parametrize("harm", ["end_watches", "cut_watches"])
async def test_a_watch_that_ends_is_taken_up_where_it_ended(cluster: Cluster, harm: str) -> None:
    await advance(10)
    getattr(cluster.faults, harm)()
    everything_changes(cluster)
    await cluster.mirrored()
    assert cluster.mirror.lists == 1
    assert cluster.mirror.causes


async def test_a_watch_cut_in_the_middle_of_a_line(cluster: Cluster) -> None:
    await advance(10)
    assert cluster.faults.cut_watches(after_bytes=100)
    cluster.touch("a")
    await cluster.mirrored()
    everything_changes(cluster)
    await cluster.mirrored()
    assert (cluster.mirror.lists, cluster.mirror.causes) == (1, ["broken"])


async def test_a_watch_ended_by_the_server_s_timeout(cluster: Cluster) -> None:
    await advance(500)
    assert cluster.mirror.causes.count("closed") >= 1
    everything_changes(cluster)
    await cluster.mirrored()
    assert cluster.mirror.lists == 1


async def test_a_watch_that_goes_silent_with_the_connection_open(cluster: Cluster) -> None:
    await advance(10)
    assert cluster.faults.stall_watches()
    everything_changes(cluster)
    await advance(60)
    assert cluster.mirror.pods != cluster.truth()
    await advance(40)
    await cluster.mirrored()
    assert (cluster.mirror.lists, cluster.mirror.causes) == (1, ["broken"])


async def test_bookmarks_keep_an_idle_watch_alive_and_its_place_fresh(cluster: Cluster) -> None:
    arrivals = cluster.mirror.arrivals
    # Changes elsewhere move the version on; what is left of history then begins after our last event.
    cluster.touch("other")
    await advance(130)
    assert cluster.mirror.arrivals >= arrivals + 2
    cluster.store.compact()
    cluster.faults.cut_watches()
    everything_changes(cluster)
    await cluster.mirrored()
    assert cluster.mirror.lists == 1


async def test_410_as_an_event_in_a_running_watch(cluster: Cluster) -> None:
    cluster.faults.expire_watches()
    everything_changes(cluster)
    await cluster.mirrored()
    assert (cluster.mirror.lists, cluster.mirror.causes) == (2, ["expired"])


async def test_410_when_a_watch_is_taken_up_after_a_compaction(cluster: Cluster) -> None:
    await advance(10)
    cluster.faults.cut_watches()
    everything_changes(cluster)
    cluster.store.compact()
    await cluster.mirrored()
    # What was deleted while nobody watched is noticed by its absence.
    assert "b" not in cluster.mirror.pods
    assert cluster.mirror.lists == 2
    assert "expired" in cluster.mirror.causes


async def test_410_as_the_status_of_the_answer(cluster: Cluster) -> None:
    cluster.faults.add(Fault("status", verb="watch", code=410, times=1))
    cluster.faults.cut_watches()
    everything_changes(cluster)
    await cluster.mirrored()
    assert cluster.mirror.lists == 2


async def test_a_line_that_is_no_json(cluster: Cluster) -> None:
    assert cluster.faults.garble_watches()
    everything_changes(cluster)
    await cluster.mirrored()
    assert cluster.mirror.lists == 2
    assert "malformed" in cluster.mirror.causes


async def test_an_object_of_several_hundred_kilobytes_on_one_line(cluster: Cluster) -> None:
    cluster.add("huge", annotations={"note": "x" * 700_000})
    cluster.add("after")
    await cluster.mirrored()
    assert {"huge", "after"} <= cluster.mirror.pods.keys()
    assert (cluster.mirror.lists, cluster.mirror.causes) == (1, [])


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", code=429, retry_after=1, times=3),
        Fault("status", code=500, times=3),
        Fault("status", code=503, retry_after=2, times=3),
        Fault("status", code=504, times=2),
        Fault("status", code=401, times=2),
        Fault("status", code=403, times=2),
        Fault("reset", times=3),
        Fault("truncate", times=2),
        Fault("malformed", times=2),
        Fault("gone", times=2),
        Fault("cut", after_bytes=10, times=2),
        Fault("slow", seconds=5.0, times=2),
        Fault("stall", times=1),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.code}",
)
@pytest.mark.parametrize("when", ["from the start", "later"])
async def test_it_never_gives_up(tmp_path: Path, fault: Fault, when: str) -> None:
    again = Fault(
        fault.kind, times=fault.times, code=fault.code, retry_after=fault.retry_after, after_bytes=fault.after_bytes,
        seconds=fault.seconds,
    )  # fmt: skip

    def fill(new: Cluster) -> None:
        for name in ("a", "b", "c"):
            new.add(name)
        new.add("other", session=False)
        if when == "from the start":
            new.faults.add(again)

    async with reflected(tmp_path, before=fill) as cluster:
        if when == "later":
            await cluster.mirrored()
            cluster.faults.add(again)
            cluster.faults.cut_watches()
        everything_changes(cluster)
        await advance(40)
        await cluster.mirrored()


async def test_it_waits_as_long_as_the_server_asks(tmp_path: Path) -> None:
    def refuse(new: Cluster) -> None:
        new.faults.add(Fault("status", code=429, retry_after=20, times=1))

    async with reflected(tmp_path, before=refuse) as cluster:
        await eventually(lambda: cluster.mirror.causes == ["throttled"])
        await advance(19)
        assert cluster.mirror.lists == 0
        await advance(2)
        await cluster.mirrored()


async def test_it_backs_off_while_nothing_helps(cluster: Cluster) -> None:
    cluster.faults.add(Fault("status", code=500))
    cluster.faults.cut_watches()
    asked = len(cluster.server.requests)
    await advance(600)
    # Every half a minute once it has backed off all the way, not hundreds of times.
    streams = [request for request in list(cluster.server.requests)[asked:] if request.resource == "pods"]
    assert 15 <= len(streams) <= 40
    assert "500" in (cluster.mirror.out_of_sync or "")
    cluster.faults.clear()
    everything_changes(cluster)
    await advance(35)
    await cluster.mirrored()


async def test_a_server_that_ends_every_watch_at_once_is_not_hammered(cluster: Cluster) -> None:
    cluster.faults.add(Fault("end", verb="watch"))
    cluster.faults.end_watches()
    asked = cluster.requests("watch")
    await advance(60)
    assert cluster.requests("watch") - asked <= 130
    everything_changes(cluster)
    cluster.faults.clear()
    await cluster.mirrored()


async def test_a_token_that_is_rotated_on_disk(tmp_path: Path) -> None:
    async with reflected(tmp_path, token="old") as cluster:
        cluster.add("a")
        await cluster.mirrored()
        cluster.server.tokens = {"new": Identity("gc")}
        write_kubeconfig(tmp_path / "kubeconfig", cluster.server.url, token="new")
        cluster.faults.cut_watches()
        cluster.add("b")
        await cluster.mirrored()
        # Whichever request was refused first had the token read again.
        assert 401 in {request.code for request in cluster.server.requests}


async def test_a_server_that_is_restarted_elsewhere_in_time(cluster: Cluster) -> None:
    await cluster.server.stop()
    everything_changes(cluster)
    await advance(120)
    assert "unreachable" in (cluster.mirror.out_of_sync or "")
    port = int(cluster.server.url.rpartition(":")[2])
    await cluster.server.start(port=port)
    await advance(31)
    await cluster.mirrored()

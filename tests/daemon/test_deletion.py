"""One deletion, piece by piece: what is asked for, and what each answer means."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ssh_session_gc.core.clock import CONFIRMED_AFTER
from ssh_session_gc.core.model import Session, Verdict
from ssh_session_gc.daemon.deletion import Deleter, Held, Result
from ssh_session_gc.daemon.election import Elector
from ssh_session_gc.kube import resources
from ssh_session_gc.kube.client import Api
from ssh_session_gc.sandbox import Fault
from ssh_session_gc.sandbox.api.objects import NAMESPACES, PODS
from ssh_session_gc.sandbox.api.server import ApiServer
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.settings import DryRun, LeaseRef, Settings
from ssh_session_gc.telemetry.metrics import Outcome
from tests.builders import session, verdict
from tests.harness import connected
from tests.support import advance, eventually

SESSIONS = "sessions"
DUE = verdict()
LEASE = LeaseRef("containerssh", "ssh-session-gc")


class DeletionScene:
    """A session Pod on a node that does nothing, and who may delete it."""

    def __init__(self, store: Store, server: ApiServer, deleter: Deleter, elector: Elector) -> None:
        self.store, self.server, self.deleter, self.elector = store, server, deleter, elector

    @property
    def pod(self) -> dict[str, Any]:
        """The metadata of its Pod now; empty where that is gone."""
        pods = self.store.list(PODS, SESSIONS)
        return next((pod["metadata"] for pod in pods), {})

    @property
    def session(self) -> Session:
        """The session, in the version that its Pod has now."""
        return session(uid=self.pod["uid"], name="alice", resource_version=self.pod["resourceVersion"])

    def under_way(self, task: asyncio.Task[Result]) -> bool:
        """Whether this task, and no other, waits for an answer."""
        return [id(each) for each in self.deleter.in_flight] == [id(task)]

    def asked(self) -> int:
        """How many deletions the API server was asked for."""
        return sum(request.verb == "delete" for request in self.server.requests)

    async def delete(self, session: Session | None = None, judged: Verdict = DUE) -> Result:
        """What comes of deleting it; the time that retries take passes by itself."""
        task = asyncio.create_task(self.deleter.delete(session or self.session, judged))
        for _ in range(20):
            if not task.done():
                await advance(5)
        await eventually(task.done)
        assert self.deleter.in_flight == set()
        return task.result()


@asynccontextmanager
async def scene(lease: LeaseRef | None = None, **settings: Any) -> AsyncIterator[DeletionScene]:
    store = Store(asyncio.get_running_loop().time)
    for namespace in (SESSIONS, LEASE.namespace):
        store.create(NAMESPACES, None, {"metadata": {"name": namespace}})
    spec = {"containers": [{"name": "shell", "image": "x"}], "nodeName": "node1"}
    store.create(PODS, SESSIONS, {"metadata": {"name": "alice"}, "spec": spec})
    server = ApiServer(store)
    await server.start(port=0)
    try:
        async with connected(server.url) as api:
            await api.version()  # tells the time, which goes into a lease
            await advance(CONFIRMED_AFTER + 2)
            await eventually(lambda: api.time.sure)
            elector = Elector(api, lease)
            yield DeletionScene(
                store, server, Deleter(api, Settings(session_namespace=SESSIONS, **settings), elector), elector
            )
    finally:
        await server.stop()


@asynccontextmanager
async def leading(elector: Elector) -> AsyncIterator[None]:
    """Has it take part in the election. It leads inside."""
    running = asyncio.create_task(elector.run())
    await eventually(elector.leads)
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_session_gets_its_grace_and_a_forced_one_none() -> None:
    async with scene(deletion_grace=17) as s:
        assert await s.delete() == Result(Outcome.DELETED)
        assert s.pod["deletionGracePeriodSeconds"] == 17
        assert await s.delete(judged=verdict(force=True)) == Result(Outcome.DELETED)
        assert s.pod == {}


@pytest.mark.parametrize(("dry_run", "more"), [(DryRun.NONE, {}), (DryRun.SERVER, {"dryRun": ["All"]})])
async def test_the_request_names_what_was_judged(
    monkeypatch: pytest.MonkeyPatch, dry_run: DryRun, more: dict[str, Any]
) -> None:
    async with scene(dry_run=dry_run, deletion_grace=17) as s:
        sent: list[tuple[Any, ...]] = []
        request = Api.request

        async def kept(api: Api, *where: Any, body: Any) -> bytes:
            sent.append((*where, body))
            return await request(api, *where, body=body)

        monkeypatch.setattr(Api, "request", kept)
        session = s.session
        await s.delete()
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 17,
            "preconditions": {"uid": session.uid, "resourceVersion": session.resource_version},
            **more,
        }
        assert sent == [("delete", resources.PODS, SESSIONS, "alice", body)]


@pytest.mark.parametrize("changed", [{"uid": "another"}, {"resource_version": "1"}])
async def test_what_is_not_what_was_judged_is_not_deleted(changed: dict[str, str]) -> None:
    async with scene() as s:
        judged = {"uid": s.pod["uid"], "resource_version": s.pod["resourceVersion"]} | changed
        result = await s.delete(session(name="alice", **judged))
        assert result.outcome is Outcome.CHANGED
        assert result.detail.startswith("409 Conflict: ")
        assert "deletionTimestamp" not in s.pod
        assert s.asked() == 1


async def test_what_is_gone_is_gone() -> None:
    async with scene() as s:
        session = s.session
        s.store.delete(PODS, SESSIONS, "alice", grace=0)
        result = await s.delete(session)
        assert (result.outcome, result.retry_after) == (Outcome.GONE, 0.0)
        assert "not found" in result.detail


async def test_a_dry_run_asks_nobody_or_only_asks() -> None:
    async with scene(dry_run=DryRun.CLIENT) as s:
        assert await s.delete() == Result(Outcome.DRY_RUN)
        assert s.asked() == 0
        assert "deletionTimestamp" not in s.pod
    async with scene(dry_run=DryRun.SERVER) as s:
        assert await s.delete() == Result(Outcome.DRY_RUN)
        assert s.asked() == 1
        assert "deletionTimestamp" not in s.pod


@pytest.mark.parametrize(
    ("code", "outcome", "asked"),
    [
        (403, Outcome.FORBIDDEN, 1),
        (404, Outcome.ERROR, 1),  # a proxy's: the API server's own names its reason
        (409, Outcome.CHANGED, 1),
        (422, Outcome.ERROR, 1),
        (429, Outcome.ERROR, 4),
        (500, Outcome.ERROR, 4),
    ],
)
async def test_what_a_refusal_means(code: int, outcome: Outcome, asked: int) -> None:
    async with scene() as s:
        s.server.faults.add(Fault("status", verb="delete", code=code, retry_after=7))
        result = await s.delete()
        assert (result.outcome, result.retry_after) == (outcome, 7.0)
        assert result.detail.startswith(f"{code} ")
        assert s.asked() == asked


async def test_no_answer_is_tried_again_and_then_told() -> None:
    async with scene() as s:
        fault = s.server.faults.add(Fault("reset", verb="delete"))
        result = await s.delete()
        assert (result.outcome, result.retry_after) == (Outcome.ERROR, 0.0)
        assert result.detail
        s.server.faults.lift(fault)
        s.server.faults.add(Fault("status", verb="delete", code=503, times=3))
        assert await s.delete() == Result(Outcome.DELETED)


@pytest.mark.parametrize("dry_run", list(DryRun))
async def test_who_does_not_lead_deletes_nothing(dry_run: DryRun) -> None:
    async with scene(LEASE, dry_run=dry_run) as s:
        with pytest.raises(Held):
            await s.delete()
        assert s.asked() == 0
        assert s.deleter.in_flight == set()


async def test_a_request_ends_with_the_time_of_its_leader() -> None:
    async with scene(LEASE) as s:
        async with leading(s.elector):
            pass  # it does not renew its lease any more
        loop = asyncio.get_running_loop()
        s.server.faults.add(Fault("stall", verb="delete", times=1))
        task = asyncio.create_task(s.deleter.delete(s.session, DUE))
        await eventually(lambda: s.deleter.in_flight)
        assert s.under_way(task)
        await advance(s.elector.until - loop.time() - 0.5)
        assert s.under_way(task)
        await advance(1)
        await eventually(lambda: s.deleter.in_flight == set())
        # It is tried again as if the API server could not be reached: by then it is somebody else's turn.
        await advance(10)
        await eventually(task.done)
        with pytest.raises(Held):
            task.result()


async def test_a_leader_for_ever_waits_for_its_answer() -> None:
    async with scene() as s:
        s.server.faults.add(Fault("slow", verb="delete", seconds=8.0))
        assert await s.delete() == Result(Outcome.DELETED)
        assert s.asked() == 1


async def test_a_leader_that_leads_on_says_what_was_not_answered() -> None:
    async with scene(LEASE) as s, leading(s.elector):
        s.server.faults.add(Fault("stall", verb="delete"))
        assert await s.delete() == Result(Outcome.ERROR, "it was not answered while we were the leader")
        assert s.asked() == 4

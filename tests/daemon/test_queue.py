"""The queue: what is due is taken once, waits where it must, and leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ssh_session_gc.cluster.cluster import Cluster
from ssh_session_gc.core.model import Action, Reason, Session
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.daemon.queue import Queue
from ssh_session_gc.sandbox import World
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics
from tests.harness import connected
from tests.support import advance

POLICY = Policy(max_age=100.0, force_after=30.0, ownerless=False)


@dataclass
class Waiting:
    """A queue, and the sessions that it goes by."""

    queue: Queue
    cluster: Cluster
    now: float

    def add(self, uid: str, age: float, deletion: float | None = None) -> Session:
        """A session of this age, judged."""
        session = Session(uid, uid, "1", self.now - age, "Running", started=self.now - age, deletion=deletion)
        self.cluster.sessions.changed(session)
        self.queue.judge(session)
        return session

    def taken(self) -> list[str]:
        """Takes what is due."""
        return list(self.queue.take())


@asynccontextmanager
async def waiting(tmp_path: Path) -> AsyncIterator[Waiting]:
    """An empty queue."""
    async with World() as world:
        metrics = Metrics(dry_run=True)
        async with connected(world.url, tmp_path, observer=metrics) as api:
            await api.version()
            cluster = Cluster(Settings(owner=None, policy=POLICY), api, metrics)
            yield Waiting(Queue(cluster, api.time, POLICY), cluster, api.time.now())


async def test_what_is_due_is_taken_once_the_earliest_first(tmp_path: Path) -> None:
    async with waiting(tmp_path) as w:
        for uid, age in (("b", 150), ("young", 10), ("a", 200)):
            w.add(uid, age)
        assert w.taken() == ["a", "b"]
        assert w.queue.processing == {"a", "b"}
        # Whatever is said of it meanwhile, it is in somebody's hands.
        w.queue.judge_all()
        assert w.taken() == []
        w.queue.release(["a"])
        assert w.taken() == ["a"]
        await advance(91)
        assert w.taken() == ["young"]
        assert w.queue.verdicts["young"].reason is Reason.OVER_AGE


async def test_what_failed_backs_off(tmp_path: Path) -> None:
    async with waiting(tmp_path) as w:
        w.add("a", 200)
        assert w.taken() == ["a"]
        w.queue.release(["a"], wait=15.0)
        assert w.taken() == []
        w.queue.judge_all()
        await advance(14)
        assert w.taken() == []
        await advance(5)  # a fifth more at the most
        assert w.taken() == ["a"]
        # Without a wait it does not back off any more.
        w.queue.release(["a"])
        assert (w.taken(), w.queue.backoff) == (["a"], {})


async def test_what_is_settled_is_taken_again_for_another_verdict_only(tmp_path: Path) -> None:
    async with waiting(tmp_path) as w:
        session = w.add("a", 200)
        assert w.taken() == ["a"]
        w.queue.settle("a", w.queue.verdicts["a"])
        w.queue.release(["a"])
        w.queue.judge_all()
        assert w.taken() == []
        # Its deletion led to nothing: it is deleted again, by force.
        w.cluster.sessions.changed(msgspec.structs.replace(session, resource_version="2", deletion=w.now - 60))
        w.queue.judge_all()
        assert (w.queue.verdicts["a"].action, w.queue.verdicts["a"].force) == (Action.COLLECT, True)
        assert w.taken() == ["a"]


async def test_nothing_is_kept_of_what_is_gone(tmp_path: Path) -> None:
    async with waiting(tmp_path) as w:
        for uid in ("a", "b"):
            w.add(uid, 200)
        assert set(w.taken()) == {"a", "b"}
        queue, verdict = w.queue, w.queue.verdicts["b"]
        queue.settle("a", queue.verdicts["a"])
        queue.release(["a"], wait=15.0)
        for uid in ("a", "b"):
            w.cluster.sessions.drop(uid)
            queue.forget(uid)
        # It went while it was being processed: the answer to its deletion comes later.
        queue.settle("b", verdict)
        queue.release(["b"], wait=15.0)
        assert (queue.verdicts, queue.backoff, queue.settled, queue.processing) == ({}, {}, {}, set())
        await advance(60)
        assert w.taken() == []


async def test_it_sleeps_until_the_next_is_due_or_somebody_wakes_it(tmp_path: Path) -> None:
    async with waiting(tmp_path) as w:
        w.queue.begin_turn()
        w.add("a", 90)
        w.queue.begin_turn()
        sleeping = asyncio.create_task(w.queue.sleep(held=False))
        await advance(8)
        assert not sleeping.done()
        await advance(5)
        await sleeping
        assert w.taken() == ["a"]
        # While all are held, only a call wakes it.
        w.queue.release(["a"])
        w.queue.begin_turn()
        held = asyncio.create_task(w.queue.sleep(held=True))
        await advance(30)
        assert not held.done()
        w.queue.wake()
        await held

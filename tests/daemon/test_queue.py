"""The queue: who is taken when, and what keeps a session from being taken."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ssh_session_gc.cluster.cluster import Cluster
from ssh_session_gc.core.model import Action, Reason, Session
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.daemon.queue import Queue
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics
from tests.builders import T, session, verdict
from tests.harness import connected, tell_time
from tests.support import advance, eventually

POLICY = Policy(ownerless=False)
SETTINGS = Settings(policy=POLICY, owner=None)
HOUR = POLICY.max_age


class QueueScene:
    """A queue over a cluster that nobody follows. It is three o'clock."""

    def __init__(self, cluster: Cluster, queue: Queue) -> None:
        self.cluster, self.queue = cluster, queue

    def there(self, *sessions: Session) -> None:
        """Has the cluster hold exactly these sessions, and judges them all."""
        self.cluster.sessions.listed(sessions, ())
        self.queue.judge_all()

    def taken(self) -> list[str]:
        """Who is taken now."""
        return list(self.queue.take())


@pytest.fixture
async def s() -> AsyncIterator[QueueScene]:
    """A queue with nobody in it, at three o'clock."""
    async with connected("http://127.0.0.1:1") as api:
        tell_time(api.time)
        cluster = Cluster(SETTINGS, api, Metrics(dry_run=False))
        yield QueueScene(cluster, Queue(cluster, api.time, POLICY))


def old(uid: str, *, late: float = 100.0, **fields: Any) -> Session:
    """A session that has been over age for so many seconds."""
    return session(T - HOUR - late, uid=uid, **fields)


async def test_who_is_due_is_taken_once_the_earliest_first(s: QueueScene) -> None:
    s.there(old("b", late=200), old("a", late=300), session(uid="young"), old("c"))
    assert len(s.queue) == 4
    assert s.taken() == ["a", "b", "c"]
    assert s.queue.processing == {"a", "b", "c"}
    assert (s.taken(), len(s.queue)) == ([], 1)
    await advance(HOUR + 10)
    assert s.taken() == ["young"]


async def test_who_is_never_due_has_no_timer(s: QueueScene) -> None:
    s.there(old("a", keep=True))
    assert (len(s.queue), s.taken()) == (0, [])
    assert s.queue.verdicts["a"].action is Action.KEEP


async def test_who_is_being_processed_is_judged_and_not_taken(s: QueueScene) -> None:
    s.there(old("a"))
    assert s.taken() == ["a"]
    s.cluster.sessions.changed(old("a", ttl=HOUR - 400))
    s.queue.judge(s.cluster.sessions.by_uid["a"])
    assert s.queue.verdicts["a"].due == T - 500
    s.queue.judge_all()
    assert s.taken() == []
    s.queue.release(["a"])
    assert s.queue.processing == set()
    assert s.taken() == ["a"]


async def test_who_backs_off_is_not_taken_before_its_wait_is_over(s: QueueScene) -> None:
    s.there(old("a"), old("b"))
    assert set(s.taken()) == {"a", "b"}
    s.queue.release(["a"], 1000.0)
    s.queue.release(["b"])
    assert s.queue.backoff.keys() == {"a"}
    assert s.taken() == ["b"]
    await advance(900)
    s.queue.judge_all()
    assert s.taken() == []
    # A fifth of it is added at the most, so that not all come back at once.
    await advance(301)
    assert s.taken() == ["a"]
    s.queue.release(["a"])
    assert s.queue.backoff == {}


async def test_a_wait_does_not_take_it_before_it_is_due(s: QueueScene) -> None:
    s.there(session(uid="a"))
    s.queue.release(["a"], 1000.0)
    await advance(1300)
    assert s.taken() == []
    await advance(HOUR - 1290)
    assert s.taken() == ["a"]


async def test_what_is_settled_is_not_taken_again_for_the_same_verdict(s: QueueScene) -> None:
    s.there(old("a"))
    assert s.taken() == ["a"]
    s.queue.settle("a", s.queue.verdicts["a"])
    s.queue.release(["a"])
    s.queue.judge_all()
    assert (s.taken(), len(s.queue)) == ([], 0)
    # It finished long before it was too old: that is another reason.
    s.there(old("a", phase="Failed", finished=T - 1000))
    assert s.queue.verdicts["a"].reason is Reason.FINISHED
    assert s.taken() == ["a"]


async def test_an_accepted_deletion_stands_for_the_version_that_was_deleted(s: QueueScene) -> None:
    s.there(old("a", resource_version="7"))
    assert s.taken() == ["a"]
    s.queue.settle("a", s.queue.verdicts["a"], "7", 60.0)
    s.queue.release(["a"])
    assert s.taken() == []
    # Its own mark comes next.
    s.there(old("a", resource_version="8", deletion=T))
    assert (s.taken(), len(s.queue)) == ([], 0)
    # Whoever has no mark in another version was never deleted, as far as this cluster knows.
    s.there(old("a", resource_version="6"))
    assert s.taken() == ["a"]


async def test_an_accepted_deletion_of_which_nothing_shows_stands_for_a_while(s: QueueScene) -> None:
    s.there(old("a", resource_version="7"))
    assert s.taken() == ["a"]
    s.queue.settle("a", s.queue.verdicts["a"], "7", 60.0)
    s.queue.release(["a"])
    await advance(50)
    s.queue.judge_all()
    assert (s.taken(), len(s.queue)) == ([], 1)
    await advance(11)
    assert s.taken() == ["a"]


async def test_what_was_announced_is_announced_for_every_version(s: QueueScene) -> None:
    s.there(old("a", resource_version="7"))
    assert s.taken() == ["a"]
    s.queue.settle("a", s.queue.verdicts["a"])
    s.queue.release(["a"])
    s.there(old("a", resource_version="8"))
    await advance(10 * HOUR)
    s.queue.judge_all()
    assert (s.taken(), len(s.queue)) == ([], 0)


async def test_turns_that_came_to_nothing_are_counted_until_one_does_not(s: QueueScene) -> None:
    s.there(old("a"))
    assert s.taken() == ["a"]
    assert [s.queue.refused("a"), s.queue.refused("a")] == [1, 2]
    s.queue.release(["a"], 10.0)
    assert s.queue.refused("a") == 3
    s.queue.release(["a"])
    assert s.queue.refusals == {}
    # One that is gone already is not remembered.
    assert (s.queue.refused("b"), s.queue.refusals) == (1, {})


async def test_nothing_is_kept_of_who_is_gone(s: QueueScene) -> None:
    s.there(old("a"), old("b"))
    assert set(s.taken()) == {"a", "b"}
    s.queue.settle("a", s.queue.verdicts["a"])
    s.queue.refused("a")
    s.queue.release(["a"], 1000.0)
    s.cluster.sessions.drop("a")
    s.cluster.sessions.drop("b")
    for uid in ("a", "b"):
        s.queue.forget(uid)
    assert (s.queue.verdicts, s.queue.backoff, s.queue.settled, s.queue.refusals) == ({}, {}, {}, {})
    assert len(s.queue) == 0
    # Somebody is still at work on the other one.
    assert s.queue.processing == {"b"}
    s.queue.release(["b"], 1000.0)
    assert (s.queue.processing, s.queue.backoff, s.queue.verdicts) == (set(), {}, {})
    s.queue.settle("b", verdict())
    assert s.queue.settled == {}


async def test_it_sleeps_until_the_next_is_due(s: QueueScene) -> None:
    s.there(session(uid="a"))
    s.queue.begin_turn()
    sleeping = asyncio.create_task(s.queue.sleep(held=False))
    await advance(HOUR - 600)
    assert not sleeping.done()
    await advance(700)
    await eventually(sleeping.done)


async def test_while_all_are_held_no_due_ends_its_sleep_but_waking_does(s: QueueScene) -> None:
    s.there(old("a"))
    s.queue.begin_turn()
    sleeping = asyncio.create_task(s.queue.sleep(held=True))
    await advance(HOUR)
    assert not sleeping.done()
    s.queue.wake()
    await eventually(sleeping.done)


async def test_whoever_becomes_the_next_wakes_it(s: QueueScene) -> None:
    s.there(session(uid="young"), session(uid="a"))
    s.queue.begin_turn()
    sleeping = asyncio.create_task(s.queue.sleep(held=False))
    await advance(10)
    assert not sleeping.done()
    s.cluster.sessions.changed(session(uid="a", ttl=1.0))
    s.queue.judge(s.cluster.sessions.by_uid["a"])
    await eventually(sleeping.done)

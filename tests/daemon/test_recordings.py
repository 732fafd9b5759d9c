"""What a real cluster did, served again to the real daemon: who is judged what, since when, and why.

The daemon deletes for real (from the simulated API server); the time is the recording's.
"""

from datetime import datetime
from pathlib import Path

import pytest

from ssh_session_gc.core.model import Action, OwnerState, Reason
from ssh_session_gc.sandbox import Replay
from tests.harness import Running, running
from tests.support import advance, eventually

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings"

pytestmark = pytest.mark.parametrize("stamped", [True, False], ids=["stamped", "unstamped"])


def clock(text: str) -> float:
    """The instant of a time of day in the recordings."""
    return datetime.fromisoformat(f"2026-11-23T{text}Z").timestamp()


def load(name: str, stamped: bool) -> Replay:
    """A recording, with the owner stamp or without."""
    return Replay(RECORDINGS / f"{name}.jsonl", strip_stamp=not stamped)


async def until(replay: Replay, gc: Running, at: str) -> None:
    """Lets the recording's time pass up to this time of day, and the daemon see all of it."""
    await advance(clock(at) - replay.store.now())
    await gc.caught_up(max(int(p["metadata"]["resourceVersion"]) for p in replay.sessions()))


def ownerless(gc: Running, user: str, since: str) -> bool:
    """Whether this user's session counts as without an owner since then, and when it will be collected."""
    verdict = gc.verdict(user)
    owned = verdict.ownership
    return (
        owned is not None
        and owned.since == clock(since)
        and owned.exact
        and verdict.reason is Reason.OWNERLESS
        and verdict.due == clock(since) + 60
    )


async def deleted(replay: Replay, gc: Running, **reasons: str) -> None:
    """Exactly these users' sessions have been deleted, for these reasons."""
    await eventually(lambda: len(gc.collected()) >= len(reasons), f"{reasons}, so far {gc.collected()}")
    assert gc.collected() == reasons
    assert len(replay.deleted) == len(reasons)


async def test_crash(stamped: bool, tmp_path: Path) -> None:
    async with load("crash", stamped) as replay, running(replay.server.url, tmp_path) as gc:
        await gc.synced()
        await until(replay, gc, "03:09:26")
        assert {gc.verdict(user).reason for user in ("alice", "bob", "carol")} == {Reason.OVER_AGE}
        await until(replay, gc, "03:09:35")
        assert all(ownerless(gc, user, "03:09:27") for user in ("alice", "bob", "carol"))
        assert gc.evidence("bob") == (
            "no owner since 03:09:27Z: container containerssh of containerssh-64549bbb-ck6l8 restarted at 03:09:27Z, "
            "this session is from 03:09:21Z"
        )
        await until(replay, gc, "03:10:26")
        assert replay.deleted == {}
        await until(replay, gc, "03:10:29")
        await deleted(replay, gc, alice="Ownerless", bob="Ownerless", carol="Ownerless")
        assert all(at >= clock("03:10:27") for at in replay.deleted.values())
        await until(replay, gc, "04:09:31")
        assert gc.verdict("dave").reason is Reason.OVER_AGE
        await deleted(replay, gc, alice="Ownerless", bob="Ownerless", carol="Ownerless")


async def test_rollout(stamped: bool, tmp_path: Path) -> None:
    async with load("rollout", stamped) as replay, running(replay.server.url, tmp_path) as gc:
        await gc.synced()
        await until(replay, gc, "03:10:26.5")
        assert {gc.verdict(user).reason for user in ("alice", "bob")} == {Reason.OVER_AGE}
        await until(replay, gc, "03:10:36")
        assert ownerless(gc, "alice", "03:10:27")
        assert ownerless(gc, "bob", "03:10:27")
        # Her replica is Terminating, and drains.
        assert gc.verdict("carol").reason is Reason.OVER_AGE
        assert "5c8lp may own it, running since 03:10:27Z" in gc.evidence("carol")
        await until(replay, gc, "03:11:26")
        assert replay.deleted == {}
        await until(replay, gc, "03:11:29")
        await deleted(replay, gc, alice="Ownerless", bob="Ownerless")
        await until(replay, gc, "04:10:39")
        assert gc.verdict("dave").reason is Reason.OVER_AGE
        await deleted(replay, gc, alice="Ownerless", bob="Ownerless")


async def test_scale_to_zero(stamped: bool, tmp_path: Path) -> None:
    async with load("scale-to-zero", stamped) as replay, running(replay.server.url, tmp_path) as gc:
        await gc.synced()
        await until(replay, gc, "03:11:18")
        assert gc.verdict("alice").reason is Reason.OVER_AGE
        await until(replay, gc, "03:11:30")
        assert ownerless(gc, "alice", "03:11:19")
        assert ownerless(gc, "bob", "03:11:19")
        await until(replay, gc, "03:12:18")
        assert replay.deleted == {}
        await until(replay, gc, "03:12:21")
        await deleted(replay, gc, alice="Ownerless", bob="Ownerless")


async def test_deployment_deleted(stamped: bool, tmp_path: Path) -> None:
    async with load("deployment-deleted", stamped) as replay, running(replay.server.url, tmp_path) as gc:
        await gc.synced()
        await until(replay, gc, "03:11:45")
        assert gc.logged("owner_not_found")
        # Its Pods are still found, by the selector that it had, and one of them drains.
        assert gc.daemon.cluster.owners.unknown is None
        assert gc.verdict("alice").reason is Reason.OVER_AGE
        # What comes back under the same name owns nothing older.
        await until(replay, gc, "03:11:58")
        assert ownerless(gc, "alice", "03:11:50")
        await until(replay, gc, "03:12:49")
        assert replay.deleted == {}
        await until(replay, gc, "03:12:52")
        await deleted(replay, gc, alice="Ownerless")


async def test_node_lost(stamped: bool, tmp_path: Path) -> None:
    async with load("node-lost", stamped) as replay, running(replay.server.url, tmp_path) as gc:
        await gc.synced()
        await until(replay, gc, "03:13:43")
        assert {o.state for o in gc.daemon.cluster.owners.owners} == {OwnerState.UNREACHABLE, OwnerState.STARTING}
        assert gc.verdict("alice").reason is Reason.OVER_AGE
        assert "its node does not report" in gc.evidence("alice")
        assert gc.value("owners", state="Unreachable") == 1
        await until(replay, gc, "03:14:46")
        assert ownerless(gc, "alice", "03:13:47")
        assert replay.deleted == {}
        await until(replay, gc, "03:14:49")
        await deleted(replay, gc, alice="Ownerless")


async def test_session_lifecycle(stamped: bool, tmp_path: Path) -> None:
    async with load("session-lifecycle", stamped) as replay, running(replay.server.url, tmp_path) as gc:
        await gc.synced()
        await until(replay, gc, "03:10:12")
        assert gc.verdict("finalizer").action is Action.KEEP
        assert "its deletion was accepted" in gc.evidence("finalizer")
        await until(replay, gc, "03:10:18")
        for user, end in (("exit0", "03:09:44"), ("exit3", "03:09:44"), ("oom", "03:09:46")):
            assert (gc.verdict(user).reason, gc.verdict(user).due) == (Reason.FINISHED, clock(end) + 60)
        assert gc.verdict("badimage").reason is Reason.START_TIMEOUT
        assert "ImagePullBackOff" in gc.evidence("badimage")
        await until(replay, gc, "03:11:40")
        await deleted(replay, gc, exit0="Finished", exit3="Finished", oom="Finished")
        await until(replay, gc, "03:11:43")
        await deleted(replay, gc, exit0="Finished", exit3="Finished", oom="Finished", badimage="StartTimeout")

"""What ContainerSSH counts, asked for by the daemon: nobody is collected by it who may be there."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from ssh_session_gc.cluster.owner_gauge import PAUSE
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.sandbox import Fault, World
from ssh_session_gc.sandbox.containerssh.metrics import Counts, Page, Says
from tests.daemon.scene import Scene, quarantine, scene
from tests.support import advance

POLICY = Policy(max_age=0.0)
GRACE = POLICY.abandoned_grace
NOBODY_THERE = Page(Counts(total=7).text())


def counting(tmp_path: Path, *, level: Any = "notice", **more: Any) -> AbstractAsyncContextManager[Scene]:
    """A cluster whose ContainerSSH logs nothing of ends but counts connections, and the daemon that asks it."""
    return scene(tmp_path, world=World(log_level=level, metrics_port=0), **({"policy": POLICY} | more))


async def test_nobody_is_connected_any_more(tmp_path: Path) -> None:
    async with counting(tmp_path) as s:
        [alice] = await s.open("alice")
        await advance(300)
        s.world.leave(alice)
        await advance(GRACE)
        assert s.gc.collected() == {}
        await advance(2 * PAUSE + 3)
        await s.collected(alice="Abandoned")
        [line] = s.gc.logged("session_collected")
        assert line["evidence"].startswith("nobody has been connected to containerssh-")


async def test_somebody_else_is_connected(tmp_path: Path) -> None:
    async with counting(tmp_path) as s:
        alice, _ = await s.open("alice", "bob")
        s.world.leave(alice)
        await advance(3600)
        assert s.gc.collected() == {}


async def test_a_connection_in_between_begins_the_grace_anew(tmp_path: Path) -> None:
    async with counting(tmp_path) as s:
        [alice] = await s.open("alice")
        s.world.leave(alice)
        for _ in range(10):
            await advance(GRACE / 2)
            [bob] = await s.open("bob")
            s.world.close(bob)
        assert s.gc.collected() == {}
        await advance(GRACE + 3 * PAUSE)
        await s.collected(alice="Abandoned")


async def test_whoever_is_one_of_two_replicas_may_have_it(tmp_path: Path) -> None:
    async with counting(tmp_path, replicas=2) as s:
        [alice] = await s.open("alice", replica=0)
        [bob] = await s.open("bob", replica=1)
        s.world.leave(alice)
        await advance(3600)
        assert s.gc.collected() == {}
        s.world.leave(bob)
        await advance(GRACE + 3 * PAUSE)
        await s.collected(alice="Abandoned", bob="Abandoned")


@pytest.mark.parametrize(
    "says", ["hang", "reset", Page("hello\n", kind="text/plain"), Page(status=302, location="http://x/"), Page()]
)
async def test_what_is_no_count_ends_nobody_and_is_said_once(says: Says, tmp_path: Path) -> None:
    async with counting(tmp_path) as s:
        [alice] = await s.open("alice")
        s.world.gauge_says(alice.creator, says)
        s.world.leave(alice)
        await advance(1200)
        assert s.gc.collected() == {}
        [line] = [each for each in s.gc.logged("stream_interrupted") if each["stream"] == "owner-metrics"]
        assert line["error"].startswith(f"the metrics of {alice.creator.pod} on port {s.world.metrics_port}")
        assert s.gc.value("synced", stream="owner-metrics") == 0
        s.world.gauge_says(alice.creator, None)
        await advance(GRACE + 3 * PAUSE)
        assert s.gc.value("synced", stream="owner-metrics") == 1
        await s.collected(alice="Abandoned")


async def test_a_pause_in_the_answers_voids_nothing_where_nobody_has_come_meanwhile(tmp_path: Path) -> None:
    async with counting(tmp_path) as s:
        [alice] = await s.open("alice")
        s.world.leave(alice)
        await advance(2 * PAUSE)
        s.world.gauge_says(alice.creator, "reset")
        await advance(GRACE)
        assert s.gc.collected() == {}
        s.world.gauge_says(alice.creator, None)
        await advance(PAUSE + 1)
        await s.collected(alice="Abandoned")


async def test_the_log_is_believed_before_the_gauge(tmp_path: Path) -> None:
    async with counting(tmp_path, level="debug") as s:
        [alice] = await s.open("alice")
        s.world.gauge_says(alice.creator, NOBODY_THERE)
        await advance(3600)
        assert s.gc.collected() == {}


async def test_nobody_is_asked_where_the_log_tells_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = questions(monkeypatch)
    async with counting(tmp_path, level="debug") as s:
        await advance(300)
        await s.open("alice")
        asked.clear()
        await advance(1200)
        assert asked == []
        assert s.gc.value("synced", stream="owner-metrics") == 1


async def test_nobody_is_asked_more_often_than_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = questions(monkeypatch)
    async with counting(tmp_path) as s:
        await s.open("alice", "bob", "carol")
        await advance(10 * PAUSE)
        assert 9 <= len(asked) <= 11


async def test_an_owner_that_lost_its_label_is_looked_up(tmp_path: Path) -> None:
    async with counting(tmp_path, replicas=2) as s:
        [alice] = await s.open("alice", replica=0)
        quarantine(s)
        await advance(3600)
        assert s.gc.collected() == {}
        assert alice.live
        assert [line["event"] for line in s.gc.logged("session_kept")]


async def test_nobody_dies_by_it_while_the_owners_cannot_be_read(tmp_path: Path) -> None:
    async with counting(tmp_path) as s:
        [alice] = await s.open("alice")
        s.world.leave(alice)
        s.world.faults.add(Fault("status", verb="list", resource="pods", code=500, times=10_000))
        await advance(GRACE + 10 * PAUSE)
        assert s.gc.collected() == {}
        assert "owners_unreadable" in {line["event"] for line in s.gc.log}
        s.world.faults.clear()
        await advance(60)
        await s.collected(alice="Abandoned")


async def test_a_new_run_of_the_process_counts_for_itself(tmp_path: Path) -> None:
    async with counting(tmp_path, policy=Policy(max_age=0.0, owner_grace=36_000.0)) as s:
        [alice] = await s.open("alice")
        s.world.crash()
        await advance(GRACE + 10 * PAUSE)
        # The new run has nobody, and says nothing of those that the old one had.
        assert s.gc.collected() == {}
        assert alice.orphan


def questions(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Notes each question that a metrics port answers from now on."""
    asked: list[None] = []
    text = Counts.text

    def noted(counts: Counts) -> str:
        asked.append(None)
        return text(counts)

    monkeypatch.setattr(Counts, "text", noted)
    return asked

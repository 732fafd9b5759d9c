"""The last look before somebody dies as Ownerless: who is found by it stays."""

from pathlib import Path
from typing import Any

from ssh_session_gc.core.model import Reason
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.sandbox import Fault
from ssh_session_gc.sandbox.api.objects import PODS
from tests.daemon.scene import OWNERS, scene
from tests.support import advance, eventually


async def test_an_owner_that_lost_its_label_still_owns(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        owner = s.world.containerssh.replicas[0].process.pod

        def quarantine(pod: dict[str, Any]) -> None:
            pod["metadata"]["labels"] = {"quarantined": "true"}

        s.world.store.update(PODS, OWNERS, owner, quarantine)
        await advance(300)
        assert s.gc.collected() == {}
        assert s.pod(alice) is not None
        assert s.gc.logged("session_kept")
        # When its Pod is gone indeed, so is its claim.
        s.world.store.delete(PODS, OWNERS, owner, grace=0)
        await advance(200)
        await s.collected(alice="Ownerless")


async def test_a_creator_outside_of_the_workload_is_looked_up(tmp_path: Path) -> None:
    async with scene(tmp_path, stamp=True) as s:
        spec = {"containers": [{"name": "containerssh", "image": "x"}]}
        stranger = s.world.store.create(PODS, OWNERS, {"metadata": {"name": "stranger"}, "spec": spec})
        await advance(5)
        [alice] = await s.open("alice")
        s.annotate(alice, owner_pod_name="stranger", owner_pod_uid=stranger["metadata"]["uid"])
        await advance(300)
        assert s.gc.collected() == {}
        s.world.store.delete(PODS, OWNERS, "stranger", grace=0)
        await advance(200)
        await s.collected(alice="Ownerless")


async def test_a_stale_watch_of_the_owners_kills_nobody(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=Policy(owner_grace=20.0)) as s:
        s.world.scale(0)
        await advance(20)
        s.world.faults.stall_watches(resource="pods", namespace=OWNERS)
        # As far as the daemon can see, nobody is there any more.
        s.world.scale(1)
        await advance(5)
        await s.open("alice")
        await advance(25)
        assert s.gc.verdict("alice").reason is Reason.OWNERLESS
        await eventually(lambda: s.gc.logged("session_kept"))
        assert s.gc.collected() == {}
        assert s.world.lost_live() == []


async def test_owners_that_cannot_be_read_afresh_kill_nobody(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        s.world.crash()
        await advance(5)
        fault = s.world.faults.add(Fault("status", verb="list", resource="pods", namespace=OWNERS, code=500))
        await advance(200)
        assert s.gc.collected() == {}
        assert s.gc.logged("owners_unreadable")
        assert s.gc.value("orphans", reason="Ownerless") == 1
        s.world.faults.lift(fault)
        await advance(30)
        await s.collected(alice="Ownerless")


async def test_an_owner_that_vanished_is_looked_up_and_the_grace_counts_from_there(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=Policy(owner_grace=5.0)) as s:
        await s.open("alice")
        s.world.store.delete(PODS, OWNERS, s.world.containerssh.replicas[0].process.pod, grace=0)
        await advance(8)
        assert s.gc.collected() == {}
        # Once more, and no later than that: it has nobody to wait for.
        await advance(4)
        await s.collected(alice="Ownerless")

"""What left an orphan for ever once, or for too long."""

from pathlib import Path
from typing import Any

import pytest

from ssh_session_gc.kube.errors import ApiError
from ssh_session_gc.sandbox import Fault
from ssh_session_gc.sandbox.api.objects import DEPLOYMENTS, NODES, PODS
from tests.daemon.scene import OWNERS, SESSIONS, Scene, label, restricted_scene, scene
from tests.support import advance, eventually


async def test_over_age_ends_what_cannot_be_told_ownerless(tmp_path: Path) -> None:
    async with restricted_scene(tmp_path, f"get deployments {OWNERS}") as s:
        await s.gc.synced()
        await s.open("alice")
        s.world.crash()
        await advance(3500)
        assert s.gc.collected() == {}
        await advance(200)
        await s.collected(alice="OverAge")


async def test_a_proxy_that_says_404_to_a_deletion(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        s.world.crash()
        s.world.faults.add(Fault("status", verb="delete", code=404, times=1))
        await advance(200)
        assert s.gc.logged("deletion_failed")
        await s.collected(alice="Ownerless")


async def test_a_session_that_leaves_and_comes_back_while_it_waits(tmp_path: Path) -> None:
    async with scene(tmp_path, stamp=True, replicas=2) as s:
        [bob] = await s.open("bob", replica=0)
        [alice] = await s.open("alice", replica=1)
        s.world.faults.add(Fault("slow", verb="get", resource="deployments", seconds=5))
        first, second = (r.process for r in s.world.containerssh.replicas)
        s.world.crash(first)
        await advance(3)
        s.world.crash(second)
        processing = s.gc.daemon.collector.queue.processing
        while alice.uid not in processing:
            await advance(0.1)
        assert bob.uid in processing  # his owners are being read, she waits for the next time
        label(s, alice, None)
        while not s.gc.collected():
            await advance(0.1)
        await advance(1)
        label(s, alice, "true")
        s.world.faults.clear()
        await advance(600)
        await s.collected(alice="Ownerless", bob="Ownerless")


async def test_a_retry_after_of_a_day_is_not_obeyed(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        fault = s.world.faults.add(Fault("status", verb="delete", code=503, retry_after=86400))
        await advance(3660)
        s.world.faults.lift(fault)
        await advance(600)
        await s.collected(alice="OverAge")


async def test_pods_that_a_policy_protects_hold_up_nobody_else(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        protected = {session.name for session in await s.open(*(f"user{n}" for n in range(40)))}
        deleter = s.gc.daemon.collector.workers.deleter
        send = deleter.send

        async def refusing(name: str, body: dict[str, object]) -> None:
            if name in protected:
                raise ApiError(403, "Forbidden", 'admission webhook "keep" denied the request')
            await send(name, body)

        deleter.send = refusing  # type: ignore[method-assign]
        await advance(3600)
        assert len(s.gc.logged("deletion_forbidden")) == 40
        s.world.open("orphan")
        await advance(5)
        s.world.crash()
        await advance(75)
        await eventually(lambda: "orphan" in s.gc.collected())
        assert len(s.gc.logged("deletion_forbidden")) == 40


async def test_what_was_looked_up_is_not_looked_up_again(tmp_path: Path) -> None:
    async with scene(tmp_path, replicas=2) as s:
        await s.open("alice", replica=0)
        pod = s.world.containerssh.replicas[0].process.pod
        fault = s.world.faults.add(Fault("status", verb="watch", resource="pods", namespace=OWNERS, code=500))
        s.world.faults.end_watches(resource="pods", namespace=OWNERS)
        await advance(2)
        s.world.store.delete(PODS, OWNERS, pod, grace=0)
        s.world.compact()
        s.world.faults.lift(fault)
        await advance(40)
        await eventually(lambda: any(not o.confirmed for o in s.gc.daemon.cluster.owners.owners))
        for replica in list(s.world.containerssh.replicas):
            s.world.crash(replica.process)
        await advance(100)
        await s.collected(alice="Ownerless")
        await eventually(lambda: all(o.confirmed for o in s.gc.daemon.cluster.owners.owners))


async def test_a_conflict_without_a_change_does_not_spin(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        s.world.faults.add(Fault("status", verb="delete", code=409))
        await advance(3600)
        await advance(60)
        assert 1 <= s.deletions() <= 6
        s.world.faults.clear()
        await advance(20)
        await s.collected(alice="OverAge")


def unreadable(s: Scene, container: str) -> None:
    """Makes a Pod in the owners' namespace that nobody selects and that cannot be read: one of its containers has a
    name that is none."""
    spec = {"containers": [{"name": "A B", "image": "x"}, {"name": container, "image": "x"}]}
    s.world.store.create(PODS, OWNERS, {"metadata": {"name": "stranger"}, "spec": spec})


async def test_a_stranger_that_cannot_be_read_holds_up_nobody(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        unreadable(s, "other")
        s.world.crash()
        await advance(100)
        await s.collected(alice="Ownerless")
        assert s.gc.logged("owners_unreadable") == []


async def test_a_pod_that_cannot_be_read_and_may_be_an_owner_holds_up_and_is_said(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        assert s.gc.value("owner_known") == 1
        unreadable(s, "containerssh")
        s.world.crash()
        await advance(100)
        assert s.gc.collected() == {}
        assert "a Pod that may be an owner cannot be read" in s.gc.logged("owners_unreadable")[0]["error"]
        assert s.gc.value("owner_known") == 0
        s.world.store.delete(PODS, OWNERS, "stranger", grace=0)
        await advance(60)
        await s.collected(alice="Ownerless")
        assert s.gc.value("owner_known") == 1


@pytest.mark.parametrize("trouble", ["image", "room"])
async def test_a_replica_that_never_ran_keeps_no_orphans_of_the_others(tmp_path: Path, trouble: str) -> None:
    async with scene(tmp_path) as s:
        before = s.world.containerssh.replicas[0].process.pod
        if trouble == "image":

            def change(deployment: dict[str, Any]) -> None:
                deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "x:missing"

            s.world.store.update(DEPLOYMENTS, OWNERS, "containerssh", change)
        else:
            for name in s.world.kubelets:
                s.world.store.update(NODES, None, name, lambda node: node["spec"].update(unschedulable=True))
            s.world.scale(2)
        await advance(30)
        # The rollout has come to a halt, and the old replica serves on, and then dies.
        assert len(s.world.store.list(PODS, OWNERS)) == 2
        alice = s.world.open("alice", replica=0)
        node = s.world.store.get(PODS, OWNERS, before)["spec"]["nodeName"]
        s.world.store.update(PODS, SESSIONS, alice.name, lambda pod: pod["spec"].update(nodeName=node))
        await advance(30)
        s.world.scale(1)
        s.world.store.delete(PODS, OWNERS, before, grace=0)
        await advance(300)
        await s.collected(alice="Ownerless")
        assert not alice.creator.alive

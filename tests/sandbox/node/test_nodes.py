"""Nodes and the Pods on them, beyond the recording "node-lost"."""

import pytest

from ssh_session_gc.sandbox import World
from ssh_session_gc.sandbox.api.objects import NODES, PODS, Object
from tests.sandbox.worlds import owner_pods, ready, session_pod
from tests.support import advance


def node_of(pod: Object) -> str:
    """The node of a Pod, "" where it has none yet."""
    return str(pod["spec"].get("nodeName", ""))


def condition(obj: Object, kind: str) -> Object:
    """One of an object's conditions, empty where the object lacks it."""
    return next((each for each in obj["status"].get("conditions", ()) if each["type"] == kind), {})


async def test_pods_are_spread() -> None:
    async with World(nodes=2) as world:
        world.deploy(4)
        await ready(world, 4)
        assert sorted(map(node_of, owner_pods(world))) == ["node1", "node1", "node2", "node2"]


async def test_a_node_that_is_cordoned_gets_nothing_new() -> None:
    async with World(nodes=2) as world:
        world.store.update(NODES, None, "node1", lambda node: node["spec"].update(unschedulable=True))
        world.deploy(2)
        await ready(world, 2)
        assert set(map(node_of, owner_pods(world))) == {"node2"}


async def test_a_node_that_dies_takes_its_processes_along_unseen() -> None:
    async with World(nodes=2) as world:
        world.deploy(2)
        await ready(world, 2)
        dying = world.containerssh.replicas[0]
        session = world.open("ann", replica=0)
        await advance(3)
        node = dying.kubelet.node
        world.kill_node(node)
        assert not session.live
        await advance(10)
        pods = {pod["metadata"]["uid"]: pod for pod in owner_pods(world)}
        assert condition(pods[dying.process.pod_uid], "Ready")["status"] == "True"
        assert world.orphans() == [session]
        await advance(45)
        lost = {pod["metadata"]["uid"]: pod for pod in owner_pods(world)}[dying.process.pod_uid]
        assert condition(lost, "Ready")["status"] == "False"
        assert condition(lost, "DisruptionTarget")["reason"] == "DeletionByTaintManager"
        assert "running" in lost["status"]["containerStatuses"][0]["state"]
        assert "deletionTimestamp" in lost["metadata"]
        assert condition(world.store.get(NODES, None, node), "Ready")["status"] == "Unknown"
        # It stays like that until somebody deletes the node.
        await advance(3600)
        assert dying.process.pod_uid in {pod["metadata"]["uid"] for pod in owner_pods(world)}
        world.remove_node(node)
        await advance(41)
        assert dying.process.pod_uid not in {pod["metadata"]["uid"] for pod in owner_pods(world)}
        assert len(world.containerssh.replicas) == 2
        with pytest.raises(ValueError, match="is dead"):
            world.heal(node)


async def test_a_pod_without_a_node_waits_for_one() -> None:
    async with World() as world:
        world.deploy()
        await ready(world)
        world.cut_off()
        await advance(55)
        # The old Pod is Terminating for good, and the next one has no node to go to.
        waiting = next(pod for pod in owner_pods(world) if "deletionTimestamp" not in pod["metadata"])
        assert condition(waiting, "PodScheduled")["reason"] == "Unschedulable"
        world.heal()
        await advance(3)
        assert [node_of(pod) for pod in owner_pods(world)] == ["node1"]


async def test_sessions_stay_five_minutes_on_a_node_that_is_cut_off() -> None:
    async with World() as world:
        world.deploy()
        await ready(world)
        session = world.open("ann")
        await advance(3)
        world.cut_off()
        await advance(339)
        assert session.deleted is None
        await advance(2)
        # Somebody sat in it, but the cluster deleted it.
        assert session.was_live
        assert session.evicted
        assert world.lost_live() == []
        assert "deletionTimestamp" in session_pod(world, session.name)["metadata"]


async def test_a_deleted_pod_frees_its_place() -> None:
    async with World(nodes=2) as world:
        world.deploy(1)
        await ready(world)
        home = node_of(owner_pods(world)[0])
        first = world.open("ann")
        assert node_of(session_pod(world, first.name)) != home
        world.close(first)
        await advance(3)
        assert node_of(session_pod(world, world.open("bob").name)) != home
        assert len(world.store.list(PODS, "ssh-sessions")) == 1

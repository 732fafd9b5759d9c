"""The kubelet beyond the recordings, each time as Kubernetes' documentation has it."""

import itertools
import json

import pytest

from ssh_session_gc.sandbox import Program, World
from ssh_session_gc.sandbox.api.objects import PODS, Object
from ssh_session_gc.sandbox.api.refusals import Refusal
from tests.sandbox.worlds import container, owner_pods, ready, session_pod, state, states
from tests.support import advance

SLOW = "example/slow:v1"
ABSENT = "example/absent:v1"


def made(world: World, name: str, *, policy: str = "Always", **program: object) -> Object:
    """Creates a Pod as kubectl does, with its program in the annotation."""
    metadata = {"name": name, "annotations": {"sandbox/program": json.dumps(program)}}
    spec = {"restartPolicy": policy, "containers": [{"name": "main", "image": "example/any:v1"}]}
    return world.store.create(PODS, "ssh-sessions", {"metadata": metadata, "spec": spec})


async def test_a_program_is_told_by_image_and_annotation() -> None:
    images = {SLOW: Program(pull=90.0), ABSENT: Program(missing=True)}
    async with World(images=images) as world:
        world.deploy()
        await ready(world)
        slow, absent = world.open("ann", image=SLOW), world.open("bob", image=ABSENT)
        odd = world.open("cyd", annotations={"sandbox/program": '{"pull": "never"}'})
        worse = world.open("dan", annotations={"sandbox/program": "{"})
        own = world.open("eve", annotations={"sandbox/program.shell": '{"exits_after": 3, "exit_code": 7}'})
        await advance(5)
        assert state(session_pod(world, slow.name)) == "Pending waiting ContainerCreating"
        assert state(session_pod(world, absent.name)) == "Pending waiting ErrImagePull"
        assert {state(session_pod(world, each.name)) for each in (odd, worse)} == {"Running running"}
        assert container(session_pod(world, own.name))["state"]["terminated"]["exitCode"] == 7
        await advance(90)
        assert state(session_pod(world, slow.name)) == "Running running"


async def test_a_pod_deleted_while_it_is_being_created_goes_at_once() -> None:
    async with World(images={SLOW: Program(pull=300.0)}) as world:
        world.deploy()
        await ready(world)
        slow, missing = world.open("ann", image=SLOW), world.open("bob", image="example/shell:missing")
        await advance(30)
        with states(world, slow.name) as seen, states(world, missing.name) as seen_too:
            for each in (slow, missing):
                world.store.delete(PODS, "ssh-sessions", each.name)
            await advance(1)
        assert seen == ["Pending waiting ContainerCreating", "Failed terminated ContainerStatusUnknown", "gone"]
        assert seen_too[-2:] == ["Failed terminated ContainerStatusUnknown", "gone"]


async def test_a_container_that_keeps_crashing_is_backed_off() -> None:
    async with World() as world:
        made(world, "crashing", exits_after=1, exit_code=2)
        restarts, waits = [], set()
        for _ in range(100):
            await advance(1)
            pod = session_pod(world, "crashing")
            restarts.append(container(pod)["restartCount"])
            waits.add(state(pod))
    assert "Running waiting CrashLoopBackOff" in waits
    # It is restarted at once, then after 10, 20 and 40 s, and runs for a second each time.
    first = [restarts.index(count) for count in range(1, 5)]
    assert [later - earlier for earlier, later in itertools.pairwise(first)] == [
        pytest.approx(11, abs=1),
        pytest.approx(21, abs=1),
        pytest.approx(41, abs=1),
    ]
    assert container(session_pod(world, "crashing"))["lastState"]["terminated"]["exitCode"] == 2


async def test_on_failure_restarts_only_what_failed() -> None:
    async with World() as world:
        made(world, "good", policy="OnFailure", exits_after=1)
        made(world, "bad", policy="OnFailure", exits_after=4, exit_code=1)
        await advance(7)
        assert session_pod(world, "good")["status"]["phase"] == "Succeeded"
        assert container(session_pod(world, "bad"))["restartCount"] == 1


async def test_a_grace_that_is_shortened_counts() -> None:
    async with World() as world:
        made(world, "stubborn", drain=1e9)
        await advance(3)
        world.store.delete(PODS, "ssh-sessions", "stubborn", grace=300)
        await advance(60)
        assert state(session_pod(world, "stubborn")) == "Running running"
        world.store.delete(PODS, "ssh-sessions", "stubborn", grace=5)
        with states(world, "stubborn") as seen:
            await advance(4)
            assert seen == []
            await advance(2)
        assert seen == ["Failed terminated Error", "gone"]


async def test_a_sidecar_is_a_container_of_its_own() -> None:
    async with World() as world:
        world.deploy(sidecar=True)
        await ready(world)
        session = world.open("ann")
        pod = owner_pods(world)[0]
        world.kubelets["node1"].kill(pod["metadata"]["uid"], container="audit-log")
        await advance(2)
        restarts = {
            each["name"]: each["restartCount"] for each in owner_pods(world)[0]["status"]["containerStatuses"]
        }
        assert restarts == {"audit-log": 1, "containerssh": 0}
        assert session.live
        world.crash()
        await advance(2)
        restarts = {
            each["name"]: each["restartCount"] for each in owner_pods(world)[0]["status"]["containerStatuses"]
        }
        assert restarts == {"audit-log": 1, "containerssh": 1}
        assert not session.live


async def test_the_nodes_clock_is_its_own() -> None:
    async with World(skews={"node1": -20.0}) as world:
        world.deploy()
        await ready(world)
        session = world.open("ann")
        await advance(2)
        pod = session_pod(world, session.name)
        assert container(pod)["state"]["running"]["startedAt"] < pod["metadata"]["creationTimestamp"]


async def test_what_happens_on_a_node_that_is_cut_off_is_told_afterwards() -> None:
    async with World() as world:
        world.deploy()
        await ready(world)
        gone = made(world, "gone")
        made(world, "restarted")
        await advance(2)
        kubelet = world.kubelets["node1"]
        world.cut_off()
        kubelet.kill(session_pod(world, "restarted")["metadata"]["uid"])
        world.store.delete(PODS, "ssh-sessions", "gone", grace=0)
        await advance(10)
        assert container(session_pod(world, "restarted"))["restartCount"] == 0
        assert kubelet.processes[gone["metadata"]["uid"], "main"].alive
        world.heal()
        await advance(1)
        assert container(session_pod(world, "restarted"))["restartCount"] == 1
        assert (gone["metadata"]["uid"], "main") not in kubelet.processes
        with pytest.raises(Refusal, match="not found"):
            session_pod(world, "gone")

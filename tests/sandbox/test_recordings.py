"""The simulated cluster tells the stories of the recordings in the same words.

Each test plays a recording's script in the World and compares, Pod by Pod, the sequence of what a watch would have
shown: phase, container state, readiness, deletion, restarts. Equal neighbours count once, because how often a real
kubelet writes the same status again depends on what it measures besides (volumes, resources).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ssh_session_gc.sandbox import World
from ssh_session_gc.sandbox.api.objects import DEPLOYMENTS, PODS, Change
from tests.sandbox.worlds import ready
from tests.support import advance

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings"
Shape = tuple[object, ...]


def shape(change: str, pod: dict[str, Any]) -> Shape:
    """The part of an event that a policy, or a person, could go by."""
    status, metadata = pod["status"], pod["metadata"]
    conditions = {c["type"]: (c["status"], c.get("reason", "")) for c in status.get("conditions", ())}
    container: dict[str, Any] = next(iter(status.get("containerStatuses", ())), {})
    state: tuple[str, dict[str, Any]] = next(iter(container.get("state", {}).items()), ("", {}))
    terminated = state[1].get("reason", ""), state[1].get("exitCode")
    return (
        change,
        status.get("phase"),
        state[0],
        *terminated,
        conditions.get("Ready"),
        conditions.get("ContainersReady"),
        conditions.get("PodScheduled"),
        "DisruptionTarget" in conditions,
        metadata.get("deletionGracePeriodSeconds"),
        container.get("restartCount"),
        next(iter(container.get("lastState", {})), ""),
    )


def collapsed(shapes: list[Shape]) -> list[Shape]:
    """The shapes without repetitions."""
    return [s for n, s in enumerate(shapes) if n == 0 or s != shapes[n - 1]]


def recorded(name: str) -> dict[str, list[Shape]]:
    """The shapes of a recording by user, or by "owner 1" and so on in the order of appearance."""
    stories: dict[str, tuple[str, list[Shape]]] = {}
    owners = 0
    for line in (RECORDINGS / f"{name}.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry.get("stream") == "owner-pods":
            for item in entry.get("list", {}).get("items", ()):
                owners += 1
                stories[item["metadata"]["uid"]] = (f"owner {owners}", [])
        if entry.get("stream") in ("owner-pods", "session-pods") and "event" in entry:
            pod = entry["event"]["object"]
            if entry["event"]["type"] == "BOOKMARK":
                continue
            uid, user = pod["metadata"]["uid"], pod["metadata"]["labels"].get("containerssh_username")
            if uid not in stories:
                owners += not user
                stories[uid] = (user or f"owner {owners}", [])
            stories[uid][1].append(shape(entry["event"]["type"], pod))
    return {title: collapsed(shapes) for title, shapes in stories.values() if shapes}


@contextmanager
def observed(world: World) -> Iterator[dict[str, list[Shape]]]:
    """The shapes of the World's Pods, filled in as things happen from now on."""
    stories: dict[str, list[Shape]] = {}
    titles: dict[str, str] = {}

    def title(pod: dict[str, Any]) -> str:
        uid, user = pod["metadata"]["uid"], pod["metadata"]["labels"].get("containerssh_username")
        if uid not in titles:
            titles[uid] = user or f"owner {1 + sum(t.startswith('owner ') for t in titles.values())}"
        return titles[uid]

    for pod in world.store.list(PODS, "containerssh"):
        title(pod)

    def heard(change: Change) -> None:
        if change.resource is PODS:
            shapes = stories.setdefault(title(change.object), [])
            shapes.append(shape(change.type, change.object))
            stories[title(change.object)] = collapsed(shapes)

    stop = world.store.subscribe(heard)
    yield stories
    stop()


async def test_crash() -> None:
    async with World() as world:
        world.deploy(grace=5)
        await ready(world)
        with observed(world) as stories:
            for user in ("alice", "bob", "carol"):
                world.open(user)
            await advance(7)
            world.crash()
            await advance(5)
            world.open("dave")
            await advance(4)
    assert stories == recorded("crash"), differences(stories, recorded("crash"))


async def test_rollout() -> None:
    async with World() as world:
        world.deploy(grace=5)
        await ready(world)
        # The recording follows on that of the crash: its owner has been restarted once.
        world.crash()
        await advance(5)
        with observed(world) as stories:
            world.open("alice")
            world.open("bob")
            await advance(4)
            world.store.update(DEPLOYMENTS, "containerssh", "containerssh", slow_to_drain)
            await advance(4)
            carol = world.open("carol")
            await advance(3)
            world.rollout()
            await advance(6)
            world.open("dave")
            await advance(4)
            world.close(carol)
            await advance(14)
    assert stories == recorded("rollout"), differences(stories, recorded("rollout"))


def slow_to_drain(deployment: dict[str, Any]) -> None:
    template = deployment["spec"]["template"]
    template["metadata"]["annotations"]["sandbox/program"] = '{"drain": 12}'
    template["spec"]["terminationGracePeriodSeconds"] = 20


async def test_scale_to_zero() -> None:
    async with World() as world:
        world.deploy(grace=20, drain=12)
        await ready(world)
        with observed(world) as stories:
            world.open("alice")
            world.open("bob")
            await advance(4)
            world.scale(0)
            await advance(16)
            world.scale(2)
            await advance(6)
    assert stories == recorded("scale-to-zero"), differences(stories, recorded("scale-to-zero"))


async def test_deployment_deleted() -> None:
    async with World() as world:
        world.deploy(2, grace=20, drain=12)
        await ready(world, 2)
        world.scale(1)
        await advance(4)
        with observed(world) as stories:
            world.open("alice")
            await advance(3)
            world.delete_deployment()
            await advance(16)
            world.deploy(1)
            await advance(6)
    told = recorded("deployment-deleted")
    # The controller chooses which of the two replicas goes.
    assert sorted(map(repr, stories.values())) == sorted(map(repr, told.values()))


async def test_node_lost() -> None:
    async with World() as world:
        world.deploy(grace=5)
        await ready(world)
        with observed(world) as stories:
            world.open("alice")
            await advance(4)
            world.cut_off()
            await advance(85)
            world.heal()
            await advance(30)
    assert stories == recorded("node-lost"), differences(stories, recorded("node-lost"))


async def test_session_lifecycle() -> None:
    programs = {
        "exit0": {"exits_after": 2},
        "exit3": {"exits_after": 2, "exit_code": 3},
        "oom": {"exits_after": 3, "exit_code": 137, "out_of_memory": True},
        "stubborn": {"drain": 1e9},
    }
    async with World() as world:
        world.deploy()
        await ready(world)
        world.crash()
        await advance(5)
        with observed(world) as stories:
            opened = {
                user: world.open(
                    user,
                    image="ghcr.io/example/ssh-session-image:missing" if user == "badimage" else "",
                    annotations={"sandbox/program": json.dumps(programs.get(user, {}))},
                )
                for user in ("exit0", "exit3", "badimage", "stubborn", "oom", "clean")
            }
            await advance(9)
            world.close(opened["clean"])
            await advance(1)
            world.store.delete(PODS, "ssh-sessions", opened["stubborn"].name, grace=8)
            await advance(14)
            held = world.open("finalizer")
            world.store.update(
                PODS, "ssh-sessions", held.name, lambda pod: pod["metadata"].update(finalizers=["example.com/hold"])
            )
            await advance(3)
            world.store.delete(PODS, "ssh-sessions", held.name, grace=1)
            await advance(6)
            world.store.update(PODS, "ssh-sessions", held.name, lambda pod: pod["metadata"].update(finalizers=[]))
            await advance(2)
    told = recorded("session-lifecycle")
    # The recording's Pod was created with its finalizer.
    assert stories["badimage"][: len(told["badimage"])] == told.pop("badimage")
    stories.pop("badimage")
    assert stories == told, differences(stories, told)


def differences(stories: dict[str, list[Shape]], told: dict[str, list[Shape]]) -> str:
    """The place where the two part, for a person to read."""
    lines = []
    for title in sorted(stories.keys() | told.keys()):
        ours, theirs = stories.get(title, []), told.get(title, [])
        if ours != theirs:
            at = next(
                (n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs))
            )
            lines += [
                f"{title}, event {at}:",
                f"  sandbox:  {ours[at : at + 2]}",
                f"  recorded: {theirs[at : at + 2]}",
            ]
    return "\n".join(lines)

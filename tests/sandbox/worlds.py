"""Helpers for tests of the simulated cluster: waiting for it, and looking at its Pods. Holds no tests."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ssh_session_gc.sandbox import World
from ssh_session_gc.sandbox.api.objects import PODS, Change, Object
from tests.support import advance


async def ready(world: World, replicas: int = 1) -> None:
    """Moves the time on until so many ContainerSSH processes run."""
    waiting = asyncio.create_task(world.ready(replicas))
    while not waiting.done():
        await advance(0.1)
    await waiting


@contextmanager
def states(world: World, name: str) -> Iterator[list[str]]:
    """The states of a Pod's first container from now on, as ``state`` tells them, without repetitions."""
    seen: list[str] = []

    def heard(change: Change) -> None:
        if change.resource is PODS and change.object["metadata"]["name"] == name:
            told = "gone" if change.type == "DELETED" else state(change.object)
            if seen[-1:] != [told]:
                seen.append(told)

    stop = world.store.subscribe(heard)
    yield seen
    stop()


def state(pod: Object) -> str:
    """A Pod's phase and the state of its first container, as in "Pending waiting ErrImagePull"."""
    states: dict[str, dict[str, str]] = container(pod).get("state", {})
    kind, detail = next(iter(states.items()), ("", {}))
    return " ".join(f"{pod['status']['phase']} {kind} {detail.get('reason', '')}".split())


def container(pod: Object, name: str = "") -> dict[str, Any]:
    """The status of a container, by default of the first one; empty before a kubelet has written it."""
    statuses = pod["status"].get("containerStatuses", ())
    return next((each for each in statuses if name in ("", each["name"])), {})


def session_pod(world: World, name: str) -> Object:
    """A session's Pod as it is now. Raises Refusal 404."""
    return world.store.get(PODS, "ssh-sessions", name)


def owner_pods(world: World) -> list[Object]:
    """The Pods of ContainerSSH's Deployment."""
    return world.store.list(PODS, "containerssh")

"""A cluster and the daemon in it: what a test does to the one and asks of the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssh_session_gc.sandbox import Identity, PolicyRule, TrueSession, World
from ssh_session_gc.sandbox.api.objects import EVENTS, PODS
from tests.harness import Running, running
from tests.support import advance, eventually

SESSIONS, OWNERS = "ssh-sessions", "containerssh"


@dataclass
class Scene:
    """A cluster and the daemon in it."""

    world: World
    gc: Running

    async def open(self, *users: str, **more: Any) -> list[TrueSession]:
        """Opens sessions and lets them start."""
        opened = [self.world.open(user, **more) for user in users]
        await advance(5)
        return opened

    def pod(self, session: TrueSession) -> dict[str, Any] | None:
        """The session's Pod, if it is still there."""
        pods = self.world.store.list(PODS, SESSIONS)
        return next((p for p in pods if p["metadata"]["uid"] == session.uid), None)

    def annotate(self, session: TrueSession, **annotations: str) -> None:
        """Annotates the session's Pod; underscores stand for dashes, and the prefix is ours."""
        named = {f"ssh-session-gc/{name.replace('_', '-')}": text for name, text in annotations.items()}
        self.world.store.update(
            PODS, SESSIONS, session.name, lambda pod: pod["metadata"].setdefault("annotations", {}).update(named)
        )

    async def collected(self, **reasons: str) -> None:
        """Exactly these users' sessions have been collected, for these reasons, and nobody was lost."""
        await eventually(lambda: len(self.gc.collected()) >= len(reasons), f"{reasons}, so far {self.gc.collected()}")
        assert self.gc.collected() == reasons

    def under_way(self) -> set[asyncio.Task[None]]:
        """The deletions that wait for their answer."""
        return self.gc.daemon.collector.workers.deleter.in_flight

    def has_deleted(self, many: int) -> bool:
        """Whether so many DELETE requests were answered."""
        return self.deletions() == many

    def deletions(self) -> int:
        """How many DELETE requests were answered."""
        return sum(r.verb == "delete" for r in self.world.server.requests)


@asynccontextmanager
async def scene(
    tmp_path: Path, *, replicas: int = 1, stamp: bool = False, world: World | None = None, **settings: Any
) -> AsyncIterator[Scene]:
    """A cluster with so many ContainerSSH replicas, and the daemon with these settings, in step. It asks for metrics
    where the cluster has them."""
    async with world or World(stamp=stamp) as made:
        if replicas:
            made.deploy(replicas)
            waiting = asyncio.create_task(made.ready(replicas))
            while not waiting.done():
                await advance(0.2)
        more = {"owner_metrics_port": made.metrics_port or 0} | settings
        async with running(made.url, tmp_path, **more) as gc:
            await gc.synced()
            yield Scene(made, gc)


def events(s: Scene) -> set[str]:
    """The reasons of the Events on session Pods."""
    return {event["reason"] for event in s.world.store.list(EVENTS, SESSIONS)}


def grants(*denied: str) -> tuple[PolicyRule, ...]:
    """What the collector needs, without what is named ("delete pods")."""
    wanted = [
        PolicyRule(("get", "list", "watch", "delete"), ("pods",), namespace=SESSIONS),
        PolicyRule(("create",), ("events",), namespace=SESSIONS),
        PolicyRule(("get", "list", "watch"), ("deployments",), ("apps",), ("containerssh",), OWNERS),
        PolicyRule(("get", "list", "watch"), ("pods",), namespace=OWNERS),
        PolicyRule(("get",), ("pods/log",), namespace=OWNERS),
    ]
    rules = []
    for rule in wanted:
        verbs = tuple(v for v in rule.verbs if f"{v} {rule.resources[0]} {rule.namespace}" not in denied)
        rules.append(PolicyRule(verbs, rule.resources, rule.api_groups, rule.resource_names, rule.namespace))
    return tuple(rules)


def restricted(*denied: str) -> World:
    """A cluster in which the collector may do only what it needs, and not what is named."""
    return World(tokens={"": Identity("gc"), "t": Identity("gc")}, roles={"gc": grants(*denied)})


@asynccontextmanager
async def restricted_scene(tmp_path: Path, *denied: str, **settings: Any) -> AsyncIterator[Scene]:
    """A restricted cluster and the daemon in it, whether or not its streams get in step."""
    async with restricted(*denied) as world:
        world.deploy()
        waiting = asyncio.create_task(world.ready())
        while not waiting.done():
            await advance(0.2)
        kubeconfig = world.kubeconfig(tmp_path / "kc", token="t")
        async with running(world.url, tmp_path, kubeconfig=kubeconfig, **settings) as gc:
            yield Scene(world, gc)


def label(s: Scene, session: TrueSession, value: str | None) -> None:
    """Sets the label that makes a Pod a session, or takes it away."""

    def change(pod: dict[str, Any]) -> None:
        pod["metadata"]["labels"].pop("containerssh_connection_id", None)
        if value is not None:
            pod["metadata"]["labels"]["containerssh_connection_id"] = value

    s.world.store.update(PODS, SESSIONS, session.name, change)


def quarantine(s: Scene) -> None:
    """Takes the owner Pod out of its workload's selector, as one does to look at it in peace. It runs on."""
    pod = s.world.containerssh.replicas[0].process.pod
    s.world.store.update(PODS, OWNERS, pod, lambda p: p["metadata"].update(labels={"quarantined": "true"}))

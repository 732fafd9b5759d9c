"""The cluster as it is known: who is told of changes, and when following it is hopeless."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ssh_session_gc.cluster.cluster import Cluster
from ssh_session_gc.cluster.source import Hopeless
from ssh_session_gc.kube.client import Api
from ssh_session_gc.sandbox import Identity, PolicyRule, World
from ssh_session_gc.sandbox.api.objects import DEPLOYMENTS, PODS
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics
from tests.harness import connected
from tests.support import advance, eventually

ANYTHING = PolicyRule(("*",), ("*",), ("*",))


@asynccontextmanager
async def followed(world: World, tmp_path: Path) -> AsyncIterator[tuple[Cluster, Api, asyncio.Task[None]]]:
    """The world as it is known, and who follows it."""
    metrics = Metrics(dry_run=True)
    async with connected(world.url, token="t" if world.server.tokens else "", observer=metrics) as api:
        await api.version()
        cluster = Cluster(Settings(), api, metrics)
        following = asyncio.create_task(cluster.follow())
        try:
            yield cluster, api, following
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def in_step(cluster: Cluster) -> None:
    """Returns when every source is in step."""
    await eventually(lambda: not any(source.out_of_sync for source in cluster.sources), "in step")


async def test_a_second_listener_does_not_evict_the_first(tmp_path: Path) -> None:
    async with World() as world:
        world.deploy()
        await asyncio.gather(world.ready(), advance(2))
        async with followed(world, tmp_path) as (cluster, _, _):
            await in_step(cluster)
            first: list[str | None] = []
            second: list[str | None] = []
            cluster.subscribe(first.append)
            leave = cluster.subscribe(second.append)
            alice = world.open("alice")
            await eventually(lambda: alice.uid in first)
            assert first == second
            leave()
            told = len(second)
            bob = world.open("bob")
            await eventually(lambda: bob.uid in first)
            assert len(second) == told


async def test_the_listeners_hear_of_owners_and_of_the_clock(tmp_path: Path) -> None:
    async with World() as world:
        world.deploy()
        await asyncio.gather(world.ready(), advance(2))
        async with followed(world, tmp_path) as (cluster, api, _):
            await in_step(cluster)
            await advance(11)
            told: list[str | None] = []
            cluster.subscribe(told.append)
            world.crash()
            await advance(1)
            await eventually(lambda: None in told)
            await advance(5)
            told.clear()
            since = cluster.owners.watched_since
            world.clock_offset = 1800.0
            await api.version()
            await advance(11)
            await eventually(lambda: cluster.owners.watched_since > since + 1700)
            assert None in told


async def test_where_the_sessions_cannot_be_read_it_is_hopeless(tmp_path: Path) -> None:
    async with (
        World(tokens={"t": Identity("gc")}, roles={"gc": []}) as world,
        followed(world, tmp_path) as (cluster, _, following),
    ):
        with pytest.raises(Hopeless, match=r"403 .*; grant get, list, watch and delete on pods in namespace ssh-s"):
            await following
        assert "403" in (cluster.sessions.out_of_sync or "")


async def test_a_permission_that_is_taken_away_later_is_waited_for(tmp_path: Path) -> None:
    async with (
        World(tokens={"t": Identity("gc")}, roles={"gc": [ANYTHING]}) as world,
        followed(world, tmp_path) as (cluster, _, following),
    ):
        await in_step(cluster)
        world.server.roles = {"gc": []}
        world.faults.end_watches()
        await advance(40)
        await eventually(lambda: "403" in (cluster.sessions.out_of_sync or ""))
        world.server.roles = {"gc": [ANYTHING]}
        await advance(40)
        await in_step(cluster)
        assert not following.done()


async def test_the_pods_of_another_selector_are_followed_as_soon_as_the_workload_has_it(tmp_path: Path) -> None:
    async with World() as world:
        world.deploy()
        await asyncio.gather(world.ready(), advance(2))
        async with followed(world, tmp_path) as (cluster, _, _):
            await in_step(cluster)
            (before,) = cluster.owners.owners
            labels = {"app": "other"}
            spec = {"containers": [{"name": "containerssh", "image": "x"}], "nodeName": "node1"}
            metadata = {"name": "other", "labels": labels}
            world.store.create(PODS, "containerssh", {"metadata": metadata, "spec": spec})
            world.store.update(
                DEPLOYMENTS,
                "containerssh",
                "containerssh",
                lambda o: o["spec"]["selector"].update(matchLabels=labels),
            )
            await eventually(lambda: any(owner.pod == "other" for owner in cluster.owners.owners))
            # The Pod that it does not select any more is only out of sight: somebody has to look it up.
            (gone,) = (owner for owner in cluster.owners.owners if owner.pod_uid == before.pod_uid)
            assert (gone.alive, gone.confirmed) == (False, False)

"""The cluster as its sources tell of it together, followed over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ssh_session_gc.cluster.cluster import Cluster
from ssh_session_gc.cluster.source import Hopeless
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.kube.client import Api
from ssh_session_gc.sandbox import Identity, PolicyRule, World
from ssh_session_gc.sandbox.api.objects import DEPLOYMENTS
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics
from tests.harness import connected
from tests.support import advance, eventually

SESSIONS, OWNERS = "ssh-sessions", "containerssh"
BY_LABEL: dict[str, Any] = {"owner": None, "owner_selector": "app=containerssh"}
NO_OWNERS: dict[str, Any] = {"owner": None, "policy": Policy(ownerless=False)}


def in_step(cluster: Cluster) -> bool:
    """Whether all that is followed is in step."""
    return all(source.out_of_sync is None for source in cluster.sources)


@asynccontextmanager
async def followed(world: World, token: str = "", **settings: Any) -> AsyncIterator[tuple[Cluster, Api]]:
    """The cluster, in step."""
    async with connected(world.url, token=token) as api:
        cluster = Cluster(Settings(**settings), api, Metrics(dry_run=False))
        following = asyncio.create_task(cluster.follow())
        try:
            await eventually(lambda: in_step(cluster))
            yield cluster, api
            assert not following.done()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


@asynccontextmanager
async def inhabited() -> AsyncIterator[World]:
    """A cluster with one ContainerSSH in it."""
    async with World() as world:
        world.deploy()
        await world.ready()
        yield world


async def test_two_who_subscribed_both_hear_of_everything() -> None:
    async with inhabited() as world, followed(world) as (cluster, _):
        first, second = list[str | None](), list[str | None]()
        leave = cluster.subscribe(first.append)
        cluster.subscribe(second.append)
        alice = world.open("alice")
        await eventually(lambda: alice.uid in second)
        # Something about the owners changes.
        world.crash()
        await eventually(lambda: None in second)
        assert first == second
        leave()
        heard = len(first)
        bob = world.open("bob")
        await eventually(lambda: bob.uid in second)
        assert len(first) == heard


async def test_a_session_that_goes_is_told_of() -> None:
    async with inhabited() as world, followed(world) as (cluster, _):
        alice = world.open("alice")
        await eventually(lambda: alice.uid in cluster.sessions.by_uid)
        heard = list[tuple[str | None, bool]]()
        cluster.subscribe(lambda uid: heard.append((uid, uid in cluster.sessions.by_uid)))
        world.close(alice)
        await advance(40)
        await eventually(lambda: (alice.uid, False) in heard)


async def test_nobody_can_tell_of_owners_before_all_that_tells_of_them_is_in_step() -> None:
    async with inhabited() as world, connected(world.url) as api:
        cluster = Cluster(Settings(), api, Metrics(dry_run=False))
        said = [cluster.owners.unknown]
        cluster.subscribe(lambda _: said.append(cluster.owners.unknown))
        following = asyncio.create_task(cluster.follow())
        await eventually(lambda: in_step(cluster))
        assert said[0] == "deployment containerssh/containerssh is not known: it has not been read yet"
        assert "the owner's Pods are not known: it has not been read yet" in said
        assert said[-1] is None
        assert [owner.alive for owner in cluster.owners.owners] == [True]
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


@pytest.mark.parametrize(
    ("settings", "streams"),
    [
        ({}, ["session-pods", "owner-workload", "owner-pods"]),
        (BY_LABEL, ["session-pods", "owner-pods"]),
        (NO_OWNERS, ["session-pods"]),
    ],
)
async def test_what_is_followed(settings: dict[str, Any], streams: list[str]) -> None:
    async with inhabited() as world, followed(world, **settings) as (cluster, _):
        assert [str(source.stream) for source in cluster.sources] == streams
        assert cluster.owners.unknown is None


async def test_a_workload_that_is_not_there_has_no_pods_to_follow() -> None:
    async with World() as world, followed(world) as (cluster, _):
        await eventually(lambda: cluster.workload.has_synced)
        assert cluster.sources == (cluster.sessions, cluster.workload)
        assert cluster.owners.unknown == "deployment containerssh/containerssh was not found and never seen"
        world.deploy()
        await eventually(lambda: len(cluster.sources) == 3)
        await eventually(lambda: in_step(cluster))
        assert cluster.owners.unknown is None


async def test_the_pods_are_those_of_the_selector_of_now() -> None:
    async with inhabited() as world, followed(world) as (cluster, _):
        world.store.update(
            DEPLOYMENTS, OWNERS, "containerssh", lambda d: d["spec"]["selector"].update(matchLabels={"app": "new"})
        )
        await eventually(lambda: cluster.workload.selector == "app=new")
        # At once: the reflector of the Pods has no need to fail first.
        await eventually(lambda: in_step(cluster) and not any(o.alive for o in cluster.owners.owners))


@pytest.mark.parametrize("settings", [{}, BY_LABEL, NO_OWNERS])
async def test_that_the_clock_moved_is_told_and_moves_what_was_dated_by_it(settings: dict[str, Any]) -> None:
    async with inhabited() as world, followed(world, **settings) as (cluster, api):
        await advance(10)
        await eventually(lambda: api.time.sure)
        before = {source: source.last_news or 0.0 for source in cluster.sources}
        heard = list[float]()
        cluster.subscribe(lambda uid: heard.append(api.time.now()) if uid is None else None)
        world.clock_offset = 86400.0
        # Whatever is asked tells the time; it is believed once it lasts.
        await api.version()
        await advance(11)
        await eventually(lambda: heard and heard[-1] - heard[0] > 80_000)
        assert all((source.last_news or 0.0) - at > 80_000 for source, at in before.items())
        await eventually(lambda: in_step(cluster))


async def test_becoming_sure_of_the_time_is_told() -> None:
    async with World() as world, connected(world.url) as api:
        cluster, heard = Cluster(Settings(**NO_OWNERS), api, Metrics(dry_run=False)), list[bool]()
        cluster.subscribe(lambda _: heard.append(api.time.sure))
        await api.version()
        assert heard == []
        await advance(10)
        await eventually(lambda: heard == [True])


def reader(*rules: PolicyRule) -> World:
    """A cluster whose credentials may read as these rules say."""
    return World(tokens={"t": Identity("gc")}, roles={"gc": rules})


OWNERS_ONLY = (
    PolicyRule(("get", "list", "watch"), ("deployments",), ("apps",)),
    PolicyRule(("list", "watch"), ("pods",), namespace=OWNERS),
)


async def test_it_is_hopeless_without_the_sessions_and_nothing_goes_on() -> None:
    async with reader(*OWNERS_ONLY) as world, connected(world.url, token="t") as api:
        cluster, before = Cluster(Settings(), api, Metrics(dry_run=False)), asyncio.all_tasks()
        with pytest.raises(
            Hopeless, match=r"403 .*; grant get, list, watch and delete on pods in namespace ssh-sess"
        ):
            await cluster.follow()
        assert not [task for task in asyncio.all_tasks() - before if "follow" in repr(task)]


async def test_a_permission_that_goes_away_later_may_come_back() -> None:
    rule = PolicyRule(("list", "watch"), ("pods",), namespace=SESSIONS)
    async with reader(rule) as world, followed(world, token="t", **NO_OWNERS) as (cluster, _):
        granted, world.server.roles = world.server.roles, {}
        world.faults.expire_watches()
        await advance(2)
        await eventually(lambda: "403" in (cluster.sessions.out_of_sync or ""))
        world.server.roles = granted
        await advance(40)
        await eventually(lambda: in_step(cluster))

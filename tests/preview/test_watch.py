"""The plan that follows the cluster: when it is out of date, and when there is no use in going on."""

import asyncio
from typing import Any

import pytest

from ssh_session_gc.core.model import Action, Reason
from ssh_session_gc.core.plan import Wanted
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.preview.snapshot import CannotRead
from ssh_session_gc.preview.watch import LivePlan, watching
from ssh_session_gc.sandbox import Identity, PolicyRule, World
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics
from tests.harness import connected
from tests.support import advance, eventually

NO_OWNERS: dict[str, Any] = {"owner": None, "policy": Policy(ownerless=False)}


async def inhabited(world: World) -> None:
    """ContainerSSH runs, and alice is in."""
    world.deploy()
    await world.ready()
    world.open("alice")
    await advance(3)


def reasons(live: LivePlan) -> dict[str, Reason | None]:
    """Why which user is deleted now."""
    rows = live.plan(Wanted()).rows
    return {row.session.user: row.verdict.reason for row in rows if row.verdict.action is Action.COLLECT}


async def test_a_change_makes_it_out_of_date() -> None:
    async with World() as world, connected(world.url) as api:
        await inhabited(world)
        async with watching(api, Settings(), Metrics(dry_run=True)) as live:
            plan = live.plan(Wanted())
            assert [row.session.user for row in plan.rows] == ["alice"]
            waiting = asyncio.create_task(live.next(plan, None))
            world.open("bob")
            await advance(1)
            await eventually(waiting.done)
            assert {row.session.user for row in live.plan(Wanted()).rows} == {"alice", "bob"}
            assert live.out_of_sync() == []


async def test_it_is_out_of_date_when_the_next_is_due() -> None:
    async with World() as world, connected(world.url) as api:
        await inhabited(world)
        async with watching(api, Settings(**NO_OWNERS), Metrics(dry_run=True)) as live:
            while reasons(live) == {}:
                waiting = asyncio.create_task(live.next(live.plan(Wanted()), None))
                while not waiting.done():
                    await advance(60)
            assert reasons(live) == {"alice": Reason.OVER_AGE}


async def test_it_is_out_of_date_after_as_long_as_was_asked_for() -> None:
    async with World() as world, connected(world.url) as api:
        await inhabited(world)
        async with watching(api, Settings(**NO_OWNERS), Metrics(dry_run=True)) as live:
            waiting = asyncio.create_task(live.next(live.plan(Wanted()), 500.0))
            await advance(501)
            await eventually(waiting.done)
            assert reasons(live) == {}


@pytest.mark.parametrize("settings", [{}, NO_OWNERS])
async def test_it_hears_that_the_api_servers_clock_moved(settings: dict[str, Any]) -> None:
    async with World() as world, connected(world.url) as api:
        await inhabited(world)
        async with watching(api, Settings(**settings), Metrics(dry_run=True)) as live:
            await advance(10)
            await eventually(lambda: api.time.sure)
            begun = live.plan(Wanted()).now

            async def moved() -> None:
                """Returns once a plan is of another day; looks only when it is told to."""
                while (plan := live.plan(Wanted())).now < begun + 80000.0:
                    await live.next(plan, None)

            waiting = asyncio.create_task(moved())
            world.clock_offset = 86400.0
            # Whatever is asked tells the time; it is believed once it lasts, and no session has changed.
            await api.version()
            await advance(11)
            await eventually(waiting.done, "it is told")
            assert reasons(live) == {}  # nobody is older for it


async def test_it_ends_where_the_sessions_cannot_be_read_at_all() -> None:
    async with World(tokens={"t": Identity("gc")}, roles={"gc": ()}) as world, connected(world.url, token="t") as api:
        before = asyncio.all_tasks()
        with pytest.raises(CannotRead, match="grant get, list, watch and delete on pods in namespace ssh-sessions"):
            async with asyncio.timeout(3600), watching(api, Settings(), Metrics(dry_run=True)):
                raise AssertionError("there is nothing to show")
        assert not [task for task in asyncio.all_tasks() - before if "follow" in repr(task)]


async def test_it_ends_where_nobody_answers() -> None:
    async with connected("http://127.0.0.1:1") as api:
        with pytest.raises(CannotRead, match=r"is unreachable: .*check the address and the credentials"):
            async with watching(api, Settings(), Metrics(dry_run=True)):
                raise AssertionError("there is nothing to show")


async def test_a_permission_that_goes_away_is_said_and_ends_nothing() -> None:
    rule = PolicyRule(("list", "watch"), ("pods",), namespace="ssh-sessions")
    async with World(tokens={"t": Identity("gc")}, roles={"gc": (rule,)}) as world:
        await inhabited(world)
        async with (
            connected(world.url, token="t") as api,
            watching(api, Settings(**NO_OWNERS), Metrics(dry_run=True)) as live,
        ):
            world.server.roles = {}
            world.faults.expire_watches()
            await advance(2)
            await eventually(lambda: any("403" in said for said in live.out_of_sync()))
            [said] = live.out_of_sync()
            assert said.startswith("session-pods is out of step: 403")
            await live.next(live.plan(Wanted()), 0.0)


async def test_its_dues_move_with_the_api_servers_clock() -> None:
    jump = 1800.0
    async with World() as world, connected(world.url) as api:
        world.deploy()
        await asyncio.gather(world.ready(), advance(2))
        world.open("alice")
        await advance(5)
        world.scale(0)
        await advance(10)
        async with watching(api, Settings(), Metrics(dry_run=True)) as live:
            await advance(10)
            (row,) = live.plan(Wanted()).rows
            # Since when she has no owner, nobody saw: at least since the watch began.
            assert (row.verdict.action, row.verdict.reason) == (Action.WAITING, Reason.OWNERLESS)
            assert row.verdict.due is not None
            before = row.verdict.due
            waiting = asyncio.create_task(live.next(live.plan(Wanted()), None))
            world.clock_offset = jump
            await api.version()
            await advance(11)
            await eventually(lambda: api.time.sure and api.time.now() > before + jump / 2, "the jump is believed")
            await waiting
            (row,) = live.plan(Wanted()).rows
            assert row.verdict.action is Action.WAITING
            # Owners are read anew by the new time, as at the start.
            assert row.verdict.due is not None
            assert before + jump - 2 <= row.verdict.due <= api.time.now() + 60

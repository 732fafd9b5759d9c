"""The plan that follows the cluster: it hears of everything that changes what it says, and ends where it must."""

import asyncio
from pathlib import Path

import pytest

from ssh_session_gc.core.model import Action, Reason
from ssh_session_gc.core.plan import Wanted
from ssh_session_gc.preview.snapshot import CannotRead
from ssh_session_gc.preview.watch import watching
from ssh_session_gc.sandbox import Identity, PolicyRule, World
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics
from tests.preview.test_snapshot import reach
from tests.support import advance, eventually

ALL = Wanted()
JUMP = 1800.0


async def test_its_dues_move_with_the_api_servers_clock(tmp_path: Path) -> None:
    async with World() as world, reach(world, tmp_path) as api:
        world.deploy()
        await asyncio.gather(world.ready(), advance(2))
        world.open("alice")
        await advance(5)
        world.scale(0)
        await advance(10)
        async with watching(api, Settings(), Metrics(dry_run=True)) as live:
            await advance(10)
            (row,) = live.plan(ALL).rows
            # Since when she has no owner, nobody saw: at least since the watch began.
            assert (row.verdict.action, row.verdict.reason) == (Action.WAITING, Reason.OWNERLESS)
            assert row.verdict.due is not None
            before = row.verdict.due
            waiting = asyncio.create_task(live.next(live.plan(ALL), None))
            world.clock_offset = JUMP
            await api.version()
            await advance(11)
            await eventually(lambda: api.time.sure and api.time.now() > before + JUMP / 2, "the jump is believed")
            await waiting
            (row,) = live.plan(ALL).rows
            assert row.verdict.action is Action.WAITING
            # Owners are read anew by the new time, as at the start.
            assert row.verdict.due is not None
            assert before + JUMP - 2 <= row.verdict.due <= api.time.now() + 60


async def test_without_permission_there_is_nothing_to_follow(tmp_path: Path) -> None:
    rules = [PolicyRule(verbs=("get", "list"), resources=("deployments",))]
    async with (
        World(tokens={"t": Identity("gc")}, roles={"gc": rules}) as world,
        reach(world, tmp_path) as api,
    ):
        with pytest.raises(CannotRead, match=r"403 .*; grant get, list, watch and delete on pods in namespace ssh-s"):
            async with watching(api, Settings(), Metrics(dry_run=True)):
                pytest.fail("it follows")


async def test_a_permission_that_is_taken_away_later_leaves_a_plan_that_says_so(tmp_path: Path) -> None:
    async with (
        World(tokens={"t": Identity("gc")}, roles={"gc": [PolicyRule(("*",), ("*",), ("*",))]}) as world,
        reach(world, tmp_path) as api,
        watching(api, Settings(), Metrics(dry_run=True)) as live,
    ):
        assert live.out_of_sync() == []
        world.server.roles = {"gc": []}
        world.faults.end_watches()
        await advance(40)
        # It was in step once: that passes, and the plan says what it may lack.
        assert any("session-pods is out of step: 403" in line for line in live.out_of_sync())

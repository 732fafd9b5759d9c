"""Clocks that are wrong, those of nodes and that of the API server: they cost nobody his session."""

from pathlib import Path

import pytest

from ssh_session_gc.sandbox import Fault, World
from ssh_session_gc.sandbox.node.programs import Program
from tests.daemon.scene import scene
from tests.harness import running
from tests.support import advance, eventually


async def test_ages_are_the_api_server_s_whatever_our_clock_says(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        age = s.gc.api.time.now() - alice.created
        assert 3 < age < 8
        # Somebody sets the cluster's clock an hour ahead: the next answers tell.
        s.world.clock_offset = 3600.0
        await advance(500)
        await s.collected(alice="OverAge")


@pytest.mark.parametrize("stamp", [True, False])
async def test_an_owner_on_a_node_whose_clock_is_ahead(tmp_path: Path, stamp: bool) -> None:
    async with scene(tmp_path, world=World(stamp=stamp, skews={"node1": 10.0})) as s:
        await s.open("alice")
        await advance(120)
        assert s.gc.collected() == {}
        # A collector that starts now has not seen it begin.
        s.gc.stop.set()
        await eventually(s.gc.task.done)
        (tmp_path / "2").mkdir()
        async with running(s.world.url, tmp_path / "2") as later:
            await later.synced()
            await advance(120)
            assert later.collected() == {}


async def test_a_session_on_a_node_whose_clock_is_far_ahead(tmp_path: Path) -> None:
    async with scene(tmp_path, world=World(stamp=True, skews={"node1": 130.0})) as s:
        await advance(200)
        await s.open("alice")
        await advance(200)
        assert s.gc.collected() == {}
        assert s.world.lost_live() == []


@pytest.mark.parametrize("code", [200, 503])
async def test_one_wrong_date_ages_nobody(tmp_path: Path, code: int) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        s.world.faults.clock_offset = 7200.0
        if code != 200:
            s.world.faults.add(Fault("status", verb="watch", code=code, times=1))
        asked = len(s.world.server.requests)
        s.world.faults.end_watches(resource="deployments")
        while len(s.world.server.requests) == asked:
            await advance(0.2)
        s.world.faults.clock_offset = 0.0
        await advance(30)
        assert s.gc.collected() == {}
        assert s.gc.api.time.now() <= s.world.store.now()


@pytest.mark.parametrize("ahead", [7200.0, -7200.0])
async def test_a_wrong_date_from_the_start_deletes_nobody(ahead: float, tmp_path: Path) -> None:
    async with World() as world:
        world.deploy()
        await world.ready()
        world.open("alice")
        world.faults.clock_offset = ahead
        async with running(world.url, tmp_path) as gc:
            await gc.synced()
            world.faults.clock_offset = 0.0
            await advance(60)
            assert gc.collected() == {}
            assert world.lost_live() == []
            assert gc.api.time.sure
            assert abs(gc.api.time.now() - world.store.now()) < 1.1
            # And it does its work.
            world.crash()
            await advance(75)
            await eventually(lambda: gc.collected() == {"alice": "Ownerless"})


async def test_a_wrong_date_from_the_start_makes_nobody_old_enough_to_stay(tmp_path: Path) -> None:
    # By such a date all that runs has started in the future, and must have started by now at the latest.
    async with World(stamp=True, images={"late": Program(pull=125.0)}) as world:
        world.deploy()
        await world.ready()
        world.open("alice")
        world.open("bob", image="late")
        await advance(130)
        world.crash()
        await advance(5)
        world.faults.clock_offset = -7200.0
        async with running(world.url, tmp_path) as gc:
            await gc.synced()
            world.faults.clock_offset = 0.0
            await advance(75)
            await eventually(lambda: gc.collected() == {"alice": "Ownerless", "bob": "StartTimeout"})


async def test_the_clock_is_put_right_after_a_failure(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        s.world.crash()
        await advance(50)
        fault = s.world.faults.add(Fault("status", verb="delete", code=500))
        s.world.clock_offset = 10 * 86400.0
        for _ in range(4):
            s.world.faults.end_watches()
            await advance(10)
        await eventually(lambda: s.gc.logged("deletion_failed"))
        s.world.clock_offset = 0.0
        s.world.faults.end_watches()
        await advance(30)
        s.world.faults.lift(fault)
        await advance(200)
        await s.collected(alice="Ownerless")

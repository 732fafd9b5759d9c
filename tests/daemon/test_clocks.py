"""Clocks that are wrong, those of nodes and that of the API server: they cost nobody his session."""

from pathlib import Path

import pytest

from ssh_session_gc.sandbox import Fault, World
from ssh_session_gc.sandbox.node.programs import Program
from tests.daemon.scene import scene
from tests.harness import running
from tests.support import advance, eventually


async def test_ages_are_the_api_server_s_whatever_our_clock_says(tmp_path: Path) -> None:
    # The world's clock is days away from this machine's.
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        age = s.gc.api.time.now() - alice.created
        assert 3 < age < 8
        await advance(3585)
        assert s.gc.collected() == {}
        await advance(20)
        await s.collected(alice="OverAge")


@pytest.mark.parametrize("late", [False, True], ids=["seen to come", "there before"])
@pytest.mark.parametrize("logs", [True, False], ids=["logs", "no logs"])
@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
async def test_nobody_is_older_or_younger_because_the_clock_was_set(
    late: bool, logs: bool, ahead: float, tmp_path: Path
) -> None:
    async with World() as world:
        world.deploy()
        await world.ready()
        if late:
            world.open("alice")
            world.open("bob", annotations={"ssh-session-gc/ttl": "12h"})
            await advance(60)
        async with running(world.url, tmp_path, owner_logs=logs) as gc:
            await gc.synced()
            if not late:
                world.open("alice")
                world.open("bob", annotations={"ssh-session-gc/ttl": "12h"})
                await advance(60)
            await advance(30)
            world.clock_offset = ahead
            world.faults.end_watches()
            await advance(3480)
            assert gc.collected() == {}
            await advance(60)
            await eventually(lambda: gc.collected() == {"alice": "OverAge"}, "alice, after an hour")
            await advance(3600)
            assert gc.collected() == {"alice": "OverAge"}


@pytest.mark.parametrize("behind", [130.0, 3700.0, -130.0, -3700.0])
async def test_a_session_that_another_api_server_dated(behind: float, tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await advance(30)
        s.world.clock_offset = -behind  # it takes ContainerSSH's request; all others reach one that is right
        [alice] = [s.world.open("alice")]
        s.world.clock_offset = 0.0
        await advance(3590)
        assert s.gc.collected() == {}
        await advance(20)
        await s.collected(alice="OverAge")
        assert s.world.lost_live() == [alice]  # who stayed too long


async def test_a_session_that_seems_older_than_its_owner(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await advance(300)
        s.world.crash()
        while not s.world.containerssh.replicas:
            await advance(0.25)
        await advance(1)
        s.world.clock_offset = -6.0
        s.world.open("alice")  # who comes back at once
        s.world.clock_offset = 0.0
        await advance(600)
        assert s.gc.collected() == {}
        assert s.world.lost_live() == []


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
        fault = s.world.faults.add(Fault("status", verb="delete", code=500))
        await advance(75)
        await eventually(lambda: s.gc.logged("deletion_failed"))
        s.world.clock_offset = 10 * 86400.0
        for _ in range(4):
            s.world.faults.end_watches()
            await advance(10)
        s.world.clock_offset = 0.0
        s.world.faults.end_watches()
        await advance(30)
        s.world.faults.lift(fault)
        await advance(200)
        await s.collected(alice="Ownerless")


async def test_a_machine_that_slept_makes_nobody_younger(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        await advance(30)
        # Eight hours pass in which our own clock stands still.
        s.world.clock_offset = 8 * 3600.0
        before = s.gc.api.time.asleep()
        s.gc.api.time.asleep = lambda: before + 8 * 3600.0
        s.world.faults.end_watches()
        await advance(60)
        await s.collected(alice="OverAge")


async def test_a_log_is_read_on_though_the_clocks_were_set_back(tmp_path: Path) -> None:
    async with scene(tmp_path, stamp=True) as s:
        await s.open("alice")
        await advance(60)
        s.world.set_clock(-3600.0)
        s.world.faults.end_watches()
        await advance(60)
        [bob] = await s.open("bob")
        s.world.leave(bob)
        await advance(120)
        await s.collected(bob="Abandoned")

"""Whether the API server's time is certain, told by the log and by metrics; and what a machine does that slept."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from ssh_session_gc.core.clock import CONFIRMED_AFTER, CONFIRMED_AT_MOST
from ssh_session_gc.sandbox import Fault, World
from tests.daemon.scene import scene
from tests.harness import Running, running
from tests.support import advance, eventually

HOUR = 3600.0


def sleep(gc: Running, seconds: float) -> None:
    """Has the daemon's machine wake up from a sleep. The test moves the cluster's time on by itself."""
    before = gc.api.time.asleep()
    gc.api.time.asleep = lambda: before + seconds


@pytest.mark.parametrize("clocks", [(0.0, HOUR, 0.0), (HOUR, 0.0, 0.0), (0.0, 0.0, HOUR), (0.0, -HOUR)])
async def test_one_of_several_api_servers_with_another_clock(tmp_path: Path, clocks: Sequence[float]) -> None:
    async with World() as world:
        world.deploy()
        await world.ready()
        world.open("alice")
        await advance(20)
        world.faults.clocks = clocks
        async with running(world.url, tmp_path) as gc:
            await gc.synced()
            for _ in range(60):
                await advance(5)
                assert not gc.api.time.sure
                assert gc.value("server_time_certain") == 0
                assert gc.api.time.now() <= world.store.now()
            assert gc.collected() == {}
            assert gc.value("server_time_contradictions_total") > 100
            [line] = gc.logged("server_time_uncertain")
            assert line["cause"] == "answers disagree"
            assert abs(line["seconds"]) == pytest.approx(HOUR, abs=1.1)
            assert gc.logged("server_time_certain") == []
            # Somebody puts the clock right, and it goes on by itself.
            world.faults.clocks = (0.0,)
            await advance(CONFIRMED_AT_MOST + 5)
            await eventually(lambda: gc.api.time.sure)
            assert gc.value("server_time_certain") == 1
            assert len(gc.logged("server_time_certain")) == 1
            world.crash()
            await advance(75)
            await eventually(lambda: gc.collected() == {"alice": "Ownerless"})


async def test_what_ends_certainty_is_told_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        assert s.gc.value("server_time_contradictions_total") == 0
        await s.open("alice")
        await advance(CONFIRMED_AFTER)
        assert s.gc.value("server_time_certain") == 1
        # To be certain for the first time is no news.
        assert s.gc.logged("server_time_certain") == []
        s.world.faults.clocks = (0.0, 90.0)
        s.world.faults.end_watches()
        await advance(60)
        assert s.gc.value("server_time_certain") == 0
        s.world.faults.clocks = (0.0,)
        await advance(CONFIRMED_AT_MOST + 5)
        assert s.gc.value("server_time_certain") == 1
        assert len(s.gc.logged("server_time_uncertain")) == 1
        [line] = s.gc.logged("server_time_certain")
        assert abs(line["seconds"]) == pytest.approx(90.0, abs=1.1)
        assert abs(line["moved"]) < 1.1
        assert s.gc.collected() == {}


async def test_after_a_sleep_nothing_is_deleted_until_the_time_was_heard_anew(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        s.world.crash()
        await advance(50)
        assert s.gc.value("server_time_certain") == 1
        sleep(s.gc, HOUR / 2)
        s.world.clock_offset += HOUR / 2
        fault = s.world.faults.add(Fault("status", code=503))
        await advance(60)  # hers is due
        assert s.gc.value("server_time_certain") == 0
        assert s.deletions() == 0
        s.world.faults.lift(fault)
        await advance(120)
        await s.collected(alice="Ownerless")
        [line] = s.gc.logged("server_time_uncertain")
        assert (line["cause"], line["seconds"]) == ("this machine slept", HOUR / 2)
        [line] = s.gc.logged("server_time_certain")
        assert line["moved"] == pytest.approx(HOUR / 2, abs=2.0)
        # No answer contradicted another one.
        assert s.gc.value("server_time_contradictions_total") == 0


async def test_a_deletion_in_line_is_not_sent_after_a_sleep(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        s.world.crash()
        failing = s.world.faults.add(Fault("status", verb="delete", code=500))
        await advance(60.2)
        await eventually(lambda: s.world.server.requests[-1].verb == "delete", "the first attempt")
        sleep(s.gc, HOUR)
        s.world.faults.lift(failing)
        tried = s.deletions()
        # The next attempt comes before the time is certain, and is not sent.
        await advance(4)
        assert not s.gc.api.time.sure
        assert s.deletions() == tried
        await advance(60)
        await s.collected(alice="Ownerless")


async def test_a_short_pause_is_no_sleep(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await advance(CONFIRMED_AFTER + 5)
        sleep(s.gc, 0.3)
        assert s.gc.api.time.sure
        # But many of them are.
        sleep(s.gc, 0.3)
        assert not s.gc.api.time.sure


async def test_an_answer_that_was_asked_for_before_the_sleep_confirms_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await advance(CONFIRMED_AFTER + 5)
        time = s.gc.api.time
        sent = asyncio.get_running_loop().time()
        sleep(s.gc, HOUR)
        for _ in range(2):
            time.heard("Thu, 01 Jan 1970 00:00:00 GMT", sent)
            assert not time.sure
        await advance(CONFIRMED_AFTER + 5)
        await eventually(lambda: time.sure)
        assert s.gc.value("server_time_contradictions_total") == 0

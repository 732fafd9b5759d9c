"""How the daemon stops, whatever it is at."""

import asyncio
from pathlib import Path

from ssh_session_gc.daemon.daemon import Daemon
from ssh_session_gc.sandbox import Fault, World
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics
from tests.daemon.scene import scene
from tests.harness import connected, running
from tests.support import advance, eventually


async def test_stopping_begins_nothing_new_and_lets_what_is_under_way_finish(tmp_path: Path) -> None:
    async with scene(tmp_path, concurrency=2) as s:
        await s.open("a", "b", "c", "d")
        s.world.faults.add(Fault("slow", verb="delete", seconds=0.5))
        await advance(3590)  # a little before they are too old
        while len(s.under_way()) < 2:
            await advance(0.1)
        s.gc.stop.set()
        await advance(2)
        await eventually(s.gc.task.done)
        assert s.deletions() == 2
        assert len(s.gc.collected()) == 2


async def test_stopping_does_not_wait_for_what_never_answers(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        s.world.faults.add(Fault("stall", verb="delete"))
        s.world.faults.add(Fault("stall", verb="create"))
        await advance(3600)
        await eventually(s.under_way)
        s.gc.stop.set()
        await advance(2)
        await eventually(s.gc.task.done)


async def test_stopping_while_the_server_does_not_answer(tmp_path: Path) -> None:
    async with World() as world:
        world.faults.add(Fault("stall", verb="get", resource="namespaces"))
        async with running(world.url, tmp_path) as gc:
            await eventually(lambda: world.server.requests)
            gc.stop.set()
            async with asyncio.timeout(5):
                await asyncio.wait({gc.task})


async def test_being_killed_at_the_start_leaves_nothing_behind() -> None:
    async with World() as world:
        world.faults.add(Fault("stall", verb="get", resource="/version"))
        before = asyncio.all_tasks()
        metrics = Metrics(dry_run=False)
        async with connected(world.url, observer=metrics) as api:
            stop = asyncio.Event()
            task = asyncio.create_task(Daemon(Settings(), api, metrics).run(stop, "127.0.0.1", 0))
            await eventually(lambda: any("_greet" in repr(each) for each in asyncio.all_tasks()))
            task.cancel()
            await asyncio.wait({task})
            assert not any("daemon" in repr(each) for each in asyncio.all_tasks() - before)

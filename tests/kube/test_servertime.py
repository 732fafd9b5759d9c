"""The API server's time, as its answers tell."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate

import pytest
from aiohttp import web

from ssh_session_gc.core.clock import CONFIRMED_AFTER
from ssh_session_gc.kube import sleep
from ssh_session_gc.kube.errors import ApiError
from ssh_session_gc.sandbox import Fault, World
from tests.harness import connected
from tests.support import advance, eventually


async def test_the_time_is_the_servers() -> None:
    async with World() as world, connected(world.url) as api:
        with pytest.raises(ValueError, match="no answer"):
            api.time.now()
        set_to: list[float] = []
        api.time.subscribe(set_to.append)
        await api.version()
        assert world.store.now() - 1.1 < api.time.now() <= world.store.now()
        for _ in range(12):
            await advance(0.3)
            await api.version()
        # Many answers tell more than one.
        assert world.store.now() - 0.35 < api.time.now() <= world.store.now()
        assert [moved for moved in set_to if moved] == []
        world.clock_offset = 86400.0
        await api.version()
        assert not any(abs(moved) > 1 for moved in set_to)
        # It asks again by itself, and believes it then.
        await advance(11)
        await eventually(lambda: any(abs(moved) > 1 for moved in set_to))
        assert world.store.now() - 1.1 < api.time.now() <= world.store.now()
        assert [moved for moved in set_to if abs(moved) > 1] == [pytest.approx(86400.0, abs=1.1)]


async def test_servers_that_are_a_little_apart_leave_us_sure_of_the_time() -> None:
    async with World() as world, connected(world.url) as api:
        world.faults.clocks = (0.0, -0.1, -0.4)
        became: list[bool] = []
        api.time.subscribe(lambda _: became.append(api.time.sure))
        for _ in range(30):
            await api.version()
            await advance(0.7)
        assert became == [True]
        assert world.store.now() - 1.1 < api.time.now() <= world.store.now() - 0.1


async def test_a_refusal_does_not_tell_the_time() -> None:
    async with World() as world, connected(world.url) as api:
        await api.version()
        before = api.time.now()
        # This may be a proxy's, however long it goes on.
        world.faults.clock_offset = -7200.0
        fault = world.faults.add(Fault("status", code=503))
        for _ in range(5):
            with pytest.raises(ApiError):
                await api.version()
            await advance(5)
        assert api.time.now() >= before
        world.faults.lift(fault)
        await api.version()
        await advance(11)
        await eventually(lambda: api.time.now() < before - 7000)


HOUR = 3600.0


@asynccontextmanager
async def answering(headers: Callable[[web.Request], dict[str, str]]) -> AsyncIterator[str]:
    """A server that answers every request with these headers; yields its address."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({}, headers=headers(request))

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def date(ahead: float = 0.0) -> dict[str, str]:
    """The header of a server whose clock is so far ahead of the event loop's, which stands for the time."""
    return {"Date": formatdate(1e9 + asyncio.get_running_loop().time() + ahead, usegmt=True)}


async def test_a_balancer_that_chooses_by_connection_hides_nobody() -> None:
    servers, chosen = itertools.cycle((HOUR, 0.0, 0.0)), dict[object, float]()

    def by_connection(request: web.Request) -> dict[str, str]:
        if request.transport not in chosen:
            chosen[request.transport] = next(servers)
        return date(chosen[request.transport])

    async with answering(by_connection) as url, connected(url) as api:
        for _ in range(30):
            await api.version()
            await advance(2)
            assert not api.time.sure
        # Not only who asks for the time by itself was answered by more than one of them.
        assert len(chosen) > 30


async def test_what_comes_out_of_a_cache_does_not_tell_the_time() -> None:
    cached = False

    def sometimes_cached(_: web.Request) -> dict[str, str]:
        return {"Date": "Thu, 01 Jan 1970 00:00:00 GMT", "Age": "7"} if cached else date()

    async with answering(sometimes_cached) as url, connected(url) as api:
        cached = True
        for _ in range(5):
            await api.version()
            await advance(3)
        assert not api.time.known
        cached = False
        await api.version()
        cached = True
        await advance(20)
        assert api.time.known
        assert not api.time.sure
        doubts: list[object] = []
        api.time.doubts.subscribe(doubts.append)
        cached = False
        await advance(CONFIRMED_AFTER + 5)
        await eventually(lambda: api.time.sure)
        cached = True
        await api.version()
        assert api.time.sure
        assert doubts == []


async def test_a_cache_that_does_not_say_so_confirms_nothing() -> None:
    stale: dict[str, str] = {}

    def cached(_: web.Request) -> dict[str, str]:
        return stale or date()

    async with answering(cached) as url, connected(url) as api:
        stale = date()
        for _ in range(20):
            await api.version()
            await advance(3)
            assert not api.time.sure
        stale = {}
        await advance(70)
        await eventually(lambda: api.time.sure)


async def test_requests_are_not_to_be_answered_out_of_a_cache() -> None:
    asked: list[str] = []

    def note(request: web.Request) -> dict[str, str]:
        asked.append(request.headers["Cache-Control"])
        return date()

    async with answering(note) as url, connected(url) as api:
        await api.version()
    assert asked == ["no-cache"]


async def test_after_a_sleep_the_time_is_asked_for_at_the_first_look() -> None:
    async with World() as world, connected(world.url) as api:
        await api.version()
        await advance(CONFIRMED_AFTER + 2)
        await eventually(lambda: api.time.sure)
        await advance(20)
        api.time.asleep = lambda: sleep.asleep() + HOUR
        asked = len(world.server.requests)
        assert not api.time.sure
        assert len(world.server.requests) == asked
        await advance(CONFIRMED_AFTER + 2)
        await eventually(lambda: api.time.sure)
        assert len(world.server.requests) > asked + 5


def test_a_machine_that_is_awake_has_not_slept(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sleep.asleep()
    assert not sleep.slept(before, sleep.asleep())
    # Where no clock counts the sleep, the wall clock does.
    monkeypatch.setattr("sys.platform", "darwin")
    before = sleep.asleep()
    assert not sleep.slept(before, sleep.asleep())
    wall = time.time() + 60.0
    monkeypatch.setattr("time.time", lambda: wall)
    assert sleep.slept(before, sleep.asleep())

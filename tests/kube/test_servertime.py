"""The API server's time, as its answers tell."""

import pytest

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

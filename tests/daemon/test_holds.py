"""Each reason for which nothing may be deleted, alone."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ssh_session_gc.core.clock import CONFIRMED_AFTER
from ssh_session_gc.daemon.election import Elector
from ssh_session_gc.daemon.holds import FORBIDDEN_RETRY, Holds
from ssh_session_gc.kube.client import Api
from ssh_session_gc.sandbox import World
from ssh_session_gc.settings import LeaseRef
from tests.harness import connected
from tests.support import advance, eventually

LEASE = LeaseRef("containerssh", "ssh-session-gc")
UNSURE = "the API server's time is not sure"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """An API server that nothing was asked of yet."""
    async with World() as world, connected(world.url) as made:
        yield made


async def sure(api: Api) -> None:
    """Returns when the API server's time is sure."""
    await api.version()
    await advance(CONFIRMED_AFTER + 1)
    await eventually(lambda: api.time.sure)


async def test_until_the_time_is_sure_nothing_may_be_deleted(api: Api) -> None:
    holds = Holds(Elector(api, None), api.time)
    assert holds.why() == UNSURE
    await api.version()
    # One answer alone may be wrong.
    assert holds.why() == UNSURE
    await sure(api)
    assert holds.why() is None


async def test_until_we_lead_nothing_may_be_deleted(api: Api) -> None:
    await sure(api)
    elector = Elector(api, LEASE)
    holds = Holds(elector, api.time)
    assert holds.why() == "another replica leads"
    running = asyncio.create_task(elector.run())
    await eventually(elector.leads)
    assert holds.why() is None
    await elector.give_back()
    assert holds.why() == "another replica leads"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_missing_permission_holds_deletions_for_a_minute_and_no_session_in_the_queue(api: Api) -> None:
    await sure(api)
    holds = Holds(Elector(api, None), api.time)
    assert (holds.forbidden, holds.forbidden_for()) == (False, 0.0)
    holds.forbid()
    assert holds.forbidden
    assert 0.0 < holds.forbidden_for() <= FORBIDDEN_RETRY
    # Somebody has to try whether it is there by now.
    assert holds.why() is None
    await advance(FORBIDDEN_RETRY)
    assert (holds.forbidden, holds.forbidden_for()) == (True, 0.0)
    holds.forbid()
    holds.allow()
    assert (holds.forbidden, holds.forbidden_for()) == (False, 0.0)

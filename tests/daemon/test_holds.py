"""Why nothing may be deleted: each reason by itself, and that it ends."""

from pathlib import Path

from ssh_session_gc.daemon.election import Elector
from ssh_session_gc.daemon.holds import FORBIDDEN_RETRY, Holds
from ssh_session_gc.sandbox import World
from ssh_session_gc.settings import LeaseRef
from tests.harness import connected
from tests.support import advance


async def test_each_reason_by_itself(tmp_path: Path) -> None:
    async with World() as world, connected(world.url, tmp_path) as api:
        standby = Holds(Elector(api, LeaseRef("containerssh", "ssh-session-gc")), api.time)
        alone = Holds(Elector(api, None), api.time)
        await api.version()
        assert alone.why() == "the API server's time is not sure"
        assert standby.why() == "another replica leads"
        await advance(11)
        assert alone.why() is None
        assert standby.why() == "another replica leads"


async def test_a_missing_permission_holds_for_a_while_or_until_it_is_there(tmp_path: Path) -> None:
    async with World() as world, connected(world.url, tmp_path) as api:
        holds = Holds(Elector(api, None), api.time)
        assert (holds.forbidden, holds.forbidden_for()) == (False, 0.0)
        holds.forbid()
        assert holds.forbidden
        assert FORBIDDEN_RETRY - 1 < holds.forbidden_for() <= FORBIDDEN_RETRY
        await advance(FORBIDDEN_RETRY + 1)
        # It may be tried again, and is not reported as new where it fails again.
        assert (holds.forbidden, holds.forbidden_for()) == (True, 0.0)
        holds.forbid()
        holds.allow()
        assert (holds.forbidden, holds.forbidden_for()) == (False, 0.0)

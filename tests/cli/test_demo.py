"""The demo tells its story to a good end, and would not hide a bad one."""

import asyncio
import re

import pytest
import structlog

from ssh_session_gc import demo
from ssh_session_gc.core.model import Reason
from ssh_session_gc.sandbox import World
from ssh_session_gc.sandbox.api.objects import PODS
from tests.support import advance

LAST_LINE = re.compile(
    r"demo: sessions=[1-9]\d* collected=[1-9]\d* OverAge=[1-9]\d* Ownerless=[1-9]\d* Abandoned=[1-9]\d* "
    r"StartTimeout=[1-9]\d* Finished=[1-9]\d* live_sessions_lost=0 orphans_left=0"
)


@pytest.fixture(autouse=True)
def _log_as_before() -> None:
    """Undoes how the demo sets up the log."""
    structlog.reset_defaults()


async def played() -> int:
    """Runs the demo with the time skipped, for at most a minute and a half of it; returns its exit status."""
    playing = asyncio.create_task(demo.play("127.0.0.1", 0, keep_running=False))
    for _ in range(900):
        if playing.done():
            break
        await advance(0.1)
    return await playing


async def test_the_story(capsys: pytest.CaptureFixture[str]) -> None:
    assert await played() == 0
    lines = capsys.readouterr().out.splitlines()
    assert LAST_LINE.fullmatch(lines[-1]), lines[-1]
    assert re.search(r"metrics: http://127.0.0.1:\d+/metrics", "\n".join(lines))
    for reason in Reason:
        assert any(f": {reason}: " in line for line in lines)
    assert "still in their sessions: dave, tina" in lines[-2]


async def test_a_lost_session_is_no_good_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    crash = World.crash

    def crash_and_kill(world: World, process: object = None) -> None:
        crash(world, process)  # type: ignore[arg-type]
        tina = next(s for s in world.containerssh.sessions.values() if s.user == "tina")
        world.store.delete(PODS, "ssh-sessions", tina.name)

    monkeypatch.setattr(World, "crash", crash_and_kill)
    assert await played() == 1
    assert "live_sessions_lost=1" in capsys.readouterr().out

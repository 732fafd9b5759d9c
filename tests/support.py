"""An event loop whose time can be moved forward, and how to wait in tests without deciding by the clock.

Sockets are real and so is what goes over them; only ``loop.time()``, which every timer and every clock of the daemon
and the sandbox goes by, can jump ahead. So an hour passes in a test in the time that it takes to run what is due.
"""

import asyncio
import math
from collections.abc import Callable
from typing import cast

PATIENCE = 60.0
"""Real seconds after which what has not happened never will. Only a failing test waits so long."""
QUIET = 3
"""Glances in a row that find nothing going on, after which all that can happen has happened."""
GLANCE = 0.001
"""Real seconds between two glances: what was written to a socket takes a moment to come out at its other end."""


class SkippingLoop(asyncio.SelectorEventLoop):
    """A loop whose clock runs as always, plus what has been skipped."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0
        self.busy = False
        """Whether anything but the waiting test itself has run since this was last set to False."""

    def time(self) -> float:
        """Seconds, monotonic."""
        return super().time() + self.skipped

    def skip(self, seconds: float) -> None:
        """Moves the clock forward at once; timers that are due then fire in the next turn."""
        self.skipped += max(0.0, seconds)

    def _process_events(self, event_list: list[object]) -> None:
        # Called once a turn with what the selector found; ours to see that sockets are still being served.
        self.busy |= bool(event_list)
        super()._process_events(event_list)  # type: ignore[misc]

    def idle(self) -> bool:
        """Whether nothing is ready to run; to be asked from a callback, which is itself not counted."""
        return not self.busy and not self._ready  # type: ignore[attr-defined]

    def next_timer(self) -> float:
        """When the earliest timer fires, on this loop's clock; infinity without one."""
        # asyncio has no public way to ask. The heap's name and its entries' have not changed since Python 3.4.
        scheduled = cast("list[asyncio.TimerHandle]", self._scheduled)  # type: ignore[attr-defined]
        return min((handle.when() for handle in scheduled if not handle.cancelled()), default=math.inf)


async def advance(seconds: float) -> None:
    """Moves the time forward from timer to timer, and lets everything run that each of them sets off."""
    loop = cast(SkippingLoop, asyncio.get_running_loop())
    until = loop.time() + seconds
    while True:
        await settle()
        now = loop.time()
        if now >= until:
            return
        loop.skip(min(loop.next_timer(), until) - now)


async def settle() -> None:
    """Returns when nothing more happens without the time moving on, as far as a few milliseconds can tell. A busy
    machine may take longer: what a test waits for belongs into ``eventually``, and this only shortens the wait."""
    loop = cast(SkippingLoop, asyncio.get_running_loop())
    quiet = 0
    while quiet < QUIET:
        loop.busy = False
        await asyncio.sleep(GLANCE)
        quiet = quiet + 1 if loop.idle() else 0


async def eventually(condition: Callable[[], object], what: str = "") -> None:
    """Returns as soon as the condition holds, without moving the time. Fails the test where it never does."""
    loop = cast(SkippingLoop, asyncio.get_running_loop())
    patience = loop.time() - loop.skipped + PATIENCE
    while not condition():
        assert loop.time() - loop.skipped < patience, f"never happened: {what or condition}"
        await asyncio.sleep(0.001)

"""Whether this machine has slept: while it is suspended, the clock that everything here goes by stands still.

Knows which clock goes on meanwhile. Does not know what follows from a sleep (``servertime``, ``daemon.election``).
A virtual machine that its host holds still has no clock that goes on, and tells nothing.
"""

import sys
import time

NOTICED = 0.5
"""Seconds of sleep that matter. Less passes for a clock that is a little apart."""


def asleep() -> float:
    """Seconds that this machine has slept since some moment. Only by how much it changes means anything."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    # Elsewhere the wall clock goes on. Somebody who sets it passes for a sleep, which costs a few seconds.
    return time.time() - time.monotonic()


def slept(since: float, now: float) -> bool:
    """Whether it has slept between these two values of ``asleep``, or the clocks moved apart in some other way."""
    return abs(now - since) > NOTICED

"""What time it is on the API server, as its answers tell.

Knows when the time is sure enough to delete by, what makes it unsure, and tells whoever subscribed that it moved.
Does not know how the ``Date`` headers narrow it down (``core.clock``), and asks nobody: the client does.
"""

import asyncio
import math
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from ssh_session_gc.core.clock import ServerClock
from ssh_session_gc.kube.listeners import Listeners
from ssh_session_gc.kube.sleep import asleep, slept

NO_DATE = "sends no Date, which ages go by: is a proxy in between?"
"""What to say of a server that does not tell the time."""
JUMP = 1.0
"""Seconds by which the time must move to be worth a word. Less is what ``Date`` loses by its whole seconds."""


class Cause(StrEnum):
    """What makes the time unsure."""

    DISAGREE = "answers disagree"
    SLEPT = "this machine slept"


class Doubt(NamedTuple):
    """A reason not to be sure of the time any more."""

    cause: Cause
    seconds: float
    """By how much an answer was ahead of those before, or for how long the machine slept."""


class ServerTime:
    """The API server's clock."""

    def __init__(self) -> None:
        self._clock = ServerClock()
        self._moved: Listeners[float] = Listeners()
        self.doubts: Listeners[Doubt] = Listeners()
        """Told of each answer that contradicts those before, and of each sleep that is noticed."""
        self._local = asyncio.get_running_loop().time
        self.asleep: Callable[[], float] = asleep
        """Seconds that this machine has slept; a test puts another clock here."""
        self._slept = self.asleep()
        """What it had slept when that was last noticed."""
        self._owed = 0.0
        """Seconds of sleep by which the clock has yet to move."""
        self.passed = 0.0
        """Seconds of the last move that this machine slept through: so much time has really passed, and nobody set a
        clock."""
        self._noticed = -math.inf
        """Local reading at which it was noticed. An answer that was asked for before may be of before the sleep."""

    @property
    def sure(self) -> bool:
        """Whether nothing speaks against ``now``: all answers for some seconds agree, and our own clock has not stood
        still since. One answer alone may be wrong, and whoever goes by it may take every session for over age. To ask
        is to notice a sleep, so that nothing is done in between."""
        self._notice()
        return self._clock.sure

    @property
    def known(self) -> bool:
        """Whether any answer so far had a date."""
        return self._clock.known

    def now(self) -> float:
        """Epoch seconds. Raises ValueError before the first answer that tells the time."""
        return self._clock.now(self._local())

    def latest(self) -> float:
        """The latest that it can be now, in epoch seconds; infinity before the first answer that tells the time."""
        return self._clock.latest(self._local())

    def subscribe(self, listener: Callable[[float], None]) -> Callable[[], None]:
        """Has the listener told by how many seconds the clock moved, when that is more than one, and when we become
        sure of it, or unsure. Returns what ends that."""
        return self._moved.subscribe(listener)

    def heard(self, header: str | None, sent: float) -> None:
        """Takes in the ``Date`` of an answer to a request that was sent at ``sent`` (``loop.time()``)."""
        self._notice()
        if sent <= self._noticed or (date := _date(header or "")) is None:
            return  # a proxy without a clock has no date (RFC 9110, 6.6.1)
        clock = self._clock.answered(date, sent, self._local())
        disagrees = clock.contradictions > self._clock.contradictions
        self._become(clock, Doubt(Cause.DISAGREE, clock.apart) if disagrees else None)

    def _notice(self) -> None:
        before, now = self._slept, self.asleep()
        if slept(before, now):
            self._slept, self._noticed = now, self._local()
            self._owed += max(0.0, now - before)
            self._become(self._clock.woken(), Doubt(Cause.SLEPT, now - before))

    def _become(self, clock: ServerClock, doubt: Doubt | None) -> None:
        before, self._clock = self._clock, clock
        if doubt is not None:
            self.doubts.tell(doubt)
        moved = clock.low - before.low if before.known else 0.0
        if abs(moved) > JUMP or clock.sure != before.sure:
            self.passed = min(self._owed, max(0.0, moved))
            self._owed = 0.0 if abs(moved) > JUMP else self._owed
            self._moved.tell(moved)


@lru_cache(maxsize=8)  # many answers have the same second
def _date(header: str) -> float | None:
    try:
        return parsedate_to_datetime(header).replace(tzinfo=UTC).timestamp()  # it is always GMT
    except (ValueError, OverflowError):
        return None

"""What time it is on the API server, as its answers tell.

Knows when the time is sure enough to delete by, and tells whoever subscribed that it moved. Does not know how the
``Date`` headers narrow it down (``core.clock``), and asks nobody: the client does.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache

from ssh_session_gc.core.clock import ServerClock
from ssh_session_gc.kube.listeners import Listeners

NO_DATE = "sends no Date, which ages go by: is a proxy in between?"
"""What to say of a server that does not tell the time."""
JUMP = 1.0
"""Seconds by which the time must move to be worth a word. Less is what ``Date`` loses by its whole seconds."""


class ServerTime:
    """The API server's clock."""

    def __init__(self) -> None:
        self._clock = ServerClock()
        self._moved: Listeners[float] = Listeners()
        self._local = asyncio.get_running_loop().time

    @property
    def sure(self) -> bool:
        """Whether nothing speaks against ``now``: several answers, some seconds apart, agree. One alone may be wrong,
        and whoever goes by it may take every session for over age."""
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
        if (date := _date(header or "")) is None:
            return  # a proxy without a clock (RFC 9110, 6.6.1)
        before, self._clock = self._clock, self._clock.answered(date, sent, self._local())
        moved = self._clock.low - before.low if before.known else 0.0
        if abs(moved) > JUMP or self._clock.sure != before.sure:
            self._moved.tell(moved)


@lru_cache(maxsize=8)  # many answers have the same second
def _date(header: str) -> float | None:
    try:
        return parsedate_to_datetime(header).replace(tzinfo=UTC).timestamp()  # it is always GMT
    except (ValueError, OverflowError):
        return None

"""Which session is to be looked at when.

Knows instants and uids, and forgets what was set for a session before. Has no clock and waits for nothing.
"""

import heapq
from collections.abc import Iterator

SLACK = 1000
"""Void entries that are let be: sweeping them out costs more than keeping them."""


class Timers:
    """One instant for each uid at the most.

    Sessions are created in whole seconds, so that many are due in the same instant: a heap of instants, each with a
    list of uids, takes a tenth of the memory of a heap of pairs.
    """

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._waiting: dict[float, list[str]] = {}
        """An entry is void unless ``_at`` has the same instant for it."""
        self._instants: list[float] = []
        """A heap of the keys of ``_waiting``."""
        self._entries = 0

    def __len__(self) -> int:
        """How many uids there are."""
        return len(self._at)

    def set(self, uid: str, at: float) -> bool:
        """Sets the one instant of this uid. Returns whether it may be the next of all."""
        if self._at.get(uid) != at:
            self._at[uid] = at
            self._add(uid, at)
            if self._entries > 2 * len(self._at) + SLACK:
                self._sweep()
        return at == self._instants[0]

    def cancel(self, uid: str) -> None:
        """Forgets this uid."""
        self._at.pop(uid, None)

    def next(self) -> float | None:
        """The earliest instant that is set; None where there is none."""
        while self._instants:
            at = self._instants[0]
            waiting = self._waiting[at]
            while waiting and self._at.get(waiting[-1]) != at:
                waiting.pop()
                self._entries -= 1
            if waiting:
                return at
            del self._waiting[heapq.heappop(self._instants)]
        return None

    def take(self, now: float) -> Iterator[str]:
        """Takes out the uids whose time has come, the earliest first."""
        while (at := self.next()) is not None and at <= now:
            uid = self._waiting[at].pop()
            self._entries -= 1
            del self._at[uid]
            yield uid

    def _add(self, uid: str, at: float) -> None:
        waiting = self._waiting.get(at)
        if waiting is None:
            self._waiting[at] = [uid]
            heapq.heappush(self._instants, at)
        else:
            waiting.append(uid)
        self._entries += 1

    def _sweep(self) -> None:
        # Sessions that ended long before they were due leave void entries behind.
        self._waiting, self._instants, self._entries = {}, [], 0
        for uid, at in self._at.items():
            self._add(uid, at)

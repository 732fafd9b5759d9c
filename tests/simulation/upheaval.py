"""What happens to the clocks of API servers, each with a weight: one that is wrong dates a session, one is set.

Acts on the world only. Does not know what the collectors make of it.
"""

import random
from collections.abc import Callable
from typing import Any

from ssh_session_gc.sandbox import World

APART = (0.4, 6.0, 130.0, 3700.0)
"""Seconds by which an API server's clock may be wrong."""


class Upheaval:
    """Sets clocks, and has sessions dated by wrong ones."""

    def __init__(
        self, rng: random.Random, world: World, open_session: Callable[[], Any], was_set: Callable[[], Any]
    ) -> None:
        """``open_session`` has somebody connect. ``was_set`` is told that a clock was set."""
        self._rng, self._world, self._open, self._was_set = rng, world, open_session, was_set
        self._dated: set[str] = set()
        self.unknowable: set[str] = set()
        """uids of those that a wrong clock dated and that a collector has not seen appear."""
        self.late: set[str] = set()
        """uids of sessions that a collector heard of late, or that were there before it."""

    def weights(self) -> dict[Callable[[], Any], float]:
        """Everything that may happen, and how often in proportion."""
        return {self.open_elsewhere: 3, self.set_clock: 0.7}

    def open_elsewhere(self) -> None:
        """Somebody connects, and the request for the Pod is taken by an API server whose clock is wrong."""
        wrong = self._wrong()
        self._world.store.dates_ahead = wrong
        before = set(self._world.containerssh.sessions)
        try:
            self._open()
        finally:
            self._world.store.dates_ahead = 0.0
            self._dated |= self._world.containerssh.sessions.keys() - before

    def heard_late(self, uid: str) -> None:
        """A collector has not seen this session appear."""
        self.late.add(uid)
        if uid in self._dated:
            self.unknowable.add(uid)

    def collector_begins(self) -> None:
        """A collector begins that believes whatever its first list says."""
        self.unknowable |= self._dated

    def set_clock(self) -> None:
        """The API server's clock is set, and so are the nodes' or not. Who is there was dated by another one."""
        self._dated |= self._world.containerssh.sessions.keys()
        wrong = self._wrong()
        # A node that is somewhat beyond the tolerance is seen through only as far as it shows; an hour does.
        self._world.set_clock(wrong, nodes=abs(wrong) < 1000.0 or self._rng.random() < 0.5)
        self._was_set()

    def _wrong(self) -> float:
        return self._rng.choice(APART) * self._rng.choice([-1.0, 1.0])

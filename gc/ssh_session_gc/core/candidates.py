"""Incarnations in the order of their starts: one look tells which of them could have created a session.

Knows an index. Does not know how it is filled (``owners``) or what a session without an owner is (``ownership``).
"""

import math
from bisect import bisect_right
from collections.abc import Iterable

from ssh_session_gc.core.model import Incarnation, Ownership


class Candidates:
    """Incarnations in the order of their starts. A question costs the same however many have come and gone."""

    def __init__(self, owners: Iterable[tuple[float, Incarnation]]) -> None:
        """``owners``: each with the moment from which it could have created sessions."""
        self._alive: tuple[float, Ownership | None] = math.inf, None
        self._starts: list[float] = []
        self._last: list[Incarnation] = []
        """Of those that have ended and started by then, the one that ended last."""
        for start, owner in sorted(owners, key=lambda each: each[0]):
            if not owner.alive:
                last = self._last[-1] if self._last else owner
                self._starts.append(start)
                self._last.append(owner if (owner.finished or 0.0) >= (last.finished or 0.0) else last)
            elif self._alive[1] is None:
                self._alive = start, Ownership(owner, None, True)

    def alive(self, latest: float) -> Ownership | None:
        """The ownership by the first that lives, if it started by ``latest``. All sessions share this object."""
        start, owned = self._alive
        return owned if start <= latest else None

    def last(self, latest: float, earliest: float) -> Incarnation | None:
        """Of those that started by ``latest``, the one that ended last, if it ended at ``earliest`` or later."""
        found = bisect_right(self._starts, latest)
        last = self._last[found - 1] if found else None
        return last if last is not None and (last.finished or 0.0) >= earliest else None


NOBODY = Candidates(())

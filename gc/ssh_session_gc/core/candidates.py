"""Incarnations in the order of their starts: one look tells which of them could have created a session.

Knows an index. Does not know how it is filled (``owners``) or what a session without an owner is (``ownership``).
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping

from ssh_session_gc.core.gauge import Idle, common
from ssh_session_gc.core.model import Incarnation, Ownership, Run


class Candidates:
    """Incarnations in the order of their starts. A question costs the same however many have come and gone."""

    def __init__(self, owners: Iterable[tuple[float, Incarnation]], idle: Mapping[Run, Idle]) -> None:
        """``owners``: each with the moment from which it could have created sessions. ``idle``: when nobody was
        connected to which."""
        self._alive_from: list[float] = []
        self._alive: list[Ownership] = []
        """By the first that lives, and by all that had started by then, nobody connected."""
        self._starts: list[float] = []
        self._last: list[Incarnation] = []
        """Of those that have ended and started by then, the one that ended last."""
        for start, owner in sorted(owners, key=lambda each: each[0]):
            if not owner.alive:
                last = self._last[-1] if self._last else owner
                self._starts.append(start)
                self._last.append(owner if (owner.finished or 0.0) >= (last.finished or 0.0) else last)
            else:
                stretch, first = idle.get(owner.run), owner
                if self._alive:
                    stretch, first = common((self._alive[-1].idle, stretch)), self._alive[0].owner or owner
                self._alive_from.append(start)
                self._alive.append(Ownership(first, None, True, stretch))

    def alive(self, latest: float) -> Ownership | None:
        """The ownership by the first that lives, if it started by ``latest``. Sessions share this object."""
        found = bisect_right(self._alive_from, latest)
        return self._alive[found - 1] if found else None

    def last(self, latest: float, earliest: float) -> Incarnation | None:
        """Of those that started by ``latest``, the one that ended last, if it ended at ``earliest`` or later."""
        found = bisect_right(self._starts, latest)
        last = self._last[found - 1] if found else None
        return last if last is not None and (last.finished or 0.0) >= earliest else None


NOBODY = Candidates((), {})

"""Why nothing may be deleted at present.

Knows what keeps sessions in the queue (another replica leads, the time is not sure) and what turns them back at the
last moment (the permission is missing, which only a deletion shows). Does not know which sessions wait.
"""

import asyncio

from ssh_session_gc.daemon.election import Elector
from ssh_session_gc.kube.servertime import ServerTime

FORBIDDEN_RETRY = 60.0
"""Seconds until a forbidden deletion is tried again: somebody has to grant the permission first."""


class Holds:
    """What holds deletions back."""

    def __init__(self, elector: Elector, time: ServerTime) -> None:
        self._elector, self._time = elector, time
        self._local = asyncio.get_running_loop().time
        self._forbidden_until = 0.0

    def why(self) -> str | None:
        """Why no session may leave the queue; None where they may. Whoever is held judges all the same, so that it
        can say what is orphaned."""
        if not self._elector.leads():
            return "another replica leads"
        if not self._time.sure:
            return "the API server's time is not sure"
        return None

    def forbid(self) -> None:
        """Holds all deletions back for a while: the permission is missing."""
        self._forbidden_until = self._local() + FORBIDDEN_RETRY

    def allow(self) -> None:
        """Ends ``forbid``: a deletion was accepted, or would have been sent."""
        self._forbidden_until = 0.0

    @property
    def forbidden(self) -> bool:
        """Whether the permission was missing at the last attempt."""
        return bool(self._forbidden_until)

    def forbidden_for(self) -> float:
        """Seconds until a deletion may be tried although the permission was missing; 0 where it was not."""
        return max(0.0, self._forbidden_until - self._local())

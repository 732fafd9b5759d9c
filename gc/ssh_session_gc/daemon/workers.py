"""Deletes what was validated, as many sessions at a time as the settings allow.

Knows the way of one session from the line to its end. Does not know how a DELETE is sent (``deletion``) or what
follows from its answer (``outcome``).
"""

from ssh_session_gc.daemon.deletion import Deleter, Held
from ssh_session_gc.daemon.holds import Holds
from ssh_session_gc.daemon.limiter import Limiter
from ssh_session_gc.daemon.outcome import Outcomes
from ssh_session_gc.daemon.queue import Queue
from ssh_session_gc.daemon.validation import FreshOwners, Validation


class Workers:
    """The workers of one collector."""

    def __init__(
        self,
        queue: Queue,
        validation: Validation,
        holds: Holds,
        limiter: Limiter,
        deleter: Deleter,
        outcomes: Outcomes,
    ) -> None:
        self._queue, self._validation, self._holds, self._limiter = queue, validation, holds, limiter
        self.deleter, self._outcomes = deleter, outcomes
        self._closing = False

    async def run(self) -> None:
        """One worker: deletes until cancelled or closed."""
        while not self._closing:
            uid, fresh = await self._validation.valid.get()
            await self._limiter.wait()
            self._queue.release([uid], await self._collect(uid, fresh))

    def close(self) -> None:
        """Has every worker end after the deletion that it is at."""
        self._closing = True

    async def _collect(self, uid: str, fresh: FreshOwners | None) -> float:
        """Deletes one session, if it is still due. Returns the seconds to wait before it is looked at again."""
        if (wait := self._holds.forbidden_for()) > 0:
            return wait
        due = self._validation.judge_again(uid, fresh)
        if due is None:
            return 0.0
        try:
            result = await self.deleter.delete(due.session, due.verdict)
        except Held:
            return 0.0
        return await self._outcomes.conclude(due, result)

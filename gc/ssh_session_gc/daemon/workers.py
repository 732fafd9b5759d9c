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
from ssh_session_gc.telemetry.metrics import Outcome

AT_ONCE = 4
"""Attempts in a row at one session that changes: each time it is read, judged and deleted in that version at once, as
nothing that changes often would still be the same after another turn in line."""


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
        attempts = 0
        while True:
            if (wait := self._holds.forbidden_for()) > 0:
                return wait
            due = self._validation.judge_again(uid, fresh)
            if due is None:
                return 0.0
            if attempts == AT_ONCE:
                return self._outcomes.put_off(due)
            try:
                result = await self.deleter.delete(due.session, due.verdict)
            except Held:
                return 0.0
            wait, attempts = await self._outcomes.conclude(due, result), attempts + 1
            if result.outcome is not Outcome.CHANGED or wait > 0 or self._closing:
                return wait

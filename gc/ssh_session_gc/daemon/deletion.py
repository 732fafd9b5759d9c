"""One deletion: the request, its preconditions, its retries and what may come of it.

Knows how Kubernetes answers a DELETE. Does not know why a session is due, and does not decide what happens after
a deletion that failed (``outcome`` does).
"""

import asyncio
import math
from typing import NamedTuple, cast

from ssh_session_gc.core.model import Session, Verdict
from ssh_session_gc.daemon.election import Elector
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.errors import ApiError, Unreachable
from ssh_session_gc.kube.resources import PODS
from ssh_session_gc.kube.retries import retried
from ssh_session_gc.settings import DryRun, Settings
from ssh_session_gc.telemetry.metrics import Outcome


class Result(NamedTuple):
    """What became of a deletion; ``detail`` is for people, ``retry_after`` in seconds where the server named it."""

    outcome: Outcome
    detail: str = ""
    retry_after: float = 0.0


class Held(Exception):
    """Nothing may be deleted any more: somebody else leads, or the time is not sure (``holds``)."""


class Deleter:
    """Deletes session Pods."""

    def __init__(self, api: Api, settings: Settings, elector: Elector) -> None:
        self._api, self._settings, self._elector = api, settings, elector
        self.in_flight: set[asyncio.Task[None]] = set()
        """The tasks that wait for an answer to a request right now."""

    async def delete(self, session: Session, verdict: Verdict) -> Result:
        """Deletes exactly what was judged: this uid in this resourceVersion, nothing else of that name.

        Raises Held.
        """
        settings = self._settings
        if settings.dry_run is DryRun.CLIENT:
            self._check()
            return Result(Outcome.DRY_RUN)
        body: dict[str, object] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0 if verdict.force else settings.deletion_grace,
            "preconditions": {"uid": session.uid, "resourceVersion": session.resource_version},
        }
        if settings.dry_run is DryRun.SERVER:
            body["dryRun"] = ["All"]
        try:
            await retried(self.send, session.name, body)
        except Unreachable as error:
            return Result(Outcome.ERROR, str(error))
        except ApiError as error:
            outcome = {409: Outcome.CHANGED, 403: Outcome.FORBIDDEN}.get(error.code, Outcome.ERROR)
            return Result(Outcome.GONE if error.not_found else outcome, str(error), error.retry_after or 0.0)
        return Result(Outcome.DELETED if settings.dry_run is DryRun.NONE else Outcome.DRY_RUN)

    async def send(self, name: str, body: dict[str, object]) -> None:
        """One attempt. Raises Held, ApiError and Unreachable."""
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self.in_flight.add(task)
        try:
            self._check()
            # No request outlives our time as the leader: somebody else may begin after it.
            until = self._elector.until
            async with asyncio.timeout_at(None if math.isinf(until) else until):
                # The answer holds the whole Pod as it was; the watch will bring what matters of it.
                await self._api.request("delete", PODS, self._settings.session_namespace, name, body=body)
        except TimeoutError:
            raise Unreachable("it was not answered while we were the leader") from None
        finally:
            self.in_flight.discard(task)

    def _check(self) -> None:
        """Looks at the last moment: a session may have waited in line, or between two attempts, while this machine
        slept. Raises Held."""
        if not (self._elector.leads() and self._api.time.sure):
            raise Held

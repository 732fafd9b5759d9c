"""Kubernetes Events on session Pods: what ``kubectl describe pod`` and ``kubectl get events`` show of us.

Best effort, as Events are everywhere in Kubernetes: they never hold a deletion up, and are dropped rather than
queued without end. The log has the same facts and loses none.
"""

import asyncio
import socket
from typing import Literal, NamedTuple

import structlog

from ssh_session_gc.core.model import Session
from ssh_session_gc.core.text import printable
from ssh_session_gc.core.times import format_instant
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.errors import ApiError, Unreachable
from ssh_session_gc.kube.resources import EVENTS

log = structlog.stdlib.get_logger()

Type = Literal["Normal", "Warning"]

COMPONENT = "ssh-session-gc"
QUEUE = 10_000
"""Events that may wait. In a burst they come after the deletions, which want the same API server."""
MESSAGE_LIMIT = 1024
"""The longest message that the API server takes (Kubernetes' validation of Events), in characters."""


class Entry(NamedTuple):
    """What is to be written of a session; ``at`` in epoch seconds."""

    session: Session
    type: Type
    reason: str
    message: str
    at: float


class Recorder:
    """Writes Events, in the background."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api, self._namespace = api, namespace
        self._queue: asyncio.Queue[Entry] = asyncio.Queue(QUEUE)
        self._instance = socket.gethostname()
        self._refused = False

    def record(self, session: Session, kind: Type, reason: str, message: str) -> None:
        """Queues an Event on this session; drops it where the queue is full."""
        if not self._queue.full():
            self._queue.put_nowait(Entry(session, kind, reason, message, self._api.time.now()))

    async def flush(self) -> None:
        """Returns when everything queued is written or given up."""
        await self._queue.join()

    async def run(self) -> None:
        """Writes until cancelled, one at a time as client-go's recorder does."""
        while True:
            event = self._event(await self._queue.get())
            try:
                await self._api.request("create", EVENTS, self._namespace, body=event)
                self._refused = False
            except (ApiError, Unreachable) as error:
                if not self._refused:
                    self._refused = True
                    forbidden = isinstance(error, ApiError) and error.forbidden
                    hint = f"grant create on events in namespace {self._namespace}; " if forbidden else ""
                    log.warning("event_not_written", error=str(error), hint=f"{hint}the log has the same facts")
            finally:
                self._queue.task_done()

    def _event(self, entry: Entry) -> dict[str, object]:
        session, when = entry.session, format_instant(entry.at)
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{session.name[:200]}.", "namespace": self._namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": self._namespace,
                "name": session.name,
                "uid": session.uid,
                "resourceVersion": session.resource_version,
            },
            "type": entry.type,
            "reason": entry.reason,
            "message": printable(entry.message, MESSAGE_LIMIT),
            "source": {"component": COMPONENT, "host": self._instance},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._instance,
            "firstTimestamp": when,
            "lastTimestamp": when,
            "count": 1,
        }

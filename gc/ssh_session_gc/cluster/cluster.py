"""The cluster, as its sources tell of it: the sessions and their owners, and who is told when something changes.

Knows what the sources say together, and whether anything can be said of owners at all: neither before their streams
are in step, nor while they are out of it, nor before the workload was seen. Does not know how a stream is kept alive
(``kube.reflector``).
"""

import asyncio
from collections.abc import Callable

import msgspec

from ssh_session_gc.cluster.owner_gauge import OwnerGauge
from ssh_session_gc.cluster.owner_logs import OwnerLogs
from ssh_session_gc.cluster.owner_pods import OwnerPods
from ssh_session_gc.cluster.sessions import SessionPods
from ssh_session_gc.cluster.source import Hopeless, Source
from ssh_session_gc.cluster.workload import OwnerWorkload
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.listeners import Listeners
from ssh_session_gc.kube.reflector import SILENCE
from ssh_session_gc.kube.servertime import JUMP
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics


class Cluster:
    """The sessions and their owners, as far as they are known."""

    def __init__(self, settings: Settings, api: Api, metrics: Metrics) -> None:
        self._settings, self._api = settings, api
        self._changes: Listeners[str | None] = Listeners()
        self.sessions = SessionPods(settings, metrics, api.time)
        self.workload = OwnerWorkload(settings, metrics, api.time)
        self.owner_pods = OwnerPods(settings, metrics, api.time)
        self._logs = OwnerLogs(settings, metrics, api.time, self.sessions, self.owner_pods)
        self.connections = self._logs.connections
        self._gauge = OwnerGauge(settings, metrics, api.time, self.sessions, self.owner_pods, self.connections)
        self.owners = Owners(unknown="the cluster has not been read yet")
        # A session's connection is known before anybody judges the session.
        self.sessions.changes.subscribe(self.connections.changed)
        self.sessions.changes.subscribe(self._changes.tell)
        self.connections.changes.subscribe(self._changes.tell)
        for changes in (self.workload.changes, self.owner_pods.changes, self._gauge.changes):
            changes.subscribe(lambda _: self._settle())
        api.time.subscribe(self._clock_moved)
        self._settle()

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources that count at present. A workload that is not there has no Pods to watch."""
        if not self._settings.policy.ownerless:
            return (self.sessions,)
        if self._settings.owner is None:
            return (self.sessions, self.owner_pods)
        found = self.workload.selector or self.workload.out_of_sync
        return (self.sessions, self.workload, self.owner_pods) if found else (self.sessions, self.workload)

    def subscribe(self, listener: Callable[[str | None], None]) -> Callable[[], None]:
        """Has the listener told the uid of each session that appears, changes or goes; and None when all were listed,
        when the API server's clock moved, and when something about the owners changed, or whether they are known.
        Returns what ends that."""
        return self._changes.subscribe(listener)

    async def follow(self, silence: float = SILENCE) -> None:
        """Keeps in step until cancelled. ``silence``: see the reflector. Raises Hopeless."""
        hopeless: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.sessions.follow(self._api, silence))
                if self._settings.owner is not None:
                    group.create_task(self.workload.follow(self._api, self._settings.owner, silence))
                if self._settings.policy.ownerless:
                    group.create_task(self.owner_pods.follow(self._api, self.workload, silence))
                if self._settings.owner_logs and self._settings.policy.ownerless:
                    group.create_task(self._logs.follow(self._api))
                if self._settings.owner_metrics_port and self._settings.policy.ownerless:
                    group.create_task(self._gauge.follow())
        except* Hopeless as found:
            hopeless = found.exceptions[0]
        if hopeless is not None:
            raise hopeless

    def _clock_moved(self, seconds: float) -> None:
        """Moves what we dated by the API server's clock."""
        seconds -= self._api.time.passed
        if abs(seconds) > JUMP:
            for source in (self.sessions, self.workload, self.owner_pods):
                source.clock_moved(seconds)
            self.connections.moved(seconds)
            self._logs.clock_moved(seconds)
            self._gauge.clock_moved()
            self._settle()
        if self._api.time.sure:
            self.sessions.time_is_sure()
        self._changes.tell(None)

    def _settle(self) -> None:
        """Puts together what the sources say of owners."""
        unknown = self.workload.why_unknown() or self.owner_pods.why_unknown()
        owners = msgspec.structs.replace(self.owner_pods.known, unknown=unknown, idle=self._gauge.idle)
        if owners != self.owners:
            self.owners = owners
            self._changes.tell(None)

"""The source of what owners say: the log of each owner container that runs, and of the run before it.

Knows which logs to read, from where on, and how long to wait after what failure. Does not know what the lines are
about (``containerssh.log``, ``connections``). Whatever fails here, everything else goes on: a log that cannot be read
says nothing, and nothing follows from that.
"""

import asyncio
import random
import re
from contextlib import suppress
from functools import partial

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from ssh_session_gc.cluster.connections import Connections
from ssh_session_gc.cluster.owner_pods import OwnerPods
from ssh_session_gc.cluster.sessions import SessionPods
from ssh_session_gc.cluster.source import Report
from ssh_session_gc.containerssh.log import LONGEST_LINE, interesting, is_json, parse
from ssh_session_gc.core.model import Incarnation, OwnerState, Run
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.errors import ApiError, Unreachable
from ssh_session_gc.kube.logs import ACCEPTED, read
from ssh_session_gc.kube.reflector import SETTLED, cause_of, wait_after
from ssh_session_gc.kube.servertime import ServerTime
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics, Stream

log = structlog.stdlib.get_logger()

_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) ")
"""The time that the kubelet writes before each line, in its node's time zone."""
DRAIN = 10.0
"""Seconds that a log gets to end once its run is over."""
SAMPLE = 20
"""Lines that are looked at to tell the format. A panic or another program's words may be among them."""


class OwnerLogs:
    """Follows the logs of the owners. It is no source that anybody has to wait for."""

    stream = Stream.OWNER_LOGS

    def __init__(
        self, settings: Settings, metrics: Metrics, time: ServerTime, sessions: SessionPods, owners: OwnerPods
    ) -> None:
        self._settings, self._metrics, self._time = settings, metrics, time
        self._sessions, self._owners = sessions, owners
        self.connections = Connections(sessions.by_uid)
        self._woken = asyncio.Event()
        self._following: dict[Run, asyncio.Task[None]] = {}
        self._read: set[Run] = set()
        """Runs that there are, or were in a Pod that is there, whose log was read to its end or is being read."""
        self._ending: set[Run] = set()
        """Runs that are over, whose last lines are waited for."""
        self._open: set[Run] = set()
        """Runs whose log answers at present."""
        self._report = Report(self.stream, metrics)
        self._strange: set[str] = set()
        """uids of the Pods whose log was reported not to be JSON."""
        if settings.owner_logs and settings.policy.ownerless:
            metrics.synced(self.stream, synced=False)

    async def follow(self, api: Api) -> None:
        """Follows the log of every owner that runs, until cancelled."""
        listed = asyncio.Event()
        stop = [
            self._owners.changes.subscribe(lambda _: self._woken.set()),
            self._sessions.changes.subscribe(lambda uid: listed.set() if uid is None else None),
        ]
        try:
            # Lines about sessions that nobody has listed yet would all have to be remembered.
            if not self._sessions.has_synced:
                await listed.wait()
            async with asyncio.TaskGroup() as group:
                while True:
                    self._settle(api, group)
                    await self._woken.wait()
                    self._woken.clear()
        finally:
            for unsubscribe in stop:
                unsubscribe()

    def _settle(self, api: Api, group: asyncio.TaskGroup) -> None:
        """Begins to follow whoever runs now."""
        owners = self._owners.known.owners
        for owner in owners:
            run = owner.run
            if owner.state in (OwnerState.RUNNING, OwnerState.UNREACHABLE) and run not in self._following:
                before = any(
                    other.pod_uid == owner.pod_uid and not other.alive and other.run not in self._read
                    for other in owners
                )
                self._read |= {other.run for other in owners if other.pod_uid == owner.pod_uid}
                task = group.create_task(self._follow(api, owner, before=before), name=f"log {owner.pod}")
                self._following[run] = task
                task.add_done_callback(partial(self._done, run))
        self._read &= {owner.run for owner in owners}
        for run, task in self._following.items():
            if run not in self._ending and not self._runs(run):
                # What it said last may still be on its way; a kubelet that is gone never says that it was the last.
                self._ending.add(run)
                asyncio.get_running_loop().call_later(DRAIN, task.cancel)
        self._tell()

    def clock_moved(self, seconds: float) -> None:
        """Reads the logs anew where the clock was set back. The nodes' may have been, too: then a log that is read on
        from its last line has nothing new for as long as that takes."""
        if seconds < 0:
            for task in self._following.values():
                task.cancel()

    def _done(self, run: Run, _: "asyncio.Task[None]") -> None:
        self._following.pop(run, None)
        self._ending.discard(run)
        self._woken.set()  # it may run after all: its Pod had only lost its label for a while

    def _runs(self, run: Run) -> bool:
        return any(owner.run == run and owner.alive for owner in self._owners.known.owners)

    async def _follow(self, api: Api, owner: Incarnation, *, before: bool) -> None:
        """Reads the log of one run until that is over; of the run before it first, where nobody read that."""
        reader = _Reader(self, owner, self._settings.owner_namespace)
        if before:
            with suppress(ApiError, Unreachable):  # it says nothing any more
                await reader.read(api, previous=True)
            reader.since = ""
        run = owner.run

        def failed(state: RetryCallState) -> None:
            self._open.discard(run)
            self._interrupted(*cause_of(state.outcome.exception() if state.outcome else None))

        retrying = AsyncRetrying(
            retry=retry_if_exception_type((ApiError, Unreachable)), wait=wait_after, before_sleep=failed
        )
        # Each success starts the back-off anew. The end comes before the status that tells of it.
        while self._runs(run):
            try:
                await retrying(reader.read, api, run=run)
            finally:
                self._open.discard(run)
            await asyncio.sleep(random.uniform(0.5, 1.0))  # noqa: S311 - so that not all come back at once

    def opened(self, run: Run) -> None:
        """Notes that this log answers."""
        self._open.add(run)
        self._tell()

    def ended(self, cause: str) -> None:
        """Counts an end after which the log is simply taken up again."""
        self._metrics.restarted(self.stream, cause)

    def arrived(self) -> None:
        """Notes that something came."""
        self._metrics.event(self.stream, self._time.now())

    def take(self, text: bytes, pod: str) -> None:
        """Takes in a line of this Pod's log."""
        if interesting(text) and (line := parse(text, self._time.now())) is not None:
            self.connections.hear(line, pod)

    def strange(self, owner: Incarnation) -> None:
        """Logs, once a Pod, that its log is no JSON."""
        if owner.pod_uid not in self._strange:
            self._strange.add(owner.pod_uid)
            hint = "set log.format to ljson in ContainerSSH's configuration; until then its log tells nothing"
            log.warning("owner_log_not_json", owner=owner.pod, container=owner.container, hint=hint)

    def _tell(self) -> None:
        wanted = {run for run in self._following if self._runs(run)}
        if wanted <= self._open:
            self._report.restored()
        else:
            self._report.lost()

    def _interrupted(self, cause: str, detail: str) -> None:
        self._tell()
        namespace = self._settings.owner_namespace
        hint = (
            f"grant get on pods/log in namespace {namespace}, by a Role, or turn it off with --no-owner-logs"
            if cause == "forbidden"
            else "retrying; whatever it would tell stays unknown"
        )
        self._report.interrupted(cause, detail, hint)


class _Reader:
    """Reads the log of one run, from where it was when the stream broke off."""

    def __init__(self, logs: OwnerLogs, owner: Incarnation, namespace: str) -> None:
        self._logs, self._owner, self._namespace = logs, owner, namespace
        self.since = ""
        self._sample = 0
        self._json = False

    async def read(self, api: Api, *, run: Run | None = None, previous: bool = False) -> None:
        """Reads until the stream ends. Raises ApiError, and Unreachable where it ended by a failure that is new."""
        owner = self._owner
        local = asyncio.get_running_loop().time
        begun = local()
        stream = read(
            api,
            self._namespace,
            owner.pod,
            owner.container,
            since=self.since,
            previous=previous,
            following=not previous,
            longest=LONGEST_LINE,
        )
        opened = None if run is None else asyncio.get_running_loop().call_later(ACCEPTED, self._logs.opened, run)
        try:
            async with stream as lines:
                if run is not None:
                    self._logs.opened(run)
                async for line in lines:
                    self._take(line)
            self._logs.ended("closed")
        except Unreachable as error:
            # A stream that lived is simply taken up again.
            if local() - begun < SETTLED:
                raise
            self._logs.ended(cause_of(error)[0])
        finally:
            if opened is not None:
                opened.cancel()

    def _take(self, text: bytes) -> None:
        # Anything else is a stranger's, and would be refused as a time for ever.
        if stamp := _STAMP.match(text):
            self.since = stamp[1].decode()
        if not self._json and self._sample < SAMPLE:
            self._sample += 1
            self._json = is_json(text)
            if self._sample == SAMPLE and not self._json:
                self._logs.strange(self._owner)
        self._logs.arrived()
        self._logs.take(text, self._owner.pod)

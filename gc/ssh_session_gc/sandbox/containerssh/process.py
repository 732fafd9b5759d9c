"""ContainerSSH's processes: they open and close session Pods, and forget them when they die.

Knows what the real one does (its source, ``kubernetes/networkHandler.go`` and ``kubernetes/pod.go``): it waits
``podStart`` for a Pod and then gives up without deleting it, and all its memory is in one process. Keeps the truth
about every session up to date. What its Pods look like, ``manifests`` knows, and what its log looks like, ``log``.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial

from ssh_session_gc.sandbox.api.objects import PODS, Change
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.containerssh import log, manifests
from ssh_session_gc.sandbox.containerssh.log import Entry, Login, LogLevel
from ssh_session_gc.sandbox.containerssh.metrics import Counts, MetricsPorts
from ssh_session_gc.sandbox.containerssh.truth import TrueSession
from ssh_session_gc.sandbox.node.kubelet import Kubelet
from ssh_session_gc.sandbox.node.nodes import DISRUPTED
from ssh_session_gc.sandbox.node.programs import Process

NAMESPACE = "ssh-sessions"
POD_START = 60.0
"""Seconds that ContainerSSH waits for a Pod (its ``timeouts.podStart``)."""
POD_STOP = 60.0
"""Seconds for which ContainerSSH tries to delete a Pod (its ``timeouts.podStop``)."""
RETRY = 10.0
"""Seconds between two of these attempts (recorded)."""


@dataclass
class Replica:
    """One process and what it remembers."""

    process: Process
    kubelet: Kubelet
    log_level: LogLevel = "debug"
    counts: Counts = field(default_factory=Counts)
    sessions: dict[str, TrueSession] = field(default_factory=dict)
    waiting: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def online(self) -> bool:
        """Whether it and the API server reach each other."""
        return self.kubelet.connected.is_set()

    def begin(self, work: Coroutine[None, None, None], name: str) -> None:
        """Does something in the background for as long as it runs."""
        task = asyncio.create_task(work, name=name)
        self.waiting.add(task)
        task.add_done_callback(self.waiting.discard)

    def write(self, *entries: Entry) -> None:
        """Writes to its log what is not below the level, while it runs."""
        if self.process.alive:
            for entry in entries:
                if entry.passes(self.log_level):
                    self.process.log.write(entry.text(self.process.log.now()))


class ContainerSSH:
    """All processes of the cluster: one wherever an owner container runs."""

    def __init__(
        self,
        store: Store,
        *,
        namespace: str = NAMESPACE,
        owner_namespace: str = manifests.OWNER_NAMESPACE,
        stamp: bool = False,
        pod_start: float = POD_START,
        clean_shutdown: bool = False,
        log_level: LogLevel = "debug",
        metrics: MetricsPorts | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """``stamp``: an admission policy writes the creating Pod's name and uid onto each session.
        ``clean_shutdown``: after SIGTERM a process ends as soon as it has no session left, and closes those that are
        left when its time is over. Otherwise it takes its time and dies, as in the recordings.
        ``log_level``: "notice" leaves only the errors in the log. ``metrics``: where it serves its metrics."""
        self._store, self._namespace, self._owner_namespace = store, namespace, owner_namespace
        self._stamp, self._pod_start, self._clean = stamp, pod_start, clean_shutdown
        self._log_level, self._metrics = log_level, metrics
        self._rng = rng or random.Random()  # noqa: S311 - connection ids
        self.replicas: list[Replica] = []
        """The processes that run, oldest first."""
        self.sessions: dict[str, TrueSession] = {}
        """Every session that ever was, by uid."""
        self._closing: set[str] = set()
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Follows the store from now on."""
        self._unsubscribe = self._store.subscribe(self._heard)

    async def stop(self) -> None:
        """Follows the store no longer, and ends all waiting."""
        self._unsubscribe()
        waiting = [task for replica in self.replicas for task in replica.waiting]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    def serve(self, kubelet: Kubelet) -> None:
        """Follows a kubelet: an owner container that it starts is a process."""
        kubelet.started.subscribe(partial(self._process_started, kubelet))
        kubelet.stopping.subscribe(self._process_stopping)
        kubelet.ended.subscribe(self._process_ended)

    def open(
        self,
        user: str,
        *,
        image: str = "ghcr.io/example/ssh-session-image:v1.2.3",
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        replica: int = -1,
    ) -> TrueSession:
        """Connects a user, by default to the newest replica. Raises LookupError where none takes connections."""
        taking = [r for r in self.replicas if r.online and not r.process.terminating.is_set()]
        if not taking:
            raise LookupError("no ContainerSSH takes connections")
        server = taking[replica]
        login = Login(f"{self._rng.getrandbits(128):032x}", f"10.1.2.{self._rng.randrange(1, 255)}", user)
        pod = manifests.session(user, login.connection, login.address, image, labels or {}, annotations or {})
        metadata = pod["metadata"]
        if self._stamp:
            metadata["annotations"]["ssh-session-gc/owner-pod-name"] = server.process.pod
            metadata["annotations"]["ssh-session-gc/owner-pod-uid"] = server.process.pod_uid
        server.counts.came()
        server.write(*log.connected(login))
        try:
            made = self._store.create(PODS, self._namespace, pod)["metadata"]
        except Refusal as error:
            server.write(*log.not_created(login, str(error)))
            server.counts.went()
            raise
        session = TrueSession(made["uid"], made["name"], user, self._store.now(), server.process, login)
        self.sessions[session.uid] = server.sessions[session.uid] = session
        server.write(log.waits(login, session.name))
        server.begin(self._give_up_if_late(session, server), f"podStart {session.name}")
        return session

    def close(self, session: TrueSession) -> None:
        """Has the user leave: ContainerSSH deletes the Pod if it still remembers it and reaches the API server, and
        otherwise tries again for a minute."""
        replica = self._serving(session)
        if replica is None:
            return
        replica.counts.went()
        replica.write(log.disconnected(session.login), log.removes(session.login, session.name))
        self._close(session, replica)
        if self._clean and replica.process.terminating.is_set():
            self._leave_if_idle(replica)

    def leave(self, session: TrueSession) -> None:
        """Has the user be gone after ``ssh -t HOST true``: ContainerSSH's log tells so, and the Pod stays (recorded).
        Does nothing where the Pod is not up yet, as no program can have run in it."""
        replica = self._serving(session)
        if replica is None or not session.up:
            return
        session.given_up, session.left = True, self._store.now()
        replica.counts.went()
        replica.write(log.exited(session.login, 0), log.disconnected(session.login))
        if self._clean and replica.process.terminating.is_set():
            self._leave_if_idle(replica)

    def replica_of(self, process: Process) -> Replica:
        """What a running process remembers. Raises LookupError where it runs no longer."""
        for replica in self.replicas:
            if replica.process is process:
                return replica
        raise LookupError(f"no ContainerSSH runs as {process.pod} any more")

    def _serving(self, session: TrueSession) -> Replica | None:
        """The process in which somebody still counts as the session's user."""
        if session.given_up or session.closed:
            return None
        return next((replica for replica in self.replicas if replica.process is session.creator), None)

    def _close(self, session: TrueSession, replica: Replica) -> None:
        if replica.online:
            self._delete(session, replica)
            return
        session.given_up = True
        if replica.process.alive:
            replica.begin(self._delete_later(session, replica), f"podStop {session.name}")

    def _delete(self, session: TrueSession, replica: Replica) -> None:
        session.given_up, session.closed = False, True
        self._closing.add(session.uid)
        try:
            self._store.delete(PODS, self._namespace, session.name, uid=session.uid)
        except Refusal as error:
            if error.code not in (404, 409):
                raise
        replica.write(log.removed(session.login, session.name))

    async def _delete_later(self, session: TrueSession, replica: Replica) -> None:
        reason = log.unreachable(self._namespace, session.name)
        for attempt in range(int(POD_STOP / RETRY)):
            if attempt and replica.online:
                self._delete(session, replica)
                return
            replica.write(log.not_removed(session.login, session.name, reason, last=False))
            await asyncio.sleep(RETRY)
        replica.write(log.not_removed(session.login, session.name, reason, last=True))

    async def _give_up_if_late(self, session: TrueSession, replica: Replica) -> None:
        await asyncio.sleep(self._pod_start)
        if session.given_up or session.closed:
            return
        try:
            pod = self._store.get(PODS, self._namespace, session.name)
        except Refusal:
            return
        if pod["status"].get("phase") == "Pending":
            session.given_up = True
            replica.counts.went()
            replica.write(*log.came_too_late(session.login, session.name))

    def _process_started(self, kubelet: Kubelet, process: Process) -> None:
        if process.namespace == self._owner_namespace and process.container == manifests.CONTAINER:
            replica = Replica(process, kubelet, self._log_level)
            self.replicas.append(replica)
            if self._metrics is not None:
                self._metrics.open(process, kubelet, replica.counts)
            replica.write(*log.start())

    def _process_stopping(self, process: Process) -> None:
        if self._metrics is not None:
            self._metrics.close(process)
        for replica in [r for r in self.replicas if r.process is process and self._clean]:
            self._leave_if_idle(replica)

    def _leave_if_idle(self, replica: Replica) -> None:
        if not any(session.live for session in replica.sessions.values()):
            replica.kubelet.end(replica.process, 0)

    def _process_ended(self, process: Process) -> None:
        if (session := self.sessions.get(process.pod_uid)) is not None:
            session.finished = True
        if self._metrics is not None:
            self._metrics.close(process)
        for replica in [r for r in self.replicas if r.process is process]:
            # All that it knew is gone with it.
            self.replicas.remove(replica)
            for task in replica.waiting:
                task.cancel()
            if self._clean and process.terminating.is_set() and process.exit_code == 0:
                for session in replica.sessions.values():
                    if not (session.given_up or session.closed):
                        self._close(session, replica)

    def _heard(self, change: Change) -> None:
        session = self.sessions.get(change.object["metadata"].get("uid", "")) if change.resource is PODS else None
        if session is None:
            return
        if not session.up and change.object["status"].get("phase") == "Running":
            session.up = True
            if (replica := self._serving(session)) is not None and replica.online:
                replica.write(*log.is_up(session.login, session.name))
        if change.type == "DELETED":
            session.gone = True
        asked = change.type == "DELETED" or "deletionTimestamp" in change.object["metadata"]
        if asked and session.deleted is None and session.uid not in self._closing:
            session.deleted, session.was_live = self._store.now(), session.live
            conditions = change.object["status"].get("conditions", ())
            session.evicted = any(condition["type"] == DISRUPTED for condition in conditions)

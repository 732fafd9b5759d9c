"""ContainerSSH's processes: they open and close session Pods, and forget them when they die.

Knows what the real one does (its source, ``kubernetes/networkHandler.go`` and ``kubernetes/pod.go``): it waits
``podStart`` for a Pod and then gives up without deleting it, and all its memory is in one process. Keeps the truth
about every session up to date. What its Pods look like, ``manifests`` knows.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from ssh_session_gc.sandbox.api.objects import PODS, Change
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.containerssh import manifests
from ssh_session_gc.sandbox.containerssh.truth import TrueSession
from ssh_session_gc.sandbox.node.kubelet import Kubelet
from ssh_session_gc.sandbox.node.nodes import DISRUPTED
from ssh_session_gc.sandbox.node.programs import Process

NAMESPACE = "ssh-sessions"
POD_START = 60.0
"""Seconds that ContainerSSH waits for a Pod (its ``timeouts.podStart``)."""


@dataclass
class Replica:
    """One process and what it remembers."""

    process: Process
    kubelet: Kubelet
    sessions: dict[str, TrueSession] = field(default_factory=dict)
    waiting: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def online(self) -> bool:
        """Whether it and the API server reach each other."""
        return self.kubelet.connected.is_set()


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
        rng: random.Random | None = None,
    ) -> None:
        """``stamp``: an admission policy writes the creating Pod's name and uid onto each session.
        ``clean_shutdown``: after SIGTERM a process ends as soon as it has no session left, and closes those that are
        left when its time is over. Otherwise it takes its time and dies, as in the recordings."""
        self._store, self._namespace, self._owner_namespace = store, namespace, owner_namespace
        self._stamp, self._pod_start, self._clean = stamp, pod_start, clean_shutdown
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
        connection, address = f"{self._rng.getrandbits(128):032x}", f"10.1.2.{self._rng.randrange(1, 255)}"
        pod = manifests.session(user, connection, address, image, labels or {}, annotations or {})
        metadata = pod["metadata"]
        if self._stamp:
            metadata["annotations"]["ssh-session-gc/owner-pod-name"] = server.process.pod
            metadata["annotations"]["ssh-session-gc/owner-pod-uid"] = server.process.pod_uid
        made = self._store.create(PODS, self._namespace, pod)["metadata"]
        session = TrueSession(made["uid"], made["name"], user, self._store.now(), server.process)
        self.sessions[session.uid] = server.sessions[session.uid] = session
        task = asyncio.create_task(self._give_up_if_late(session), name=f"podStart {session.name}")
        server.waiting.add(task)
        task.add_done_callback(server.waiting.discard)
        return session

    def close(self, session: TrueSession) -> None:
        """Has the user leave: ContainerSSH deletes the Pod if it still remembers it and reaches the API server."""
        if not session.creator.alive or session.given_up or session.closed:
            return
        replica = next(r for r in self.replicas if r.process is session.creator)
        self._close(session, replica)
        if self._clean and replica.process.terminating.is_set():
            self._leave_if_idle(replica)

    def _close(self, session: TrueSession, replica: Replica) -> None:
        if not replica.online:
            # The real one tries for a minute before it gives up.
            session.given_up = True
            return
        session.closed = True
        self._closing.add(session.uid)
        try:
            self._store.delete(PODS, self._namespace, session.name, uid=session.uid)
        except Refusal as error:
            if error.code not in (404, 409):
                raise

    async def _give_up_if_late(self, session: TrueSession) -> None:
        await asyncio.sleep(self._pod_start)
        try:
            pod = self._store.get(PODS, self._namespace, session.name)
        except Refusal:
            return
        session.given_up = pod["status"].get("phase") == "Pending"

    def _process_started(self, kubelet: Kubelet, process: Process) -> None:
        if process.namespace == self._owner_namespace and process.container == "containerssh":
            self.replicas.append(Replica(process, kubelet))

    def _process_stopping(self, process: Process) -> None:
        for replica in [r for r in self.replicas if r.process is process and self._clean]:
            self._leave_if_idle(replica)

    def _leave_if_idle(self, replica: Replica) -> None:
        if not any(session.live for session in replica.sessions.values()):
            replica.kubelet.end(replica.process, 0)

    def _process_ended(self, process: Process) -> None:
        if (session := self.sessions.get(process.pod_uid)) is not None:
            session.finished = True
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
        if change.type == "DELETED":
            session.gone = True
        asked = change.type == "DELETED" or "deletionTimestamp" in change.object["metadata"]
        if asked and session.deleted is None and session.uid not in self._closing:
            session.deleted, session.was_live = self._store.now(), session.live
            conditions = change.object["status"].get("conditions", ())
            session.evicted = any(condition["type"] == DISRUPTED for condition in conditions)

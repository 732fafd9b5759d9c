"""ContainerSSH's processes: they take connections, make session Pods for them, and forget them when they die.

Knows what the real one does (its source, ``kubernetes/networkHandler.go`` and ``kubernetes/channelHandler.go``) in
each of its modes: it waits ``podStart`` for a Pod and then gives up without deleting it, and all its memory is in one
process. Keeps the truth about every session up to date. What its Pods look like, ``manifests`` knows, what its log
says, ``lines``, how users leave, ``departure``, and how a process ends, ``shutdown``.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from ssh_session_gc.sandbox.api.objects import PODS, Change, Object
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.containerssh import lines, manifests
from ssh_session_gc.sandbox.containerssh.departure import Departures
from ssh_session_gc.sandbox.containerssh.leaks import Leaks
from ssh_session_gc.sandbox.containerssh.log import Login, LogLevel
from ssh_session_gc.sandbox.containerssh.manifests import CONSOLE, Mode
from ssh_session_gc.sandbox.containerssh.metrics import MetricsPorts
from ssh_session_gc.sandbox.containerssh.register import Register
from ssh_session_gc.sandbox.containerssh.removal import RETRY, Removal
from ssh_session_gc.sandbox.containerssh.replica import Replica
from ssh_session_gc.sandbox.containerssh.shutdown import shut_down
from ssh_session_gc.sandbox.containerssh.truth import Connection, TrueSession
from ssh_session_gc.sandbox.node.kubelet import Kubelet
from ssh_session_gc.sandbox.node.nodes import DISRUPTED
from ssh_session_gc.sandbox.node.programs import Process

NAMESPACE = "ssh-sessions"
IMAGE = "ghcr.io/example/ssh-session-image:v1.2.3"
"""The image of sessions that are not told another one."""
POD_START = 60.0
"""Seconds that ContainerSSH waits for a Pod (its ``timeouts.podStart``)."""


class ContainerSSH:
    """All processes of the cluster: one wherever an owner container runs."""

    def __init__(
        self,
        store: Store,
        *,
        namespace: str = NAMESPACE,
        owner_namespace: str = manifests.OWNER_NAMESPACE,
        mode: Mode = "connection",
        stamp: bool = False,
        pod_start: float = POD_START,
        clean_shutdown: bool = False,
        log_level: LogLevel = "debug",
        metrics: MetricsPorts | None = None,
        leaks: float = 0.0,
        rng: random.Random | None = None,
    ) -> None:
        """``stamp``: an admission policy writes the creating Pod's name and uid onto each session.
        ``clean_shutdown``: after SIGTERM a process ends its sessions and then itself, as version 0.6 does. Otherwise
        it takes its time and dies, as 0.5 does (recorded, too).
        ``log_level``: "notice" leaves only the errors in the log. ``metrics``: where it serves its metrics.
        ``leaks``: the probability that a user who leaves leaves the Pod behind, in mode ``connection``."""
        self._store, self._namespace, self._owner_namespace = store, namespace, owner_namespace
        self._stamp, self._pod_start, self._clean = stamp, pod_start, clean_shutdown
        self._log_level, self._metrics = log_level, metrics
        self._rng = rng or random.Random()  # noqa: S311 - connection ids
        self.exec_fails = False
        """Whether no program can be started in a Pod at present."""
        self.register = Register(mode)
        self._kubelets: list[Kubelet] = []
        self.removal = Removal(store, namespace)
        self._departures = Departures(store, self.register, self.removal)
        self._leaks = Leaks(leaks, self._rng, self._departures)
        self._unsubscribe: Callable[[], None] = lambda: None

    @property
    def replicas(self) -> list[Replica]:
        """The processes that run, oldest first."""
        return self.register.replicas

    @property
    def sessions(self) -> dict[str, TrueSession]:
        """Every session that ever was, by uid."""
        return self.register.sessions

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
        self._kubelets.append(kubelet)
        kubelet.started.subscribe(partial(self._process_started, kubelet))
        kubelet.stopping.subscribe(self._process_stopping)
        kubelet.ended.subscribe(self._process_ended)

    # Users come

    def probe(self, *, replica: int = -1) -> None:
        """Has somebody open the port and go again, which counts as a connection. Raises LookupError."""
        server = self._server(replica)
        connection = server.connect(self._login("root"))
        server.write(*lines.probed(connection.login))
        server.disconnect(connection)

    def open(
        self,
        user: str,
        *,
        image: str | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        replica: int = -1,
        lost_answer: bool = False,
    ) -> TrueSession:
        """Connects a user, by default to the newest replica. ``lost_answer``: the Pod is made and ContainerSSH does
        not hear of it, so that it makes another one 10 seconds later. Raises LookupError where none takes
        connections."""
        server = self._server(replica)
        connection = server.connect(self._login(user))
        server.write(*lines.connected(connection.login))
        if self.register.mode == "persistent":
            name = manifests.home(user)
            for session in self.sessions.values():
                if session.name == name and not session.gone:
                    session.connections.append(connection)
                    if session.up:
                        self._let_in(session, connection)
                    return session
            server.write(*lines.looked_up(connection.login, name))
        if self.register.mode == "session":
            server.write(*lines.admitted(connection.login))
        pod = manifests.session(connection.login, image or IMAGE, labels or {}, annotations or {}, self.register.mode)
        return self._create(server, connection, pod, lost_answer=lost_answer)

    def start_another(self, session: TrueSession) -> TrueSession:
        """Has a session's user start another program on the same connection, in mode ``session``. Raises LookupError
        where nobody sits in the session."""
        for connection in session.connections:
            if connection.alive and self.register.mode == "session":
                server = self.register.replica(connection.process)
                server.write(*lines.admitted(connection.login)[1:])
                pod = self._store.get(PODS, self._namespace, session.name)
                image = pod["spec"]["containers"][0]["image"]
                return self._create(server, connection, manifests.session(connection.login, image, {}, {}, "session"))
        raise LookupError(f"nobody can start another program in {session.name}")

    def _server(self, number: int) -> Replica:
        taking = [replica for replica in self.replicas if replica.takes]
        if not taking:
            raise LookupError("no ContainerSSH takes connections")
        return taking[number]

    def _login(self, user: str) -> Login:
        return Login(f"{self._rng.getrandbits(128):032x}", f"10.1.2.{self._rng.randrange(1, 255)}", user)

    def _create(
        self, server: Replica, connection: Connection, pod: Object, *, again: bool = False, lost_answer: bool = False
    ) -> TrueSession:
        login = connection.login
        if self._stamp:
            pod["metadata"]["annotations"]["ssh-session-gc/owner-pod-name"] = server.process.pod
            pod["metadata"]["annotations"]["ssh-session-gc/owner-pod-uid"] = server.process.pod_uid
        if not again:
            server.write(lines.creates(login))
        try:
            made = self._store.create(PODS, self._namespace, pod)["metadata"]
        except Refusal as error:
            server.write(*lines.not_created(login, str(error)))
            server.disconnect(connection)
            raise
        session = TrueSession(
            made["uid"],
            made["name"],
            login.user,
            self._store.now(),
            server.process,
            login,
            [connection],
            persistent=self.register.mode == "persistent",
        )
        self.sessions[session.uid] = session
        if lost_answer:
            session.given_up = True
            server.write(lines.creates_again(login, "http2: client connection lost"))
            server.begin(self._create_again(server, connection, pod), f"second Pod for {login.connection}")
            return session
        server.write(lines.waits(login, session.name))
        server.begin(self._give_up_if_late(session, connection, server), f"podStart {session.name}")
        return session

    async def _create_again(self, server: Replica, connection: Connection, pod: Object) -> None:
        await asyncio.sleep(RETRY)
        with suppress(Refusal):  # the user has been sent away
            self._create(server, connection, pod, again=True)

    async def _give_up_if_late(self, session: TrueSession, connection: Connection, replica: Replica) -> None:
        await asyncio.sleep(self._pod_start)
        if session.given_up or session.closed or session.up or not connection.open:
            return
        try:
            pod = self._store.get(PODS, self._namespace, session.name)
        except Refusal:
            return
        if pod["status"].get("phase") in ("Pending", "Running"):
            session.given_up = True
            replica.disconnect(connection)
            if replica.write(*lines.came_too_late(connection.login, session.name)):
                session.left = self._store.now()

    def _let_in(self, session: TrueSession, connection: Connection) -> None:
        replica, login, pod = self.register.replica(connection.process), connection.login, session.name
        if not replica.online:
            return
        if self.register.mode == "session":
            replica.write(lines.attaches(login, pod), *lines.runs(login, pod, pid=1))
        elif self.exec_fails:
            connection.mute = True
            replica.write(*lines.admitted(login), lines.executes(login, pod))
            replica.begin(self._departures.exec_failed(session, connection, replica), f"exec in {pod}")
        else:
            replica.write(*lines.admitted(login), lines.executes(login, pod), *lines.runs(login, pod))

    # Users leave

    def close(self, session: TrueSession) -> None:
        """Has the session's user end the program and leave: ContainerSSH deletes the Pod if it still remembers it and
        reaches the API server, and otherwise tries again for a minute. In the other modes it deletes nothing."""
        if (seat := self.register.seat(session)) is None:
            return
        if self.register.mode == "session" and self._end_program(session):
            return
        connection, replica = seat
        if self.register.mode == "connection" and self._leaks.leak(session, connection, replica):
            return
        if session.up and not connection.mute:
            replica.write(lines.exited(connection.login, 0))
        self._departures.depart(session, connection, replica, killed=False)

    def hang_up(self, session: TrueSession) -> None:
        """Has the user's client go while the program runs, which in mode ``session`` runs on."""
        if (seat := self.register.seat(session)) is not None:
            self._departures.depart(session, *seat, killed=session.up)

    def leave(self, session: TrueSession) -> None:
        """Has the user be gone after ``ssh -t HOST true``: ContainerSSH's log tells so, and the Pod stays (recorded).
        Does nothing where the Pod is not up yet, as no program can have run in it."""
        if (seat := self.register.seat(session)) is not None and session.up:
            self._departures.leave_after_command(session, *seat)

    def leave_unsaid(self, session: TrueSession) -> None:
        """Has the user leave where the audit log cannot be written: only the gauge tells of it, and the Pod stays."""
        if (seat := self.register.seat(session)) is not None:
            self._departures.leave_unsaid(session, *seat)

    def _end_program(self, session: TrueSession) -> bool:
        """Ends the program that a session is, in mode ``session``. Returns whether it had begun."""
        for kubelet in self._kubelets:
            if (process := kubelet.processes.get((session.uid, CONSOLE))) is not None:
                kubelet.end(process, 0)
                return True
        return False

    # Processes start and end

    def _process_started(self, kubelet: Kubelet, process: Process) -> None:
        if process.namespace == self._owner_namespace and process.container == manifests.CONTAINER:
            replica = Replica(process, kubelet, self._log_level)
            self.replicas.append(replica)
            if self._metrics is not None:
                self._metrics.open(process, kubelet, replica.counts)
            replica.write(*lines.start())

    def _process_stopping(self, process: Process) -> None:
        if self._metrics is not None:
            self._metrics.close(process)
        for replica in [r for r in self.replicas if r.process is process and self._clean]:
            replica.begin(shut_down(replica, self.register, self._departures), f"shutdown {process.pod}")

    def _process_ended(self, process: Process) -> None:
        if (session := self.sessions.get(process.pod_uid)) is not None:
            session.finished = True
            if self.register.mode == "session" and process.container == CONSOLE:
                self._departures.program_ended(session, process.exit_code)
        if self._metrics is not None:
            self._metrics.close(process)
        for replica in [r for r in self.replicas if r.process is process]:
            # All that it knew is gone with it.
            self.replicas.remove(replica)
            for task in replica.waiting:
                task.cancel()

    # The cluster tells

    def _heard(self, change: Change) -> None:
        session = self.sessions.get(change.object["metadata"].get("uid", "")) if change.resource is PODS else None
        if session is None:
            return
        if not session.up and _available(change.object):
            session.up = True
            if not (session.given_up or session.closed):
                for connection in [each for each in session.connections if each.alive]:
                    self._let_in(session, connection)
        if change.type == "DELETED":
            session.gone = True
        asked = change.type == "DELETED" or "deletionTimestamp" in change.object["metadata"]
        if asked and session.deleted is None and session.uid not in self.removal.asked:
            session.deleted, session.was_live = self._store.now(), session.live
            conditions = change.object["status"].get("conditions", ())
            session.evicted = any(condition["type"] == DISRUPTED for condition in conditions)


def _available(pod: Object) -> bool:
    """Whether a Pod has come up: it runs, and none of its containers does so without being ready."""
    statuses = pod["status"].get("containerStatuses", ())
    return pod["status"].get("phase") == "Running" and not any(
        "running" in each["state"] and not each["ready"] for each in statuses
    )

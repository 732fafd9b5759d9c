"""How users come: they connect to a process, which makes a Pod for them and waits until it is up.

Knows what the real one does in each of its modes (its source, ``kubernetes/networkHandler.go`` and
``kubernetes/channelHandler.go``): it waits ``podStart`` for a Pod and then gives up without deleting it. What its
Pods look like, ``manifests`` knows. Does not know how anybody leaves.
"""

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress

from ssh_session_gc.sandbox.api.objects import PODS, Object
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.containerssh import lines, manifests
from ssh_session_gc.sandbox.containerssh.departure import Departures
from ssh_session_gc.sandbox.containerssh.layouts import Layout
from ssh_session_gc.sandbox.containerssh.log import Login
from ssh_session_gc.sandbox.containerssh.register import Register
from ssh_session_gc.sandbox.containerssh.removal import RETRY
from ssh_session_gc.sandbox.containerssh.replica import Replica
from ssh_session_gc.sandbox.containerssh.truth import Connection, TrueSession

IMAGE = "ghcr.io/example/ssh-session-image:v1.2.3"
"""The image of sessions that are not told another one."""


class Arrivals:
    """Lets users in."""

    def __init__(
        self,
        store: Store,
        layout: Layout,
        register: Register,
        departures: Departures,
        *,
        stamp: bool,
        pod_start: float,
        rng: random.Random,
    ) -> None:
        """``stamp``, ``pod_start``: see ``ContainerSSH``. ``rng``: draws ids and addresses."""
        self._store, self._layout, self._namespace = store, layout, layout.session_namespace
        self._register, self._departures = register, departures
        self._stamp, self._pod_start, self._rng = stamp, pod_start, rng
        self.exec_fails = False
        """Whether no program can be started in a Pod at present."""

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
        if self._register.mode == "persistent":
            name = manifests.home(user)
            for session in self._register.sessions.values():
                if session.name == name and not session.gone:
                    session.connections.append(connection)
                    if session.up:
                        self._let_in(session, connection)
                    return session
            server.write(*lines.looked_up(connection.login, name))
        if self._register.mode == "session":
            server.write(*lines.admitted(connection.login))
        pod = manifests.session(
            self._layout, connection.login, image or IMAGE, labels or {}, annotations or {}, self._register.mode
        )
        return self._create(server, connection, pod, lost_answer=lost_answer)

    def start_another(self, session: TrueSession) -> TrueSession:
        """Has a session's user start another program on the same connection, in mode ``session``. Raises LookupError
        where nobody sits in the session."""
        seat = self._register.seat(session)
        if seat is None or self._register.mode != "session":
            raise LookupError(f"nobody can start another program in {session.name}")
        connection, server = seat
        server.write(*lines.admitted(connection.login)[1:])
        spec = self._store.get(PODS, self._namespace, session.name)["spec"]
        image = spec["containers"][self._layout.console]["image"]
        pod = manifests.session(self._layout, connection.login, image, {}, {}, "session")
        return self._create(server, connection, pod)

    def came_up(self, session: TrueSession) -> None:
        """Lets everybody in who has waited for a Pod."""
        if not (session.given_up or session.closed):
            for connection in [each for each in session.connections if each.alive]:
                self._let_in(session, connection)

    def _server(self, number: int) -> Replica:
        taking = [replica for replica in self._register.replicas if replica.takes]
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
            self._send_away(connection, server, str(error))
            raise
        session = TrueSession(
            made["uid"],
            made["name"],
            login.user,
            self._store.true_now(),
            server.process,
            login,
            [] if lost_answer else [connection],
            persistent=self._register.mode == "persistent",
            given_up=lost_answer,
        )
        self._register.sessions[session.uid] = session
        if lost_answer:
            server.write(lines.creates_again(login, "http2: client connection lost"))
            server.begin(self._create_again(server, connection, pod), f"second Pod for {login.connection}")
        else:
            server.write(lines.waits(login, session.name))
            server.begin(self._give_up_if_late(session, connection, server), f"podStart {session.name}")
        return session

    async def _create_again(self, server: Replica, connection: Connection, pod: Object) -> None:
        await asyncio.sleep(RETRY)
        with suppress(Refusal):  # the user has been sent away
            self._create(server, connection, pod, again=True)

    async def _give_up_if_late(self, session: TrueSession, connection: Connection, server: Replica) -> None:
        await asyncio.sleep(self._pod_start)
        if not connection.open or session.given_up or session.up:
            return
        if not session.gone:
            phase = self._store.get(PODS, self._namespace, session.name)["status"].get("phase")
            if phase not in ("Pending", "Running"):
                return
            session.given_up = True
        if server.write(lines.came_too_late(connection.login, session.name)):
            session.left = self._store.true_now()
        self._send_away(connection, server, lines.TOO_LATE)

    def _send_away(self, connection: Connection, server: Replica, reason: str) -> None:
        """There is no Pod. In mode ``session`` the connection ends with its last program."""
        login = connection.login
        if self._register.mode != "session":
            server.write(*lines.not_created(login, reason))
            server.disconnect(connection)
            return
        server.write(*lines.not_started(login, reason))
        if not self._register.used_by(connection):
            server.write(lines.disconnected(login))
            server.disconnect(connection)

    def _let_in(self, session: TrueSession, connection: Connection) -> None:
        server, login, pod = self._register.replica(connection.process), connection.login, session.name
        if not server.online:
            return
        if self._register.mode == "session":
            server.write(lines.attaches(login, pod), *lines.runs(login, pod, pid=1))
        elif self.exec_fails:
            connection.mute = True
            server.write(*lines.admitted(login), lines.executes(login, pod))
            server.begin(self._departures.exec_failed(session, connection, server), f"exec in {pod}")
        else:
            server.write(*lines.admitted(login), lines.executes(login, pod), *lines.runs(login, pod))

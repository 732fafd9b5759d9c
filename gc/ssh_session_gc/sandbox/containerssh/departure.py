"""How users leave, and what ContainerSSH makes of it in each of its modes: what it says, deletes and leaves there.

Knows what was recorded. Does not know when somebody leaves, or why.
"""

import asyncio

from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.containerssh import lines
from ssh_session_gc.sandbox.containerssh.register import Register
from ssh_session_gc.sandbox.containerssh.removal import Removal
from ssh_session_gc.sandbox.containerssh.replica import Replica
from ssh_session_gc.sandbox.containerssh.truth import Connection, TrueSession

ATTEMPTS = 60
"""How often, once a second, ContainerSSH asks how a program ended that it knows nothing of (recorded)."""


class Departures:
    """Lets users leave."""

    def __init__(self, store: Store, register: Register, removal: Removal) -> None:
        self._store, self._register, self._removal = store, register, removal

    def disconnect(self, session: TrueSession, connection: Connection, replica: Replica) -> None:
        """The connection is counted no longer, and the log says that it has ended. An end is not told twice."""
        if not connection.open:
            return
        replica.disconnect(connection)
        if replica.write(lines.disconnected(connection.login)) and not session.persistent:
            session.left = session.left or self._store.true_now()

    def depart(self, session: TrueSession, connection: Connection, replica: Replica, *, killed: bool) -> None:
        """The connection ends. ``killed``: the user's program runs at that moment."""
        login, pod = connection.login, session.name
        self.disconnect(session, connection, replica)
        if connection.mute:
            self._abandon(connection)
        elif self._register.mode == "connection":
            self._removal.remove(session, connection, replica, killed=killed)
        elif self._register.mode == "persistent":
            replica.write(lines.keeps(login, pod))
            if killed and session.up:
                replica.write(*lines.signals(login, pod, "KILL"))
                received, sent = lines.signalled(login, pod, "KILL")
                replica.write(received, lines.not_asked(login, pod), sent, lines.exited(login, 137))
        else:
            for each in self._abandon(connection):
                each.left = each.left or session.left
                if each.up:
                    # The first process of a container is not killed from within.
                    replica.write(*lines.signals(login, each.name, "KILL", pid=1), lines.runs(login, each.name)[0])
                    replica.begin(self._ask_how_it_ended(each, connection, replica), f"exit code {each.name}")

    def leave_after_command(self, session: TrueSession, connection: Connection, replica: Replica) -> None:
        """``ssh -t HOST true`` is over. ContainerSSH waits for ever for the pid of a program that has ended."""
        replica.write(lines.exited(connection.login, 0))
        self._abandon(connection)
        self.disconnect(session, connection, replica)

    def leave_unsaid(self, _: TrueSession, connection: Connection, replica: Replica) -> None:
        """The audit log cannot be written: ContainerSSH goes no further than to count one connection less."""
        self._abandon(connection)
        replica.disconnect(connection)

    def program_ended(self, session: TrueSession, code: int) -> None:
        """The program that a session is has ended by itself (mode ``session``); the user leaves with the last one."""
        if (seat := self._register.seat(session)) is None:
            return
        connection, replica = seat
        # It asks before the kubelet has written that the container has ended.
        replica.write(lines.exit_unknown(connection.login, session.name, last=False))
        if replica.write(lines.exited(connection.login, code)):
            session.left = self._store.true_now()
        if not self._register.used_by(connection):
            self.disconnect(session, connection, replica)

    def thrown_out(self, session: TrueSession) -> None:
        """The Pod is gone, and with it every program in it. Whoever still waits for it goes on waiting."""
        for connection in [each for each in session.connections if each.alive and session.up]:
            login, replica = connection.login, self._register.replica(connection.process)
            replica.write(lines.exited(login, 137))
            if self._register.used_by(connection) in ([], [session]):
                self.disconnect(session, connection, replica)
                if self._register.mode == "connection":
                    # It is content where there is nothing to delete.
                    replica.write(lines.removes(login, session.name), lines.removed(login, session.name))

    async def exec_failed(self, session: TrueSession, connection: Connection, replica: Replica) -> None:
        """No program could be started in the Pod. A user who is still there learns of it after a minute."""
        await self._ask_how_it_ended(session, connection, replica)
        if connection.open:
            self.depart(session, connection, replica, killed=False)

    def _abandon(self, connection: Connection) -> list[TrueSession]:
        """Leaves the sessions of a connection as they are; returns them. One that is persistent may be used again."""
        left = self._register.used_by(connection)
        for session in left:
            session.given_up = not session.persistent
        return left

    async def _ask_how_it_ended(self, session: TrueSession, connection: Connection, replica: Replica) -> None:
        for _ in range(ATTEMPTS):
            if session.finished:
                break
            replica.write(lines.exit_unknown(connection.login, session.name, last=False))
            await asyncio.sleep(1)
        else:
            replica.write(lines.exit_unknown(connection.login, session.name, last=True))
        replica.write(lines.exited(connection.login, 137))

"""All of ContainerSSH's processes and sessions, and who sits where.

Changes nothing and does not know what anybody does.
"""

from dataclasses import dataclass, field

from ssh_session_gc.sandbox.containerssh.layouts import Mode
from ssh_session_gc.sandbox.containerssh.replica import Replica
from ssh_session_gc.sandbox.containerssh.truth import Connection, TrueSession
from ssh_session_gc.sandbox.node.programs import Process


@dataclass(eq=False)
class Register:
    """What there is of ContainerSSH in a cluster."""

    mode: Mode = "connection"
    replicas: list[Replica] = field(default_factory=list)
    """The processes that run, oldest first."""
    sessions: dict[str, TrueSession] = field(default_factory=dict)
    """Every session that ever was, by uid."""

    def replica(self, process: Process) -> Replica:
        """What a running process remembers. Raises LookupError where it runs no longer."""
        for replica in self.replicas:
            if replica.process is process:
                return replica
        raise LookupError(f"no ContainerSSH runs as {process.pod} any more")

    def seat(self, session: TrueSession) -> tuple[Connection, Replica] | None:
        """The oldest connection of somebody who still counts as the session's user, and its process."""
        if session.given_up or session.closed:
            return None
        for connection in session.connections:
            if connection.alive:
                return connection, self.replica(connection.process)
        return None

    def made_for(self, connection: Connection) -> list[TrueSession]:
        """A connection's sessions that ContainerSSH still knows to be its own."""
        served = (each for each in self.sessions.values() if connection in each.connections)
        return [each for each in served if not (each.given_up or each.closed)]

    def used_by(self, connection: Connection) -> list[TrueSession]:
        """Those of them whose program has not ended."""
        return [each for each in self.made_for(connection) if not each.finished]

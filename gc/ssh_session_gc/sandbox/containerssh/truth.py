"""The truth about a session, which nobody in the cluster can see: whether its user still sits in it, and whether it
was deleted under the user's feet.

Does not know how a session comes to its end: ``process`` does.
"""

from dataclasses import dataclass

from ssh_session_gc.sandbox.containerssh.log import Login
from ssh_session_gc.sandbox.node.programs import Process


@dataclass(eq=False)
class Connection:
    """A user's connection to a process. It may have no session (yet), one, or several."""

    login: Login
    process: Process
    ended: float | None = None
    """The time at which it ended while its process ran, by a clock that nobody sets."""
    mute: bool = False
    """No program could be started for it, so that ContainerSSH deletes nothing when it ends."""

    @property
    def open(self) -> bool:
        """Whether its process has not ended it."""
        return self.ended is None

    @property
    def alive(self) -> bool:
        """Whether somebody may be at its other end: it is open, and so is the process."""
        return self.open and self.process.alive


@dataclass(eq=False)
class TrueSession:
    """The truth about one session. Times are by a clock that nobody sets (``Store.true_now``)."""

    uid: str
    name: str
    user: str
    created: float
    creator: Process
    login: Login
    """Of the connection for which it was made, which its labels tell for ever."""
    connections: list[Connection]
    """All that have ever used it; only a persistent one is used by several."""
    persistent: bool = False
    """ContainerSSH keeps it, whether or not somebody sits in it."""
    ignores_term: bool = False
    """Its user's program does not heed SIGTERM, as an interactive shell does not."""
    undeletable: bool = False
    """The API server refuses to have ContainerSSH delete it."""
    up: bool = False
    """Its Pod has come up."""
    given_up: bool = False
    """Nobody uses it and ContainerSSH has not deleted it: its Pod came too late, its user left without being noticed,
    or the deletion has failed up to now."""
    left: float | None = None
    """The time at which ContainerSSH's log told that nobody uses it any more; None: it has not told. Of a persistent
    one it never tells, as somebody may come back."""
    closed: bool = False
    """Its user left and ContainerSSH has deleted it."""
    finished: bool = False
    """Its container has ended."""
    deleted: float | None = None
    """The time at which somebody other than ContainerSSH deleted it."""
    was_live: bool = False
    """Whether somebody sat in it at that moment."""
    evicted: bool = False
    """The cluster deleted it then: its node was lost, or drained."""
    gone: bool = False
    """The Pod is no more."""

    @property
    def connection(self) -> str:
        """The id of the connection for which it was made."""
        return self.login.connection

    @property
    def live(self) -> bool:
        """Whether somebody may sit in it: a living process serves it and has not given it up."""
        return not (self.given_up or self.closed or self.finished) and any(each.alive for each in self.connections)

    @property
    def orphan(self) -> bool:
        """Whether the Pod is there with nobody in it, not on purpose, and nobody has deleted it yet."""
        kept = self.persistent and not self.finished
        return not (self.gone or self.live or self.closed or kept) and self.deleted is None

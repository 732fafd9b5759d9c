"""The truth about a session, which nobody in the cluster can see: whether its user still sits in it, and whether it
was deleted under the user's feet.

Does not know how a session comes to its end: ``process`` does.
"""

from dataclasses import dataclass

from ssh_session_gc.sandbox.containerssh.log import Login
from ssh_session_gc.sandbox.node.programs import Process


@dataclass(eq=False)
class TrueSession:
    """The truth about one session. Times are the API server's clock."""

    uid: str
    name: str
    user: str
    created: float
    creator: Process
    login: Login
    up: bool = False
    """Its Pod has come up."""
    given_up: bool = False
    """Nobody uses it and ContainerSSH has not deleted it: its Pod came too late, its user left without being noticed,
    or the deletion has failed up to now."""
    left: float | None = None
    """The time at which its user left and only ContainerSSH's log told so."""
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
        """The id of its user's connection."""
        return self.login.connection

    @property
    def live(self) -> bool:
        """Whether somebody may sit in it: a living process serves it and has not given it up."""
        return self.creator.alive and not (self.given_up or self.closed or self.finished)

    @property
    def orphan(self) -> bool:
        """Whether the Pod is there with nobody in it and nobody has deleted it yet."""
        return not self.gone and not self.live and not self.closed and self.deleted is None

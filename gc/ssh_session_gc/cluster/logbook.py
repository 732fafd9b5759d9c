"""Logs of owners that are read once, from a cluster or from files: what they say of the sessions that there are.

Knows that each line counts by its own time, since nobody was there when it came. Does not know where the lines come
from (``reads``, ``preview.dump_logs``).
"""

from collections.abc import Iterable

from ssh_session_gc.cluster.connections import Connections
from ssh_session_gc.containerssh.log import parse
from ssh_session_gc.core.connections import Connection
from ssh_session_gc.core.model import Session


class Logbook:
    """The connections of these sessions, as far as the lines taken in tell of them."""

    def __init__(self, sessions: Iterable[Session]) -> None:
        self._sessions = {session.uid: session for session in sessions}
        self._known = Connections(self._sessions)
        self._known.changed(None)

    def take(self, text: bytes, pod: str) -> None:
        """Takes in a line of this Pod's log, which may be anything."""
        if (line := parse(text, None)) is not None:
            self._known.hear(line, pod)

    def connections(self) -> dict[str, Connection]:
        """What was said of each session's connection, by the session's uid."""
        return {uid: self._known.of(uid) for uid in self._sessions}

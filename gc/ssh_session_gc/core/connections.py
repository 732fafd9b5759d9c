"""What is known of the SSH connection that a session was made for: since when it is open, when it ended, whether
ContainerSSH gave it up.

Knows how what was said adds up. Does not know how ContainerSSH says it (``containerssh.log``), or what follows from
it (``rules.abandoned``).

Only what was said counts, never silence. Lines may be lost; they may come again, or later than what they tell of. So
a connection is the same in whatever order its lines are taken in, and however often:

=========================  ===========================================================================================
the line                   the connection
=========================  ===========================================================================================
any                        is the speaker's, which lived when it was written
CONNECTED                  is open since then, unless it ended later
DISCONNECTED               ended then, unless it was opened again later
WAIT_FAILED                the session of that Pod name was given up
REMOVE_FAILED              the same; it is no end before the last attempt, which is another level
by the logs of two Pods    is contested: it is nobody's, and neither open nor ended
=========================  ===========================================================================================

The order of two lines is that of their own times, by the clock of the node that the owner runs on. The moments are
the API server's: of a line's own time and its arrival the later one, so that a node whose clock is behind ends
nothing early.
"""

import math
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

import msgspec

from ssh_session_gc.core.gauge import Idle
from ssh_session_gc.core.model import Ownership, Session

APART = 2.0
"""Seconds by which the creation of one Pod must be later than that of another for it to be the newer one. Both times
are cut to whole seconds, and may come from two API servers."""


CUT = 1.0
"""Seconds that a creation may have been later than it says."""


class Said(StrEnum):
    """What a line of ContainerSSH's log says of a connection."""

    CONNECTED = "SSH_CONNECTED"
    CREATED = "KUBERNETES_POD_CREATE"
    DISCONNECTED = "SSH_DISCONNECTED"
    WAIT_FAILED = "KUBERNETES_POD_WAIT_FAILED"
    REMOVE_FAILED = "KUBERNETES_POD_REMOVE_FAILED"

    @property
    def gives_up(self) -> bool:
        """Whether it says that ContainerSSH gives a session up, which it then names by its Pod."""
        return self in (Said.WAIT_FAILED, Said.REMOVE_FAILED)


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line of ContainerSSH's log that means something."""

    said: Said
    connection_id: str
    """"" where the line does not tell it, but names the Pod."""
    pod_name: str
    """The session Pod, "" where the line does not name it."""
    written: float
    """Its own time, by the clock of the node that the owner runs on."""
    at: float
    """The moment to count from, by the API server's clock."""


class Moment(msgspec.Struct, frozen=True, gc=False):
    """When something was said: ``written`` and ``at`` as in ``Line``."""

    written: float
    at: float


class Connection(msgspec.Struct, frozen=True, gc=False):
    """What was said of one session's connection so far."""

    speaker: str | None = None
    """The Pod whose log names it. A log is asked for by its Pod's name: which of several Pods of that name wrote a
    line is told by when it was written (``ownership.by_log``)."""
    first: float = math.inf
    """The earliest own time of a line that names it: the incarnation that wrote it lived then."""
    opened: Moment | None = None
    closed: Moment | None = None
    given_up: float | None = None
    how: Said | None = None
    """How it was given up."""
    superseded: float | None = None
    """When a newer Pod of the same connection was created."""
    contested: bool = False

    @property
    def open(self) -> bool | None:
        """Whether somebody is connected; None where nobody says so."""
        if self.contested:
            return None
        if self.closed is not None:
            return self.opened is not None and self.opened.written > self.closed.written
        return None if self.opened is None else True

    @property
    def ended(self) -> float | None:
        """When it ended, where it did."""
        return self.closed.at if self.closed is not None and self.open is False else None


UNHEARD = Connection()
"""Nothing was said."""


class Presence(NamedTuple):
    """Whether somebody is connected to a session, and since when; None where nobody can tell."""

    connected: bool | None
    since: float | None


UNKNOWN = Presence(None, None)
"""Nobody can tell."""


def heard(known: Connection, line: Line, speaker: str) -> Connection:
    """Adds what a line in this Pod's log says of a session's connection."""
    changes: dict[str, object] = {}
    if known.speaker is None:
        changes["speaker"] = speaker
    elif known.speaker != speaker:
        changes["contested"] = True
    if line.written < known.first:
        changes["first"] = line.written
    match line.said:
        case Said.CONNECTED:
            changes["opened"] = _later(known.opened, line)
        case Said.DISCONNECTED:
            changes["closed"] = _later(known.closed, line)
        case Said.WAIT_FAILED | Said.REMOVE_FAILED if known.given_up is None or line.at < known.given_up:
            changes |= {"given_up": line.at, "how": line.said}
    made = msgspec.structs.replace(known, **changes)
    return known if made == known else made


def untold(session: Session, connection: Connection) -> bool:
    """Whether nothing but a gauge would tell that nobody is in a session any more: no log has said that it is open,
    and so will say that it ended; and nothing else has ended it."""
    exempt = session.keep or session.persistent or session.deletion is not None or session.finished is not None
    told = connection.opened or connection.closed or connection.contested
    return not (exempt or told or (connection.given_up, connection.superseded) != (None, None))


def presence(session: Session, connection: Connection, ownership: Ownership | None, tolerance: float) -> Presence:
    """Whether somebody is connected to a session. ``tolerance``: see ``deserted``.

    With its last owner its connection has ended, too. A persistent session is labelled with its first connection for
    ever, which tells nothing of those after it.
    """
    if ownership is not None and ownership.since is not None:
        ended = None if session.persistent else connection.ended
        return Presence(False, ownership.since if ended is None else min(ended, ownership.since))
    if session.persistent:
        return UNKNOWN
    if (ended := connection.ended) is not None:
        return Presence(False, ended)
    if connection.open and connection.opened is not None:
        return Presence(True, connection.opened.at)
    since = deserted(session, connection, ownership, tolerance)
    return UNKNOWN if since is None else Presence(False, since)


def deserted(session: Session, connection: Connection, ownership: Ownership | None, tolerance: float) -> float | None:
    """Since when nobody is connected to any owner that could have created the session, by their gauges; None where
    somebody may be, and where logs say something else: that it is open, or that two owners have it.

    ``tolerance``: seconds by which the clocks of nodes and API server may be apart.
    """
    idle = ownership.idle if ownership is not None else None
    if idle is None or connection.contested or connection.open:
        return None
    return empty_since(session, idle, tolerance)


def empty_since(session: Session, idle: Idle, tolerance: float) -> float | None:
    """Since when a session that had been created by then was in nobody's count; None where it is younger."""
    made = session.created_by + CUT + tolerance
    return max(idle.since, made) if idle.until >= made else None


def _later(known: Moment | None, line: Line) -> Moment:
    """The later of the two. Of a line that is repeated, the arrival that was first."""
    if known is None or line.written > known.written:
        return Moment(line.written, line.at)
    return Moment(known.written, min(known.at, line.at)) if line.written == known.written else known


def superseded(session: Session, others: Iterable[Session]) -> float | None:
    """When a newer Pod of this session's connection was created; None where there is none.

    ContainerSSH creates a second one where the answer to the first creation was lost, and uses that one. In session
    mode each program of a connection has a Pod of its own.
    """
    if session.attached or session.persistent or not session.connection_id:
        return None
    newer = (
        other.created
        for other in others
        if other.connection_id == session.connection_id
        and other.uid != session.uid
        and not (other.attached or other.persistent)
        and other.created >= session.created + APART
    )
    return min(newer, default=None)

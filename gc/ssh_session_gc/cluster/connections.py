"""The connections of the sessions that there are, as the owners' lines tell of them.

Knows which lines are about which session, whichever comes first, and keeps nothing of a session that is gone. Lines
about nobody that is there (yet) wait in a room of limited size: whoever is pushed out was only not heard. Does not
know where lines come from (``owner_logs``).
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

import msgspec

from ssh_session_gc.core.connections import UNHEARD, Connection, Line, Moment, Said, heard, superseded
from ssh_session_gc.core.model import Session
from ssh_session_gc.kube.listeners import Listeners

ROOM = 1024
"""Connections without a session that are remembered, at the least; as many again as there are sessions."""


class Connections:
    """The connections by session."""

    def __init__(self, sessions: Mapping[str, Session]) -> None:
        """``sessions``: those that there are, by uid; it may change, and then ``changed`` is to be called."""
        self._sessions = sessions
        self.changes: Listeners[str | None] = Listeners()
        """Told the uid of the session whose connection is known better; None where many are."""
        self._known: dict[str, Connection] = {}
        """By uid; only of sessions of which something was said."""
        self._by_id: dict[str, str | tuple[str, ...]] = {}
        """The uid of each connection's session, or the uids of several, the first that was seen first. Nearly all
        have one, and a list for each would be a tenth of what is kept of a session."""
        self._ids: dict[str, str] = {}
        """The connection of each session, by uid, as it was when it came."""
        self._room: OrderedDict[tuple[str, str], dict[tuple[Said, str], Line]] = OrderedDict()
        """Lines about nobody that is there, each with whose it is, by what they are about: see ``_about``."""

    def of(self, uid: str) -> Connection:
        """What was said of this session's connection."""
        return self._known.get(uid, UNHEARD)

    def hear(self, line: Line, speaker: str) -> None:
        """Takes in a line of this Pod's log."""
        _, name = about = _about(line)
        # Without a connection's id so rarely that no index by name is worth its memory.
        there = self._of(line.connection_id) if line.connection_id else self._ids
        meant = [uid for uid in there if name in ("", self._sessions[uid].name)]
        if not meant:
            self._keep(about, line, speaker)
        for uid in meant:
            self._put(uid, heard(self.of(uid), line, speaker))

    def changed(self, uid: str | None) -> None:
        """Notes that this session came, changed or went; None: any of them may have."""
        if uid is None:
            for gone in self._ids.keys() - self._sessions.keys():
                self._forget(gone)
            for each in self._sessions:
                self._note(each)
        elif uid in self._sessions:
            self._note(uid)
        else:
            self._forget(uid)

    def moved(self, seconds: float) -> None:
        """Moves what was dated by the API server's clock, which was set."""

        def later(moment: Moment | None) -> Moment | None:
            return moment and Moment(moment.written, moment.at + seconds)

        for uid, known in self._known.items():
            self._known[uid] = msgspec.structs.replace(
                known,
                opened=later(known.opened),
                closed=later(known.closed),
                given_up=None if known.given_up is None else known.given_up + seconds,
                superseded=None if known.superseded is None else known.superseded + seconds,
            )
        for about, lines in self._room.items():
            self._room[about] = {
                who: msgspec.structs.replace(line, at=line.at + seconds) for who, line in lines.items()
            }

    def _note(self, uid: str) -> None:
        session = self._sessions[uid]
        if uid in self._ids or not session.connection_id:
            return
        siblings = self._of(session.connection_id)
        known = UNHEARD
        if siblings:  # what was said of their connection is said of this one's, but not what became of themselves
            known = msgspec.structs.replace(self.of(siblings[0]), given_up=None, how=None, superseded=None)
        if self._room:
            connection, name = session.connection_id, session.name
            for about in ((connection, ""), (connection, name), ("", name)):
                for (_, speaker), line in self._room.pop(about, {}).items():
                    known = heard(known, line, speaker)
        self._put(uid, known)
        if siblings:
            others = [self._sessions[each] for each in siblings if each in self._sessions]
            self._supersede(session, others)
            for other in others:
                self._supersede(other, [session])
        self._by_id[session.connection_id] = (*siblings, uid) if siblings else uid
        self._ids[uid] = session.connection_id

    def _of(self, connection_id: str) -> tuple[str, ...]:
        """The uids of the sessions of a connection."""
        found = self._by_id.get(connection_id, ())
        return (found,) if isinstance(found, str) else found

    def _supersede(self, session: Session, others: Iterable[Session]) -> None:
        known = self.of(session.uid)
        # What was true once stays true, even when the newer one is gone.
        if known.superseded is None and (since := superseded(session, others)) is not None:
            self._put(session.uid, msgspec.structs.replace(known, superseded=since))

    def _put(self, uid: str, known: Connection) -> None:
        if known is not self.of(uid):
            self._known[uid] = known
            self.changes.tell(uid)

    def _keep(self, about: tuple[str, str], line: Line, speaker: str) -> None:
        self._room.setdefault(about, {})[line.said, speaker] = line
        self._room.move_to_end(about)
        while len(self._room) > ROOM + len(self._ids):
            self._room.popitem(last=False)

    def _forget(self, uid: str) -> None:
        self._known.pop(uid, None)
        if (name := self._ids.pop(uid, None)) is not None:
            left = tuple(each for each in self._of(name) if each != uid)
            if left:
                self._by_id[name] = left
            else:
                del self._by_id[name]


def _about(line: Line) -> tuple[str, str]:
    """What a line is about: a connection, or one Pod of it, or a Pod alone. What was given up is told by its name."""
    return line.connection_id, line.pod_name if line.said.gives_up else ""

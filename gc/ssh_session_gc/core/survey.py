"""Counts of sessions and owners by where they stand: what the gauges show.

Knows how to count verdicts. Does not judge (``rules``).
"""

from collections import Counter
from collections.abc import Iterable

import msgspec

from ssh_session_gc.core.connections import Connection, presence
from ssh_session_gc.core.model import Action, ConnectionState, OwnerState, Reason, Session, SessionState, Verdict
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import can_tell

STUCK_AFTER = 60.0
"""Seconds after the end of an accepted deletion's grace at which a session that is still there is stuck. The
kubelet needs a few to report; a minute is longer than any healthy node takes."""
_STATES = {True: ConnectionState.OPEN, False: ConnectionState.ENDED, None: ConnectionState.UNKNOWN}


class Survey(msgspec.Struct):
    """The counts at one moment. Ages are in seconds."""

    sessions: Counter[SessionState] = msgspec.field(default_factory=Counter)
    orphans: Counter[Reason] = msgspec.field(default_factory=Counter)
    """Sessions that are due and still there."""
    longest_due: dict[Reason, float] = msgspec.field(default_factory=dict)
    oldest: float = 0.0
    """Age of the oldest session."""
    owners: Counter[OwnerState] = msgspec.field(default_factory=Counter)
    owner_known: bool = False
    connections: Counter[ConnectionState] = msgspec.field(default_factory=Counter)


def survey(
    judged: Iterable[tuple[Session, Verdict, Connection]], owners: Owners, policy: Policy, now: float
) -> Survey:
    """Counts the sessions, each with its last verdict and connection, and the owners, as they stand at ``now``."""
    counts = Survey(owners=Counter(o.state for o in owners.owners), owner_known=can_tell(owners, policy))
    for session, verdict, connection in judged:
        current = verdict.at(now)
        counts.sessions[session_state(session, current, now)] += 1
        there = presence(session, connection, verdict.ownership, policy.clock_tolerance)
        counts.connections[_STATES[there.connected]] += 1
        counts.oldest = max(counts.oldest, now - session.created)
        if current.action is Action.COLLECT and current.reason and current.due is not None:
            counts.orphans[current.reason] += 1
            late = now - current.due
            counts.longest_due[current.reason] = max(counts.longest_due.get(current.reason, 0.0), late)
    return counts


def session_state(session: Session, verdict: Verdict, now: float) -> SessionState:
    """Where the session stands at ``now``, for the ``sessions`` gauge."""
    if session.deletion is not None:
        return SessionState.STUCK if now > session.deletion + STUCK_AFTER else SessionState.TERMINATING
    if session.keep or session.foreign or (session.persistent and verdict.reason is None):
        return SessionState.EXEMPT
    if verdict.action is Action.COLLECT or verdict.reason not in (None, Reason.OVER_AGE):
        return SessionState.WAITING
    return SessionState.OWNED

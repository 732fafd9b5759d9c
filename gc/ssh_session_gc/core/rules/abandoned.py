"""Abandoned: ContainerSSH itself is done with the session, and it is still there.

Goes by what its owner said and counts, and by a newer Pod of the same connection. Does not know how that was heard
(``connections``, ``gauge``).
"""

from enum import StrEnum
from typing import NamedTuple

from ssh_session_gc.core.connections import UNHEARD, Said, deserted
from ssh_session_gc.core.gauge import CURRENT
from ssh_session_gc.core.model import Reason, Session
from ssh_session_gc.core.ownership import by_log
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.rule import NEVER, Case, Known
from ssh_session_gc.core.times import format_duration

REASON = Reason.ABANDONED


class How(StrEnum):
    """How it is known that ContainerSSH is done with a session."""

    ENDED = "its connection ended"
    GIVEN_UP = "ContainerSSH gave it up"
    SUPERSEDED = "a newer Pod of the same connection was created"
    DESERTED = "nobody has been connected"


class Done(NamedTuple):
    """Since when ContainerSSH is done with a session, and how that is known."""

    since: float
    how: How


def due(session: Session, known: Known, policy: Policy) -> float:
    """The earliest word that it is done with plus ``abandoned_grace``; NEVER where nobody said so."""
    done = _done(session, known, policy)
    return NEVER if done is None else done.since + policy.abandoned_grace


def needs_fresh_read(session: Session, known: Known, policy: Policy) -> bool:
    """Where nothing but gauges says so: an owner that nobody has seen may have it."""
    done = _done(session, known, policy)
    return done is not None and done.how is How.DESERTED


def evidence(case: Case, *, late: bool) -> str:  # noqa: ARG001 - the same before and after it is due
    """Since when ContainerSSH is done with it, and who said so."""
    done = _done(case.session, case.known, case.policy)
    return _sentence(case, done) if done else "ContainerSSH has not said that it is done with it"


def why(case: Case, due: float) -> str:  # noqa: ARG001 - it is due where ContainerSSH is done with it
    """Since when ContainerSSH is done with it, or what it says instead."""
    if not case.policy.ownerless:
        return "off (owner=none)"
    done, connection = _done(case.session, case.known, case.policy), case.known.connection
    if done is not None:
        return f"{_sentence(case, done)}; grace {format_duration(case.policy.abandoned_grace)}"
    if connection.contested:
        return "the logs of two owners name its connection: neither counts"
    if connection.open and connection.opened is not None:
        at, who = case.at(connection.opened.at), connection.speaker
        return f"its connection is open since {at}, as {who} logged ({Said.CONNECTED})"
    since = deserted(case.session, connection, case.known.ownership, case.policy.clock_tolerance)
    if since is not None:
        grace = format_duration(case.policy.abandoned_grace)
        return f"{How.DESERTED} to {_counting(case)} since {case.at(since)}; to be counted again {grace} later"
    return "ContainerSSH has not said anything of its connection's end"


def _done(session: Session, known: Known, policy: Policy) -> Done | None:
    connection, ownership = known.connection, known.ownership
    if not policy.ownerless:
        return None
    found: list[Done] = []
    if connection is not UNHEARD:
        if (ended := connection.ended) is not None:
            found.append(Done(ended, How.ENDED))
        if connection.given_up is not None and not connection.contested:
            found.append(Done(connection.given_up, How.GIVEN_UP))
        if connection.superseded is not None:
            found.append(Done(connection.superseded, How.SUPERSEDED))
    # One count of 0 is not enough: it is 0 again when the grace is over.
    if ownership is not None and ownership.idle is not None:
        since = deserted(session, connection, ownership, policy.clock_tolerance)
        if since is not None and ownership.idle.until >= since + policy.abandoned_grace:
            found.append(Done(since, How.DESERTED))
    if not found:
        return None
    # What was over before it was created leaves it the whole grace.
    return min(Done(max(each.since, session.created), each.how) for each in found)


def _sentence(case: Case, done: Done) -> str:
    connection, at, tail = case.known.connection, case.at(done.since), "and it is still there"
    match done.how:
        case How.ENDED:
            return f"{done.how} at {at}, as {connection.speaker} logged ({Said.DISCONNECTED}), {tail}"
        case How.GIVEN_UP:
            return f"{done.how} at {at}, as {connection.speaker} logged ({connection.how}), {tail}"
        case How.SUPERSEDED:
            return f"{done.how} at {at}, {tail}"
    return f"{done.how} to {_counting(case)} since {at}, as metrics count ({CURRENT}), {tail}"


def _counting(case: Case) -> str:
    """Whose gauges say so: of all that may be alive and could have created it."""
    session, known, tolerance = case.session, case.known, case.policy.clock_tolerance
    owner = known.ownership.owner.pod if known.ownership is not None and known.ownership.owner else "its owner"
    if session.stamp_uid or by_log(session, known.owners, known.connection, tolerance):
        return owner
    latest = session.created_by + tolerance
    others = sum(each.alive and each.earliest_start <= latest for each in known.owners.owners) - 1
    return f"{owner} or {others} more that could have created it" if others else owner

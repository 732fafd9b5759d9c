"""Abandoned: ContainerSSH itself is done with the session, and it is still there.

Goes by what its owner said, and by a newer Pod of the same connection. Does not know how that was heard
(``connections``). A persistent session is kept on purpose and is never abandoned.
"""

from typing import NamedTuple

from ssh_session_gc.core.connections import UNHEARD
from ssh_session_gc.core.model import Reason, Session
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.rule import NEVER, Case, Known
from ssh_session_gc.core.times import format_duration

REASON = Reason.ABANDONED
NEEDS_FRESH_READ = False


class Done(NamedTuple):
    """Since when ContainerSSH is done with a session, and how that is known."""

    since: float
    how: str


def due(session: Session, known: Known, policy: Policy) -> float:
    """The earliest word that it is done with plus ``abandoned_grace``; NEVER where nobody said so."""
    done = _done(session, known) if policy.ownerless else None
    return NEVER if done is None else done.since + policy.abandoned_grace


def evidence(case: Case, *, late: bool) -> str:  # noqa: ARG001 - the same before and after it is due
    """Since when ContainerSSH is done with it, and who said so."""
    done = _done(case.session, case.known)
    return _sentence(case, done) if done else "ContainerSSH has not said that it is done with it"


def why(case: Case, due: float) -> str:
    """Since when ContainerSSH is done with it, or what it says instead."""
    if not case.policy.ownerless:
        return "off (owner=none)"
    if case.session.persistent:
        return "it is persistent: ContainerSSH keeps it on purpose"
    done, connection = _done(case.session, case.known), case.known.connection
    if done is not None and due != NEVER:
        return f"{_sentence(case, done)}; grace {format_duration(case.policy.abandoned_grace)}"
    if connection.contested:
        return "the logs of two owners name its connection: neither counts"
    if connection.open and connection.opened is not None:
        where = connection.speaker.pod if connection.speaker else "its owner"
        return f"its connection is open since {case.at(connection.opened.at)}, as {where} logged (SSH_CONNECTED)"
    return "ContainerSSH has not said anything of its connection's end"


def _done(session: Session, known: Known) -> Done | None:
    connection = known.connection
    if session.persistent or connection is UNHEARD:
        return None
    found: list[Done] = []
    if (ended := connection.ended) is not None:
        found.append(Done(ended, "SSH_DISCONNECTED"))
    if connection.given_up is not None and not connection.contested:
        found.append(Done(connection.given_up, str(connection.how)))
    if connection.superseded is not None:
        found.append(Done(connection.superseded, ""))
    # What was over before it was created leaves it the whole grace.
    return min((Done(max(each.since, session.created), each.how) for each in found), default=None)


def _sentence(case: Case, done: Done) -> str:
    connection, at = case.known.connection, case.at(done.since)
    if not done.how:
        return f"a newer Pod of the same connection was created at {at}, and it is still there"
    who = connection.speaker.pod if connection.speaker else "its owner"
    what = "its connection ended at" if done.how == "SSH_DISCONNECTED" else "ContainerSSH gave it up at"
    return f"{what} {at}, as {who} logged ({done.how}), and it is still there"

"""StartTimeout: the session has not started, or become Ready, in time, so ContainerSSH has given up on it.

Knows when a start is too late. Does not know what a start is (``kube.shells``).
"""

from ssh_session_gc.core.model import Reason, Session
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.rule import NEVER, Case, Known, no_fresh_read
from ssh_session_gc.core.times import format_duration

REASON = Reason.START_TIMEOUT
needs_fresh_read = no_fresh_read


def due(session: Session, _: Known, policy: Policy) -> float:
    """Creation plus ``start_timeout``; NEVER where that is 0, or its container started by then and was Ready."""
    deadline = session.created + policy.start_timeout
    in_time = session.started is not None and session.started <= deadline and not session.never_ready
    if not policy.start_timeout or in_time:
        return NEVER
    return deadline


def evidence(case: Case, *, late: bool) -> str:
    """How far its container got."""
    session, limit = case.session, format_duration(case.policy.start_timeout)
    if session.never_ready:
        until = f"within {limit}" if late else "yet"
        return f"created at {case.at(session.created)} and not Ready {until}: nobody was let in"
    if session.started is not None:
        took = format_duration(session.started - session.created)
        return f"its container started {took} after its creation, later than {limit}: nobody waited for it"
    waiting = f", {session.waiting}" if session.waiting else ""
    until = f"within {limit}" if late else "yet"
    return f"created at {case.at(session.created)} and not started {until}: {session.phase}{waiting}"


def why(case: Case, due: float) -> str:
    """How far its container got, or that it was in time."""
    if not case.policy.start_timeout:
        return "off (start-timeout=0)"
    if due != NEVER:
        return evidence(case, late=case.now >= due)
    took = format_duration(max(0.0, (case.session.started or 0.0) - case.session.created))
    return f"its container started {took} after its creation, within {format_duration(case.policy.start_timeout)}"

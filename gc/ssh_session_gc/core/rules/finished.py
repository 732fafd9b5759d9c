"""Finished: the session has ended by itself, and its Pod is still there.

Does not know when a container has ended for good (``kube.shells``, ``kube.pods``).
"""

from ssh_session_gc.core.model import Reason, Session
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.rule import NEVER, Case, Known, no_fresh_read
from ssh_session_gc.core.times import format_duration

REASON = Reason.FINISHED
needs_fresh_read = no_fresh_read


def due(session: Session, _: Known, policy: Policy) -> float:
    """The end plus ``finished_grace``."""
    return NEVER if session.finished is None else session.finished + policy.finished_grace


def evidence(case: Case, *, late: bool) -> str:  # noqa: ARG001 - the same before and after it is due
    """When it ended."""
    return f"its container ended at {case.at(case.session.finished or 0.0)} ({_state(case)})"


def why(case: Case, _: float) -> str:
    """When it ended, or that it has not."""
    session = case.session
    if session.finished is None:
        return f"its phase is {session.phase or 'not known'}: it has not ended"
    grace = format_duration(case.policy.finished_grace)
    return f"ended at {case.at(session.finished)} ({_state(case)}); grace {grace}"


def _state(case: Case) -> str:
    phase = case.session.phase
    return phase if phase in ("Succeeded", "Failed") else f"{phase}, as another of its containers is"

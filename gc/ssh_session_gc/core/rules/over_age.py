"""OverAge: a session has a limit of age, its own or everybody's.

Goes by the creation alone. Does not know whether anybody sits in the session.
"""

import math

from ssh_session_gc.core.model import Reason, Session
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules import ownerless
from ssh_session_gc.core.rules.rule import NEVER, Case, Known, no_fresh_read
from ssh_session_gc.core.times import format_duration

REASON = Reason.OVER_AGE
needs_fresh_read = no_fresh_read


def due(session: Session, _: Known, policy: Policy) -> float:
    """Creation plus the limit; NEVER with ``max_age=0``."""
    return session.created + policy.age_limit(session) if policy.max_age else NEVER


def evidence(case: Case, *, late: bool) -> str:
    """The age, once it is too high. Until then it says nothing of the session, and its owner does."""
    return (
        f"open since {case.at(case.session.created)}, longer than {_limit(case)}" if late else ownerless.owned(case)
    )


def why(case: Case, due: float) -> str:
    """The age and its limit."""
    if due == NEVER:
        return "off (max-age=0)"
    return f"open since {case.at(case.session.created)}, may be for {_limit(case)}"


def _limit(case: Case) -> str:
    """The limit, and where it comes from."""
    policy, ttl = case.policy, case.session.ttl
    if ttl == math.inf:
        return f"{format_duration(policy.max_ttl)} (max-ttl, as its ttl cannot be read)"
    if ttl is None:
        return f"{format_duration(policy.max_age)} (max-age)"
    if ttl > policy.max_ttl:
        return f"{format_duration(policy.max_ttl)} (its own ttl of {format_duration(ttl)}, cut to max-ttl)"
    return f"{format_duration(ttl)} (its own ttl)"

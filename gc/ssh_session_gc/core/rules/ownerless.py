"""Ownerless: nobody who could have created the session lives, and so nobody sits in it.

Knows the grace and how to say who owns a session, or why nobody can tell. Does not know who could have created it
(``ownership``).
"""

import math

from ssh_session_gc.core.model import Incarnation, Ownership, OwnerState, Reason, Session
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.rule import NEVER, Case, Known
from ssh_session_gc.core.times import format_duration

REASON = Reason.OWNERLESS


def due(_: Session, known: Known, policy: Policy) -> float:
    """The end of the last owner plus ``owner_grace``; NEVER where one may live, or nobody can tell."""
    owned = known.ownership
    return NEVER if owned is None or owned.since is None else owned.since + policy.owner_grace


def needs_fresh_read(_: Session, __: Known, ___: Policy) -> bool:
    """Always: an owner that nobody has seen may have it."""
    return True


def evidence(case: Case, *, late: bool) -> str:  # noqa: ARG001 - the same before and after it is due
    """Since when nobody owns it."""
    return owned(case)


def why(case: Case, due: float) -> str:
    """Who owns it, or since when nobody does."""
    grace = f"; grace {format_duration(case.policy.owner_grace)}" if due != NEVER else ""
    return owned(case) + grace


def owned(case: Case) -> str:
    """Who may own it, or since when nobody does, or why nobody can tell."""
    if not case.policy.ownerless:
        return "owners are not looked at (owner=none)"
    ownership = case.known.ownership
    if ownership is None:
        return f"nobody can tell who owns it: {case.known.owners.unknown}"
    owner = ownership.owner
    if owner is None or ownership.since is not None:
        return _ownerless(case, ownership)
    where = f"container {owner.container} of {owner.pod}"
    match owner.state:
        case OwnerState.STARTING:
            return f"{where} is starting and may own it"
        case OwnerState.UNREACHABLE:
            return f"{where} may own it: its node does not report, and it may be running"
    return f"{where} may own it, running since {case.at(owner.earliest_start)}"


def _ownerless(case: Case, owned: Ownership) -> str:
    """Since when nobody owns it, and how that came."""
    session, owners = case.session, [o for o in case.known.owners.owners if o.earliest_start < math.inf]
    word = "no owner since" if owned.exact else "no owner at least since"
    head = f"{word} {case.at(owned.since or 0.0)}: "
    tail = f", this session is from {case.at(session.created)}"
    owner = owned.owner
    if owner is not None:
        return head + _ended(case, owner) + tail
    there = [o for o in owners if o.pod_uid == session.stamp_uid]
    if there:
        # The end of the incarnation that made it is in no status any more; its Pod lives on.
        oldest = min(there, key=lambda o: o.earliest_start)
        return (
            f"{head}container {oldest.container} of {oldest.pod} restarted at {case.at(oldest.earliest_start)}{tail}"
        )
    if session.stamp_uid:
        name = session.stamp_name or f"with uid {session.stamp_uid}"
        return f"{head}its creator, Pod {name}, is gone{tail}"
    alive = [o for o in owners if o.alive]
    if not alive:
        return f"{head}no owner is running{tail}"
    oldest = min(alive, key=lambda o: o.earliest_start)
    return f"{head}the oldest owner, {oldest.pod}, is from {case.at(oldest.earliest_start)}{tail}"


def _ended(case: Case, owner: Incarnation) -> str:
    """How an incarnation ended."""
    where = f"container {owner.container} of {owner.pod}"
    later = [
        o for o in case.known.owners.owners if o.pod_uid == owner.pod_uid and o.earliest_start > owner.earliest_start
    ]
    starts = [o.started for o in later if o.started is not None]
    if starts:
        return f"{where} restarted at {case.at(min(starts))}"
    how = f" ({owner.ending})" if owner.ending else ""
    return f"{where} ended at {case.at(owner.finished or 0.0)}{how}"

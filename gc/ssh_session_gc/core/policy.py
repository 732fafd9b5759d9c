"""What to do with a session and when: the one function that judges.

Knows the four rules, what exempts from them and which comes first. Does not know where the facts come from, and
deletes nothing. The daemon, ``plan`` and the tests all judge through ``judge``; whatever is shown of a verdict is
said by ``core.evidence``.
"""

import math
from collections import Counter
from collections.abc import Iterable

import msgspec

from ssh_session_gc.core.model import Action, OwnerState, Reason, Session, SessionState
from ssh_session_gc.core.owners import Owners, Ownership, ownership

STUCK_AFTER = 60.0
"""Seconds after the end of an accepted deletion's grace at which a session that is still there is stuck. The
kubelet needs a few to report; a minute is longer than any healthy node takes."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The limits, in seconds. An age or timeout of 0 turns its rule off; a grace of 0 is no grace."""

    max_age: float = 3600.0
    max_ttl: float = 86400.0
    """The most that a session's own limit may ask for."""
    owner_grace: float = 60.0
    clock_tolerance: float = 2.0
    start_timeout: float = 120.0
    finished_grace: float = 60.0
    force_after: float = 0.0
    ownerless: bool = True
    """False turns the Ownerless rule off: there is no owner workload to go by."""

    def age_limit(self, session: Session) -> float:
        """The age at which this session is over, in seconds; only where ``max_age`` is on."""
        return self.max_age if session.ttl is None else min(session.ttl, self.max_ttl)


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What the policy says of one session now.

    ``due`` is the moment at which it turns, or turned, to Collect: None for Keep. ``ownership`` is None where
    nothing is known of owners, or nobody asked.
    """

    action: Action
    reason: Reason | None = None
    due: float | None = None
    ownership: Ownership | None = None
    force: bool = False
    """Delete with grace 0: its deletion was accepted long ago and nothing came of it."""

    def at(self, now: float) -> "Verdict":
        """The same verdict at another time: as long as the facts stand, only what is due changes."""
        if self.due is None:
            return self
        return msgspec.structs.replace(self, action=Action.COLLECT if now >= self.due else Action.WAITING)


def judge(session: Session, owners: Owners, policy: Policy, now: float) -> Verdict:
    """The verdict on one session at ``now`` (epoch seconds, the API server's clock).

    Of several rules that apply, the one that was due first gives the reason. A session is due *at* its ``due``.
    """
    owned = ownership(session, owners, policy.clock_tolerance) if can_tell(owners, policy) else None
    if session.keep:
        return Verdict(Action.KEEP, ownership=owned)
    found = dues(session, owned, policy)
    due = min(found)
    if due == NEVER:
        return Verdict(Action.KEEP, ownership=owned)
    reason = RULES[found.index(due)]
    if session.deletion is not None:
        # Somebody deleted it already. Only where that led to nothing may it be deleted again.
        if not policy.force_after:
            return Verdict(Action.KEEP, ownership=owned)
        due = max(due, session.deletion + policy.force_after)
    action = Action.COLLECT if now >= due else Action.WAITING
    return Verdict(action, reason, due, owned, session.deletion is not None)


RULES = (Reason.OVER_AGE, Reason.OWNERLESS, Reason.START_TIMEOUT, Reason.FINISHED)
NEVER = math.inf


def dues(session: Session, owned: Ownership | None, policy: Policy) -> tuple[float, float, float, float]:
    """When each of RULES fires, were it the only one; NEVER, as things stand. Of equal ones the first counts."""
    return (
        session.created + policy.age_limit(session) if policy.max_age else NEVER,
        NEVER if owned is None or owned.since is None else owned.since + policy.owner_grace,
        _start_timeout(session, policy),
        NEVER if session.finished is None else session.finished + policy.finished_grace,
    )


def can_tell(owners: Owners, policy: Policy) -> bool:
    """Whether the Ownerless rule may speak at all."""
    return policy.ownerless and not owners.unknown


def _start_timeout(session: Session, policy: Policy) -> float:
    deadline = session.created + policy.start_timeout
    if not policy.start_timeout or (session.started is not None and session.started <= deadline):
        return NEVER
    return deadline


class Survey(msgspec.Struct):
    """How many sessions and owners stand where, at one moment. Ages are in seconds."""

    sessions: Counter[SessionState] = msgspec.field(default_factory=Counter)
    orphans: Counter[Reason] = msgspec.field(default_factory=Counter)
    """Sessions that are due and still there."""
    longest_due: dict[Reason, float] = msgspec.field(default_factory=dict)
    oldest: float = 0.0
    """Age of the oldest session."""
    owners: Counter[OwnerState] = msgspec.field(default_factory=Counter)
    owner_known: bool = False


def survey(judged: Iterable[tuple[Session, Verdict]], owners: Owners, policy: Policy, now: float) -> Survey:
    """Counts the sessions, each with its last verdict, and the owners, as they stand at ``now``."""
    counts = Survey(owners=Counter(o.state for o in owners.owners), owner_known=can_tell(owners, policy))
    for session, verdict in judged:
        current = verdict.at(now)
        counts.sessions[session_state(session, current, now)] += 1
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
    if session.keep:
        return SessionState.EXEMPT
    if verdict.action is Action.COLLECT or verdict.reason not in (None, Reason.OVER_AGE):
        return SessionState.WAITING
    return SessionState.OWNED

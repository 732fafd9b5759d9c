"""Everything about one verdict: every owner that could or could not have created the session, every rule.

Knows how to take ``policy.judge`` and ``owners.ownership`` apart for people: a test holds what is said here to what
they decide. Does not decide anything, and does not know how it is shown (``preview``).
"""

from typing import NamedTuple

from ssh_session_gc.core.evidence import Sentences, evidence
from ssh_session_gc.core.model import Owner, OwnerState, Reason, Session
from ssh_session_gc.core.owners import Owners, Ownership
from ssh_session_gc.core.policy import NEVER, RULES, Policy, Verdict, dues, judge
from ssh_session_gc.core.times import format_duration


class Candidate(NamedTuple):
    """One incarnation of the owner container, and whether it could have created the session."""

    owner: Owner
    could: bool
    why: str


class Rule(NamedTuple):
    """One rule: when it fires (epoch seconds; None for never, as things stand), and the facts behind that."""

    reason: Reason
    due: float | None
    why: str


class Explanation(NamedTuple):
    """One session taken apart."""

    session: Session
    verdict: Verdict
    evidence: str
    candidates: tuple[Candidate, ...]
    """Oldest first."""
    rules: tuple[Rule, ...]
    exempt: tuple[str, ...]
    """What keeps the rules from acting."""


def explain(session: Session, owners: Owners, policy: Policy, now: float) -> Explanation:
    """The explanation of what ``judge`` says of this session at ``now`` (epoch seconds)."""
    verdict = judge(session, owners, policy, now)
    say = Sentences(session, owners, policy, now)
    ranked = sorted(owners.owners, key=lambda owner: (owner.born, owner.pod))
    fires = [None if due == NEVER else due for due in dues(session, verdict.ownership, policy)]
    return Explanation(
        session,
        verdict,
        evidence(session, verdict, owners, policy, now),
        tuple(Candidate(owner, *_could(owner, session, policy.clock_tolerance, say)) for owner in ranked),
        tuple(
            Rule(reason, due, _why(reason, due, verdict.ownership, say))
            for reason, due in zip(RULES, fires, strict=True)
        ),
        tuple(_exempt(session, policy, say)),
    )


def _could(owner: Owner, session: Session, tolerance: float, say: Sentences) -> tuple[bool, str]:
    if session.stamp_uid and owner.pod_uid != session.stamp_uid:
        return False, f"the session is stamped as made by Pod {session.stamp_name or session.stamp_uid}"
    if owner.born > session.created + tolerance and not (session.stamp_uid and owner.first):
        later = f"{format_duration(owner.born - session.created)} after the session was created"
        slack = f" (clock-tolerance {format_duration(tolerance)})"
        if owner.state is OwnerState.STARTING:
            return False, f"has yet to start, {later} at the earliest{slack}"
        return False, f"started {later}{slack}"
    ended = owner.finished
    if ended is None:
        return True, {
            OwnerState.RUNNING: f"was running when it was created, since {say.at(owner.born)}, and still is",
            OwnerState.STARTING: "may have started before its status says so",
            OwnerState.UNREACHABLE: "its node does not report; it may still be running",
        }[owner.state]
    if ended < session.created - tolerance:
        return False, f"had ended {format_duration(session.created - ended)} before the session was created"
    return True, f"was running when it was created, but ended at {say.at(ended)}"


def _why(reason: Reason, due: float | None, owned: Ownership | None, say: Sentences) -> str:
    session, policy = say.session, say.policy
    match reason:
        case Reason.OVER_AGE:
            return f"open since {say.at(session.created)}, may be for {say.limit()}" if due else "off (max-age=0)"
        case Reason.OWNERLESS if due is not None and owned is not None:
            return f"{say.ownerless(owned)}; grace {format_duration(policy.owner_grace)}"
        case Reason.OWNERLESS:
            return say.owned(owned)
        case Reason.START_TIMEOUT if not policy.start_timeout:
            return "off (start-timeout=0)"
        case Reason.START_TIMEOUT if due is None:
            took = format_duration(max(0.0, (session.started or 0.0) - session.created))
            return f"its container started {took} after its creation, within {format_duration(policy.start_timeout)}"
        case Reason.START_TIMEOUT:
            return say.unstarted(late=say.now >= (due or 0.0))
    if session.finished is None:
        return f"its phase is {session.phase or 'not known'}: it has not ended"
    return f"ended at {say.at(session.finished)} ({session.phase}); grace {format_duration(policy.finished_grace)}"


def _exempt(session: Session, policy: Policy, say: Sentences) -> list[str]:
    found = ["its annotation ssh-session-gc/keep exempts it from every rule"] if session.keep else []
    if session.deletion is not None:
        gone = f"its deletion was accepted already, with grace until {say.at(session.deletion)}"
        if policy.force_after:
            again = say.at(session.deletion + policy.force_after)
            found.append(f"{gone}; deleted again with grace 0 from {again} on, if a rule is due (force-after)")
        else:
            found.append(gone)
    return found

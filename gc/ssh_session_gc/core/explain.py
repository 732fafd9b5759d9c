"""Everything about one verdict: every owner that could or could not have created the session, every rule.

Knows how to take ``judge`` and ``ownership`` apart for people: a test holds what is said here to what they decide.
Does not decide anything, and does not know how it is shown (``preview``).
"""

import math
from typing import NamedTuple

from ssh_session_gc.core.connections import UNHEARD, Connection, Presence, presence
from ssh_session_gc.core.evidence import NO_SESSION, evidence
from ssh_session_gc.core.model import KEEP, Incarnation, OwnerState, Reason, Session, Verdict
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.ownership import by_log, is_owner
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import RULES, judge
from ssh_session_gc.core.rules.rule import NEVER, Case, Known, Rule
from ssh_session_gc.core.times import format_duration


class Candidate(NamedTuple):
    """One incarnation of the owner container, and whether it could have created the session."""

    owner: Incarnation
    could: bool
    why: str


class Applied(NamedTuple):
    """What one rule says: when it fires (epoch seconds; None for never, as things stand), and the facts behind it."""

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
    rules: tuple[Applied, ...]
    exempt: tuple[str, ...]
    """What keeps the rules from acting."""
    connection: Connection
    presence: Presence


def explain(
    session: Session, owners: Owners, policy: Policy, now: float, connection: Connection = UNHEARD
) -> Explanation:
    """The explanation of what ``judge`` says of this session at ``now`` (epoch seconds)."""
    verdict = judge(session, owners, policy, now, connection)
    case = Case(session, Known(owners, verdict.ownership, connection), policy, now)
    ranked = sorted(owners.owners, key=lambda owner: (owner.earliest_start, owner.pod))
    return Explanation(
        session,
        verdict,
        evidence(session, verdict, owners, policy, now, connection),
        tuple(Candidate(owner, *_could(owner, case)) for owner in ranked),
        tuple(_applied(rule, case) for rule in RULES),
        tuple(_exempt(case)),
        connection,
        presence(session, connection, verdict.ownership, policy.clock_tolerance),
    )


def _applied(rule: Rule, case: Case) -> Applied:
    due = rule.due(case.session, case.known, case.policy)
    return Applied(rule.REASON, None if due == NEVER else due, rule.why(case, due))


def _could(owner: Incarnation, case: Case) -> tuple[bool, str]:
    session, tolerance = case.session, case.policy.clock_tolerance
    if session.stamp_uid and owner.pod_uid != session.stamp_uid:
        return False, f"the session is stamped as made by Pod {session.stamp_name or session.stamp_uid}"
    told = by_log(session, case.known.owners, case.known.connection, tolerance)
    if told and told.owner is not owner:
        return False, f"the log of {case.known.connection.speaker} names its connection"
    if not told and owner.earliest_start > session.created_by + tolerance and not (session.stamp_uid and owner.first):
        if owner.earliest_start == math.inf:
            return False, "its Pod has no node yet"
        later = f"{format_duration(owner.earliest_start - session.created_by)} after the session was created"
        slack = f" (clock-tolerance {format_duration(tolerance)})"
        if owner.state is OwnerState.STARTING:
            return False, f"has yet to start, {later} at the earliest{slack}"
        return False, f"started {later}{slack}"
    by = "; its log names the session's connection" if told else ""
    if (idle := case.known.owners.idle.get(owner.run)) is not None:
        by += f"; nobody has been connected to it since {case.at(idle.since)}, by its metrics"
    ended, start = owner.finished, case.at(owner.earliest_start)
    if ended is None:
        return True, {
            OwnerState.RUNNING: f"was running when it was created, since {start}, and still is",
            OwnerState.STARTING: "may have started before its status says so",
            OwnerState.UNREACHABLE: "its node does not report; it may still be running",
        }[owner.state] + by
    if ended < session.created - tolerance:
        return False, f"had ended {format_duration(session.created - ended)} before the session was created"
    return True, f"was running when it was created, but ended at {case.at(ended)}{by}"


def _exempt(case: Case) -> list[str]:
    session, policy = case.session, case.policy
    found = ["its annotation ssh-session-gc/keep exempts it from every rule"] if session.keep else []
    if is_owner(session, case.known.owners):
        found.append(NO_SESSION)
    if session.spared:
        until = case.at(session.created + policy.max_ttl)
        found.append(
            f"its annotation {KEEP} cannot be read, which exempts it from every rule until {until} (max-ttl)"
        )
    if session.persistent:
        found.append("it is persistent, kept on purpose, which exempts it from every rule but Finished")
    if session.deletion is not None:
        gone = f"its deletion was accepted already, with grace until {case.at(session.deletion)}"
        if policy.force_after:
            again = case.at(session.deletion + policy.force_after)
            found.append(f"{gone}; deleted again with grace 0 from {again} on, if a rule is due (force-after)")
        else:
            found.append(gone)
    return found

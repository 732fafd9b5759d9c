"""All rules together: which comes first, what exempts, and how a verdict changes with time alone."""

import msgspec
from hypothesis import given

from ssh_session_gc.core.connections import UNHEARD
from ssh_session_gc.core.evidence import NO_SESSION, evidence
from ssh_session_gc.core.model import Action, Reason, Session
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.ownership import ownership
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import judge, needs_fresh_read
from tests.builders import ALIVE, NOBODY, TOLERANCE, T, owner_pod, owners_of, session
from tests.core.strategies import instants, known_owners, moments, policies, sessions


@given(sessions(), known_owners(), policies, instants, instants)
def test_a_verdict_never_turns_back_while_the_facts_stand(
    s: Session, owners: Owners, policy: Policy, one: float, other: float
) -> None:
    early, late = sorted((one, other))
    before, after = judge(s, owners, policy, early), judge(s, owners, policy, late)
    assert (before.reason, before.due) == (after.reason, after.due)
    assert before.action is not Action.COLLECT or after.action is Action.COLLECT


@given(sessions(), known_owners(), policies, instants)
def test_due_is_the_moment_at_which_it_turns_to_collect(
    s: Session, owners: Owners, policy: Policy, now: float
) -> None:
    verdict = judge(s, owners, policy, now)
    if verdict.due is None:
        assert verdict.action is Action.KEEP
        assert judge(s, owners, policy, now + 1e9).action is Action.KEEP
        return
    assert judge(s, owners, policy, verdict.due).action is Action.COLLECT
    assert judge(s, owners, policy, verdict.due - 0.001).action is Action.WAITING
    assert verdict.at(verdict.due) == judge(s, owners, policy, verdict.due)


@given(sessions(), known_owners(), policies, instants)
def test_what_is_exempt_is_always_kept(s: Session, owners: Owners, policy: Policy, now: float) -> None:
    kept = msgspec.structs.replace(s, keep=True)
    assert judge(kept, owners, policy, now + 1e9).action is Action.KEEP
    deleted = msgspec.structs.replace(s, deletion=now)
    unforced = msgspec.structs.replace(policy, force_after=0.0)
    assert judge(deleted, owners, unforced, now + 1e9).action is Action.KEEP


def test_the_rule_that_was_due_first_gives_the_reason() -> None:
    done = session(phase="Failed", finished=T + 10)
    assert judge(done, NOBODY, Policy(), T + 1e6).reason is Reason.OWNERLESS
    assert judge(done, NOBODY, Policy(finished_grace=1.0), T + 1e6).reason is Reason.FINISHED


def test_of_rules_that_fire_at_once_the_first_gives_the_reason() -> None:
    unstarted = session(phase="Pending", started=None)
    verdict = judge(unstarted, Owners(unknown="x"), Policy(max_age=120.0, start_timeout=120.0), T + 120)
    assert (verdict.action, verdict.reason) == (Action.COLLECT, Reason.OVER_AGE)


def test_a_deletion_is_forced_only_when_asked_and_only_what_a_rule_would_end() -> None:
    stuck = session(deletion=T + 30)
    assert judge(stuck, NOBODY, Policy(), T + 1e6).action is Action.KEEP
    verdict = judge(stuck, NOBODY, Policy(force_after=300.0), T + 1e6)
    assert (verdict.action, verdict.force, verdict.due) == (Action.COLLECT, True, T + 330)
    assert judge(stuck, ALIVE, Policy(force_after=300.0), T + 400).action is Action.WAITING
    assert judge(stuck, ALIVE, Policy(force_after=300.0, max_age=0), T + 1e6).action is Action.KEEP


def test_the_exempt_are_shown_with_their_owner() -> None:
    owners = owners_of(owner_pod("a", running=T))
    verdict = judge(session(T + 10, keep=True), owners, Policy(), T + 20)
    assert verdict.action is Action.KEEP
    assert verdict.ownership is not None


def test_those_that_nothing_will_end_are_shown_with_their_owner() -> None:
    owners = owners_of(owner_pod("a", running=T))
    started = session(T + 10)
    deleted = msgspec.structs.replace(started, deletion=T + 40)
    never = Policy(max_age=0.0)
    for it, policy in ((started, never), (deleted, Policy()), (deleted, Policy(max_age=0.0, force_after=9.0))):
        verdict = judge(it, owners, policy, T + 20)
        assert (verdict.action, verdict.reason, verdict.due, verdict.force) == (Action.KEEP, None, None, False)
        assert verdict.ownership == ownership(it, owners, TOLERANCE)


def test_owners_are_read_afresh_only_before_somebody_dies_of_having_none() -> None:
    for s, owners, reason, fresh in (
        (session(), NOBODY, Reason.OWNERLESS, True),
        (session(), ALIVE, Reason.OVER_AGE, False),
        (session(phase="Failed", finished=T + 9), ALIVE, Reason.FINISHED, False),
        (session(keep=True), NOBODY, None, False),
    ):
        found = judge(s, owners, Policy(), T + 60)
        assert found.reason is reason
        assert needs_fresh_read(s, found, owners, Policy(), UNHEARD) is fresh


@given(sessions(), known_owners(), policies, moments)
def test_what_may_be_containerssh_itself_is_never_collected(
    s: Session, owners: Owners, policy: Policy, at: float
) -> None:
    beside = msgspec.structs.replace(s, foreign=True)
    assert judge(beside, owners, policy, at).action is Action.KEEP
    assert evidence(beside, judge(beside, owners, policy, at), owners, policy, at)
    for owner in owners.owners:
        own = msgspec.structs.replace(s, uid=owner.pod_uid)
        assert judge(own, owners, policy, at).action is Action.KEEP
        assert own.keep or evidence(own, judge(own, owners, policy, at), owners, policy, at) == NO_SESSION

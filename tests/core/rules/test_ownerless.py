"""Ownerless: never while an owner may live or nobody can tell, and only after the grace."""

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from ssh_session_gc.core.model import Reason, Session
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import judge
from tests.builders import owner_pod
from tests.core.strategies import instants, known_owners, policies, sessions


@given(sessions(), known_owners(), policies, st.integers(0, 300), st.booleans(), st.booleans())
def test_nobody_is_ownerless_while_an_owner_that_could_have_created_it_may_be_alive(
    s: Session, owners: Owners, policy: Policy, before: int, starting: bool, cut_off: bool
) -> None:
    # Whatever else happened: one that began in time, and of which nobody knows that it ended.
    start = s.created + policy.clock_tolerance - before
    creator = owner_pod(
        s.stamp_uid or "pod-x",
        created=start,
        running=None if starting else start,
        unreachable=cut_off,
        terminating=cut_off,
    )
    alive = owners.saw(creator, s.created + 1000)
    assert judge(s, alive, policy, s.created + 1e6).reason is not Reason.OWNERLESS


@given(sessions(), known_owners(), policies, instants)
def test_nobody_is_ownerless_when_nobody_can_tell(s: Session, owners: Owners, policy: Policy, now: float) -> None:
    blind = msgspec.structs.replace(owners, unknown="the watch is out of step")
    assert judge(s, blind, policy, now + 1e6).reason is not Reason.OWNERLESS
    off = msgspec.structs.replace(policy, ownerless=False)
    assert judge(s, owners, off, now + 1e6).reason is not Reason.OWNERLESS


@given(sessions(), known_owners(), policies, instants)
def test_ownerless_waits_for_the_grace_after_the_last_moment_an_owner_was_seen(
    s: Session, owners: Owners, policy: Policy, now: float
) -> None:
    verdict = judge(s, owners, policy, now)
    assume(verdict.reason is Reason.OWNERLESS and verdict.due is not None)
    ends = [
        o.finished or 0.0
        for o in owners.owners
        if o.earliest_start <= s.created + policy.clock_tolerance and s.stamp_uid in ("", o.pod_uid)
    ]
    assert verdict.due is not None
    assert verdict.due >= max([s.created, *ends]) + policy.owner_grace

"""What ContainerSSH keeps on purpose: nothing ends it but its own end. And what somebody meant to keep."""

import math

from hypothesis import given

from ssh_session_gc.core.evidence import evidence
from ssh_session_gc.core.model import KEEP, TTL, Action, Reason, Session, SessionState
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import judge
from ssh_session_gc.core.survey import session_state
from tests.builders import ALIVE, NOBODY, T, session
from tests.core.strategies import known_owners, moments, policies, sessions

HOME = session(persistent=True)
DAY = 86_400.0


def test_neither_its_age_nor_its_owners_end() -> None:
    for owners in (ALIVE, NOBODY):
        verdict = judge(HOME, owners, Policy(), T + 10 * DAY)
        assert verdict.action is Action.KEEP
        assert session_state(HOME, verdict, T + 10 * DAY) is SessionState.EXEMPT
        said = evidence(HOME, verdict, owners, Policy(), T + 10 * DAY)
        assert said == "exempt as it is persistent: ContainerSSH keeps it on purpose"


def test_its_end() -> None:
    ended = session(persistent=True, phase="Failed", finished=T + 100)
    verdict = judge(ended, ALIVE, Policy(), T + 160)
    assert (verdict.action, verdict.reason) == (Action.COLLECT, Reason.FINISHED)
    assert evidence(ended, verdict, ALIVE, Policy(), T + 160) == "its container ended at 03:01:40Z (Failed)"
    going = session(persistent=True, deletion=T + 30)
    kept = judge(going, ALIVE, Policy(), T + 40)
    assert "its deletion was accepted" in evidence(going, kept, ALIVE, Policy(), T + 40)


@given(sessions(), known_owners(), policies, moments)
def test_it_goes_for_no_other_reason(one: Session, owners: Owners, policy: Policy, now: float) -> None:
    reason = judge(one, owners, policy, now).reason
    assert not one.persistent or reason in (None, Reason.FINISHED)


def test_a_keep_that_cannot_be_read_holds_everything_back_to_the_longest_limit() -> None:
    spared = session(spared=True, invalid=(KEEP,))
    verdict = judge(spared, NOBODY, Policy(), T + DAY - 1)
    assert (verdict.action, verdict.reason, verdict.due) == (Action.WAITING, Reason.OWNERLESS, T + DAY)
    late = judge(spared, NOBODY, Policy(), T + DAY)
    assert late.action is Action.COLLECT
    said = evidence(spared, late, NOBODY, Policy(), T + DAY)
    assert said.endswith("held back to max-ttl, as its annotation ssh-session-gc/keep cannot be read")
    # Whatever is due later anyway is not held back.
    done = session(spared=True, phase="Failed", finished=T + DAY)
    policy = Policy(max_age=0.0)
    assert "held back" not in evidence(done, judge(done, ALIVE, policy, T + DAY), ALIVE, policy, T + DAY)


def test_a_ttl_that_cannot_be_read_is_the_longest_limit() -> None:
    verdict = judge(session(ttl=math.inf, invalid=(TTL,)), ALIVE, Policy(), T + DAY)
    assert (verdict.reason, verdict.due) == (Reason.OVER_AGE, T + DAY)
    said = evidence(session(ttl=math.inf), verdict, ALIVE, Policy(), T + DAY)
    assert said.endswith("24h (max-ttl, as its ttl cannot be read)")

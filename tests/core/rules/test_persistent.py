"""What ContainerSSH keeps on purpose: nothing ends it but its own end."""

from hypothesis import given

from ssh_session_gc.core.evidence import evidence
from ssh_session_gc.core.model import Action, Reason, Session, SessionState
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


@given(sessions(), known_owners(), policies, moments)
def test_it_goes_for_no_other_reason(one: Session, owners: Owners, policy: Policy, now: float) -> None:
    reason = judge(one, owners, policy, now).reason
    assert not one.persistent or reason in (None, Reason.FINISHED)

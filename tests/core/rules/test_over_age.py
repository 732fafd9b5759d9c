"""OverAge: everybody's limit, and a session's own."""

from ssh_session_gc.core.model import Action, Reason
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import judge
from tests.builders import ALIVE, T, session


def test_a_session_is_over_age_at_max_age_or_at_its_own_ttl() -> None:
    policy = Policy()
    verdict = judge(session(), ALIVE, policy, T)
    assert (verdict.action, verdict.reason, verdict.due) == (Action.WAITING, Reason.OVER_AGE, T + 3600)
    assert judge(session(ttl=60.0), ALIVE, policy, T).due == T + 60
    assert judge(session(ttl=7200.0), ALIVE, policy, T).due == T + 7200
    assert judge(session(ttl=1e6), ALIVE, policy, T).due == T + 86400
    assert judge(session(), ALIVE, Policy(max_age=0), T + 1e9).action is Action.KEEP

"""Finished: sessions that ended by themselves."""

from ssh_session_gc.core.model import Reason
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import judge
from tests.builders import ALIVE, T, session


def test_a_finished_session_goes_after_its_grace() -> None:
    done = session(phase="Succeeded", finished=T + 10)
    verdict = judge(done, ALIVE, Policy(), T)
    assert (verdict.reason, verdict.due) == (Reason.FINISHED, T + 70)

"""StartTimeout: sessions that never started, or too late."""

import pytest

from ssh_session_gc.core.evidence import evidence
from ssh_session_gc.core.model import Action, Reason
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import judge
from tests.builders import ALIVE, T, session


def test_a_session_that_never_started_times_out() -> None:
    pending = session(phase="Pending", started=None, waiting="ImagePullBackOff")
    verdict = judge(pending, ALIVE, Policy(), T + 120)
    assert (verdict.action, verdict.reason, verdict.due) == (Action.COLLECT, Reason.START_TIMEOUT, T + 120)
    assert "ImagePullBackOff" in evidence(pending, verdict, ALIVE, Policy(), T + 120)
    assert judge(pending, ALIVE, Policy(), T + 119.9).action is Action.WAITING


@pytest.mark.parametrize(("started", "late"), [(119.0, False), (120.0, False), (121.0, True)])
def test_a_session_that_started_too_late_was_given_up(started: float, late: bool) -> None:
    verdict = judge(session(started=T + started), ALIVE, Policy(), T + 300)
    assert (verdict.reason is Reason.START_TIMEOUT) is late

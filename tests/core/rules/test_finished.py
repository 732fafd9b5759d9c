"""Finished: sessions that ended by themselves."""

import pytest

from ssh_session_gc.core.evidence import evidence
from ssh_session_gc.core.model import Reason
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules import finished
from ssh_session_gc.core.rules.judge import judge
from ssh_session_gc.core.rules.rule import Case, Known
from tests.builders import ALIVE, T, session


def test_a_finished_session_goes_after_its_grace() -> None:
    done = session(phase="Succeeded", finished=T + 10)
    verdict = judge(done, ALIVE, Policy(), T)
    assert (verdict.reason, verdict.due) == (Reason.FINISHED, T + 70)


@pytest.mark.parametrize(
    ("phase", "state"),
    [
        ("Succeeded", "Succeeded"),
        ("Failed", "Failed"),
        ("Running", "Running, as another of its containers is"),
    ],
)
def test_the_words_tell_whether_its_pod_goes_on(phase: str, state: str) -> None:
    done = session(phase=phase, finished=T + 10)
    verdict = judge(done, ALIVE, Policy(), T + 70)
    assert evidence(done, verdict, ALIVE, Policy(), T + 70) == f"its container ended at 03:00:10Z ({state})"
    case = Case(done, Known(ALIVE, None), Policy(), T + 70)
    assert finished.why(case, T + 70) == f"ended at 03:00:10Z ({state}); grace 1m"

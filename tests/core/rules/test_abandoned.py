"""Abandoned: its owner's word, never its silence."""

from typing import Any

from hypothesis import given

from ssh_session_gc.core.connections import UNHEARD, Connection, Moment, Said
from ssh_session_gc.core.evidence import evidence
from ssh_session_gc.core.model import Action, Reason, Session
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules import abandoned
from ssh_session_gc.core.rules.judge import judge
from ssh_session_gc.core.rules.rule import Case, Known
from tests.builders import ALIVE, T, session
from tests.core.strategies import known_owners, policies, sessions

POLICY = Policy()
A = "ssh-a"
OPEN = Connection(A, T, opened=Moment(T, T))
ENDED = Connection(A, T, opened=Moment(T, T), closed=Moment(T + 20, T + 20.5))
GIVEN_UP = Connection(A, T, opened=Moment(T, T), given_up=T + 60.0, how=Said.WAIT_FAILED)


def why(connection: Connection, policy: Policy = POLICY, **more: Any) -> str:
    """What the rule says of the session."""
    case = Case(session(**more), Known(ALIVE, None, connection), policy, T + 300)
    return abandoned.why(case, abandoned.due(case.session, case.known, policy))


def test_the_end_of_its_connection() -> None:
    late = judge(session(), ALIVE, POLICY, T + 110.5, ENDED)
    assert (late.action, late.reason, late.due) == (Action.COLLECT, Reason.ABANDONED, T + 110.5)
    assert judge(session(), ALIVE, POLICY, T + 110.4, ENDED).action is Action.WAITING
    assert evidence(session(), late, ALIVE, POLICY, T + 110.5, ENDED) == (
        "its connection ended at 03:00:20Z, as ssh-a logged (SSH_DISCONNECTED), and it is still there"
    )


def test_what_was_given_up() -> None:
    verdict = judge(session(), ALIVE, POLICY, T + 200, GIVEN_UP)
    assert (verdict.reason, verdict.due) == (Reason.ABANDONED, T + 150.0)
    assert "gave it up at 03:01:00Z, as ssh-a logged (KUBERNETES_POD_WAIT_FAILED)" in why(GIVEN_UP)


def test_a_newer_pod() -> None:
    verdict = judge(session(), ALIVE, POLICY, T + 200, Connection(superseded=T + 10.0))
    assert (verdict.reason, verdict.due) == (Reason.ABANDONED, T + 100.0)


def test_the_earliest_word_counts_and_no_session_loses_its_grace() -> None:
    both = Connection(A, T, closed=Moment(T + 20, T + 20), given_up=T + 80.0, how=Said.REMOVE_FAILED)
    assert judge(session(), ALIVE, POLICY, T, both).due == T + 110.0
    before = Connection(A, T - 50, closed=Moment(T - 50, T - 50))
    assert judge(session(), ALIVE, POLICY, T, before).due == T + 90.0


def test_what_protects() -> None:
    assert judge(session(), ALIVE, POLICY, T + 300, OPEN).reason is Reason.OVER_AGE
    assert judge(session(persistent=True), ALIVE, POLICY, T + 300, ENDED).action is Action.KEEP
    contested = Connection(A, T, closed=Moment(T, T), given_up=T, how=Said.WAIT_FAILED, contested=True)
    assert judge(session(), ALIVE, POLICY, T + 300, contested).reason is Reason.OVER_AGE
    assert judge(session(keep=True), ALIVE, POLICY, T + 300, ENDED).action is Action.KEEP
    assert judge(session(), ALIVE, Policy(ownerless=False), T + 300, ENDED).reason is Reason.OVER_AGE


def test_its_words() -> None:
    assert why(UNHEARD) == "ContainerSSH has not said anything of its connection's end"
    assert why(OPEN) == "its connection is open since 03:00:00Z, as ssh-a logged (SSH_CONNECTED)"
    assert why(ENDED).endswith("and it is still there; grace 1m30s")
    assert why(ENDED, Policy(ownerless=False)) == "off (owner=none)"
    assert why(Connection(A, T, contested=True)) == "the logs of two owners name its connection: neither counts"
    assert why(Connection(superseded=T)).startswith("a newer Pod of the same connection was created at 03:00:00Z")


@given(sessions(), known_owners(), policies)
def test_silence_is_no_reason(s: Session, owners: Owners, policy: Policy) -> None:
    assert judge(s, owners, policy, T + 1e6, UNHEARD).reason is not Reason.ABANDONED
    assert judge(s, owners, policy, T + 1e6, OPEN).reason is not Reason.ABANDONED

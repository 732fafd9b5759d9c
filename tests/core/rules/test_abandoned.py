"""Abandoned: its owner's word, never its silence."""

from typing import Any

import msgspec
from hypothesis import given

from ssh_session_gc.core.connections import UNHEARD, Connection, Moment, Said
from ssh_session_gc.core.evidence import evidence
from ssh_session_gc.core.gauge import Idle
from ssh_session_gc.core.model import Action, Reason, Session
from ssh_session_gc.core.owners import Owners, Span
from ssh_session_gc.core.ownership import ownership
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules import abandoned
from ssh_session_gc.core.rules.judge import judge, needs_fresh_read
from ssh_session_gc.core.rules.rule import NEVER, Case, Known
from tests.builders import ALIVE, TOLERANCE, T, owner_pod, owners_of, session
from tests.core.strategies import known_owners, policies, sessions

POLICY = Policy()
A = "ssh-a"
OPEN = Connection(A, T, opened=Moment(T, T))
ENDED = Connection(A, T, opened=Moment(T, T), closed=Moment(T + 20, T + 20.5))
GIVEN_UP = Connection(A, T, opened=Moment(T, T), given_up=T + 60.0, how=Said.WAIT_FAILED)


def why(connection: Connection, policy: Policy = POLICY, **more: Any) -> str:
    """What the rule says of the session."""
    there = Case(session(**more), Known(ALIVE, None, connection), policy, T + 300)
    return abandoned.why(there, abandoned.due(there.session, there.known, policy))


def deserted(until: float, *others: str, **late: float) -> Owners:
    """The owner a, to which nobody has been connected since T + 10 and until so many seconds after T; the same goes
    for all others: those that run as long, and those that have started so many seconds after T."""
    known = owners_of(*(owner_pod(uid, created=T - 600, running=T - 590) for uid in ("a", *others)), at=T - 500)
    for uid, start in late.items():
        known = known.saw(owner_pod(uid, running=T + start), T + 60)
    return msgspec.structs.replace(known, idle={owner.run: Idle(T + 10, T + until) for owner in known.owners})


def case(owners: Owners, connection: Connection = UNHEARD, **more: Any) -> Case:
    """A session before the rule, with these owners."""
    pod = session(**more)
    return Case(pod, Known(owners, ownership(pod, owners, TOLERANCE, connection), connection), POLICY, T + 300)


def test_the_end_of_its_connection() -> None:
    late = judge(session(), ALIVE, POLICY, T + 110.5, ENDED)
    assert (late.action, late.reason, late.due) == (Action.COLLECT, Reason.ABANDONED, T + 110.5)
    assert judge(session(), ALIVE, POLICY, T + 110.4, ENDED).action is Action.WAITING
    assert evidence(session(), late, ALIVE, POLICY, T + 110.5, ENDED) == (
        "its connection ended at 03:00:20Z, as ssh-a logged (SSH_DISCONNECTED), and it is still there"
    )


def test_two_counts_that_are_the_grace_apart() -> None:
    verdict = judge(session(), deserted(100.0), POLICY, T + 101)
    assert (verdict.action, verdict.reason, verdict.due) == (Action.COLLECT, Reason.ABANDONED, T + 100)
    assert judge(session(), deserted(99.9), POLICY, T + 101).reason is Reason.OVER_AGE
    words = "nobody has been connected to ssh-a since 03:00:10Z"
    done = case(deserted(100.0))
    counted = f"{words}, as metrics count (containerssh_ssh_current_connections), and it is still there"
    assert abandoned.evidence(done, late=True) == counted
    assert abandoned.why(done, T + 100) == f"{counted}; grace 1m30s"
    assert abandoned.why(case(deserted(50.0)), NEVER) == f"{words}; to be counted again 1m30s later"


def test_whose_counts_they_are() -> None:
    several = deserted(100.0, "b", "c")
    words = abandoned.evidence(case(several), late=True)
    assert words.startswith("nobody has been connected to ssh-a or 2 more that could have created it since 03:00:10Z")
    assert "ssh-a or 1 more that" in abandoned.evidence(case(deserted(100.0, "b")), late=True)
    # Nobody but the one that the stamp names, or the log.
    assert "connected to ssh-b since" in abandoned.evidence(case(several, stamp="b"), late=True)
    assert "connected to ssh-b since" in abandoned.evidence(case(several, Connection("ssh-b", T)), late=True)
    # One that started as late as it may have counts; one that has ended does not.
    assert "ssh-a or 1 more that" in abandoned.evidence(case(deserted(100.0, b=TOLERANCE, c=3.0)), late=True)
    ended = deserted(100.0, "b").saw(owner_pod("b", terminated=Span(T - 590, T + 5), final=True), T + 60)
    assert "connected to ssh-a since" in abandoned.evidence(case(ended), late=True)


def test_a_log_that_names_one_that_had_ended_before_names_nobody() -> None:
    ended = owner_pod("ended", created=T - 600, terminated=Span(T - 590, T - 10), final=True)
    it = case(deserted(100.0, "b").saw(ended, T - 5), Connection("ssh-ended", T - 20))
    assert "connected to ssh-a or 1 more that" in abandoned.evidence(it, late=True)


def test_only_where_nothing_but_counts_say_so_are_owners_read_afresh() -> None:
    counted, said = deserted(300.0), msgspec.structs.replace(ENDED, closed=Moment(T + 5, T + 5))
    for owners, connection, fresh in ((counted, UNHEARD, True), (counted, said, False), (ALIVE, GIVEN_UP, False)):
        verdict = judge(session(), owners, POLICY, T + 301, connection)
        assert verdict.reason is Reason.ABANDONED
        assert needs_fresh_read(session(), verdict, owners, POLICY, connection) is fresh
    assert not abandoned.needs_fresh_read(session(), Known(ALIVE, None), POLICY)


def test_what_was_given_up() -> None:
    verdict = judge(session(), ALIVE, POLICY, T + 200, GIVEN_UP)
    assert (verdict.reason, verdict.due) == (Reason.ABANDONED, T + 150.0)
    said = "ContainerSSH gave it up at 03:01:00Z, as ssh-a logged (KUBERNETES_POD_WAIT_FAILED), and it is still there"
    assert why(GIVEN_UP) == f"{said}; grace 1m30s"


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
    assert abandoned.evidence(case(ALIVE), late=True) == "ContainerSSH has not said that it is done with it"
    assert why(OPEN) == "its connection is open since 03:00:00Z, as ssh-a logged (SSH_CONNECTED)"
    assert why(ENDED).endswith("and it is still there; grace 1m30s")
    assert why(ENDED, Policy(ownerless=False)) == "off (owner=none)"
    assert why(Connection(A, T, contested=True)) == "the logs of two owners name its connection: neither counts"
    assert why(Connection(superseded=T)).startswith("a newer Pod of the same connection was created at 03:00:00Z")


@given(sessions(), known_owners(), policies)
def test_silence_is_no_reason(s: Session, owners: Owners, policy: Policy) -> None:
    assert judge(s, owners, policy, T + 1e6, UNHEARD).reason is not Reason.ABANDONED
    assert judge(s, owners, policy, T + 1e6, OPEN).reason is not Reason.ABANDONED

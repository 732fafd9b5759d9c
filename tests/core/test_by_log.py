"""Exact ownership by what the owners' logs say."""

import msgspec

from ssh_session_gc.core.connections import Connection, Moment
from ssh_session_gc.core.gauge import Idle
from ssh_session_gc.core.model import Action, OwnerState, Reason
from ssh_session_gc.core.owners import Owners, Span
from ssh_session_gc.core.ownership import ownership
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import judge
from tests.builders import T, owner_pod, owners_of, session

TOLERANCE = 2.0
A = "ssh-a"


def said_by(speaker: str, at: float = T) -> Connection:
    """A connection that this Pod's log names first at this moment."""
    return Connection(speaker, at, opened=Moment(at, at))


def restarted() -> Owners:
    """Owner a restarted at T + 20, while owner b, from before the session, runs on."""
    a = owner_pod("a", running=T + 20, last=Span(T - 100, T + 19, "exit 137"))
    return owners_of(a, owner_pod("b", running=T - 100))


def test_without_the_log_whoever_was_there_may_own_it() -> None:
    assert ownership(session(T), restarted(), TOLERANCE).since is None


def test_the_log_names_the_incarnation_that_ended() -> None:
    owned = ownership(session(T), restarted(), TOLERANCE, said_by(A))
    assert owned.owner is not None
    assert (owned.owner.pod_uid, owned.owner.state) == ("a", OwnerState.ENDED)
    assert (owned.since, owned.exact) == (T + 19, True)


def test_whoever_loses_the_owner_that_a_log_names_is_ownerless() -> None:
    verdict = judge(session(T), restarted(), Policy(), T + 79, said_by(A))
    assert (verdict.action, verdict.reason, verdict.due) == (Action.COLLECT, Reason.OWNERLESS, T + 79)
    assert judge(session(T), restarted(), Policy(), T + 79).reason is Reason.OVER_AGE


def test_the_log_names_the_new_incarnation() -> None:
    owned = ownership(session(T + 30), restarted(), TOLERANCE, said_by(A, T + 30))
    assert (owned.since, owned.exact) == (None, True)
    assert owned.owner is not None
    assert (owned.owner.pod_uid, owned.owner.alive) == ("a", True)


def test_whether_anybody_is_connected_is_asked_of_the_one_that_the_log_names() -> None:
    known = restarted()
    runs = {(owner.pod_uid, owner.alive): owner.run for owner in known.owners}
    a, b = Idle(T + 40, T + 80), Idle(T + 50, T + 90)
    both = msgspec.structs.replace(known, idle={runs["a", True]: a, runs["b", True]: b})
    assert ownership(session(T + 30), both, TOLERANCE, said_by(A, T + 30)).idle == a
    other = msgspec.structs.replace(known, idle={runs["b", True]: b})
    assert ownership(session(T + 30), other, TOLERANCE, said_by(A, T + 30)).idle is None


def test_what_has_yet_to_start_may_have_written_it() -> None:
    ended = owner_pod("a", terminated=Span(T - 100, T + 10))
    known = owners_of(ended, owner_pod("b", running=T - 100), at=T + 15)
    before = ownership(session(T), known, TOLERANCE, said_by(A))
    assert (before.owner and before.owner.state, before.since) == (OwnerState.ENDED, T + 10)
    after = ownership(session(T + 10), known, TOLERANCE, said_by(A, T + 10))
    assert (after.owner and after.owner.state, after.since) == (OwnerState.STARTING, None)


def test_of_two_in_the_same_second_the_one_that_lives_is_meant() -> None:
    known = owners_of(owner_pod("a", running=T + 20, last=Span(T - 100, T + 20)), owner_pod("b", running=T - 100))
    owned = ownership(session(T + 20), known, TOLERANCE, said_by(A, T + 20))
    assert (owned.owner and owned.owner.pod_uid, owned.owner and owned.owner.alive) == ("a", True)


def test_of_two_that_ended_the_later_one_is_meant() -> None:
    known = owners_of(
        owner_pod("a", last=Span(T - 100, T + 10), terminated=Span(T + 10, T + 40), final=True),
        owner_pod("b", running=T - 100),
        at=T + 50,
    )
    assert ownership(session(T + 10), known, TOLERANCE, said_by(A, T + 10)).since == T + 40


def test_the_ended_one_wrote_what_is_from_its_last_second_and_made_what_came_within_the_tolerance() -> None:
    assert ownership(session(T + 19), restarted(), TOLERANCE, said_by(A, T + 19)).since == T + 19
    assert ownership(session(T + 21), restarted(), TOLERANCE, said_by(A, T + 19)).since == T + 21
    assert ownership(session(T + 22), restarted(), TOLERANCE, said_by(A, T + 19)).since is None


def test_a_line_from_the_second_of_the_restart_is_taken_for_the_new_ones() -> None:
    assert ownership(session(T + 20), restarted(), TOLERANCE, said_by(A, T + 20.1)).since is None


def test_a_line_from_after_the_end_tells_nobody_that_ended() -> None:
    # The status of the incarnation that wrote it has not come yet.
    known = owners_of(owner_pod("a", terminated=Span(T - 100, T + 10), final=True), owner_pod("b", running=T - 100))
    owned = ownership(session(T + 40), known, TOLERANCE, said_by(A, T + 40))
    assert owned.since is None


def test_a_session_from_after_the_end_is_not_the_ended_ones_whatever_the_nodes_clock_says() -> None:
    known = owners_of(owner_pod("a", terminated=Span(T - 100, T + 10), final=True), owner_pod("b", running=T - 100))
    assert ownership(session(T + 40), known, TOLERANCE, said_by(A, T + 5)).since is None


def test_the_stamp_is_worth_more() -> None:
    owned = ownership(session(T, stamp_uid="b"), restarted(), TOLERANCE, said_by(A))
    assert owned.since is None
    assert owned.owner is not None
    assert owned.owner.pod_uid == "b"


def test_a_contested_connection_is_nobodys() -> None:
    contested = Connection(A, T, opened=Moment(T, T), contested=True)
    assert ownership(session(T), restarted(), TOLERANCE, contested).since is None


def test_an_owner_that_nobody_knows_tells_nothing() -> None:
    assert ownership(session(T), restarted(), TOLERANCE, said_by("ssh-c")).since is None


def test_a_pod_that_only_vanished_is_looked_up_first() -> None:
    known = owners_of(owner_pod("a", running=T - 100), owner_pod("b", running=T - 100)).lost("a", T + 10)
    assert ownership(session(T), known, TOLERANCE, said_by(A)).since is None


def test_of_two_pods_of_one_name_the_one_that_lived_when_it_was_written_is_meant() -> None:
    before = owner_pod("a", name="ssh-0", terminated=Span(T - 100, T + 10), final=True)
    known = owners_of(before, owner_pod("b", name="ssh-0", created=T + 11, running=T + 12))
    first = ownership(session(T), known, TOLERANCE, said_by("ssh-0"))
    assert (first.owner and first.owner.pod_uid, first.since) == ("a", T + 10)
    second = ownership(session(T + 30), known, TOLERANCE, said_by("ssh-0", T + 30))
    assert (second.owner and second.owner.pod_uid, second.since) == ("b", None)
    stamped = ownership(session(T + 30, stamp_uid="a"), known, TOLERANCE, said_by("ssh-0", T + 30))
    assert stamped.owner is None or stamped.owner.pod_uid == "a"

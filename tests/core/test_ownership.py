"""Whose a session may be, and since when it is nobody's."""

import msgspec
import pytest
from hypothesis import given

from ssh_session_gc.core.model import Ownership, OwnerState, Session
from ssh_session_gc.core.owners import Gap, Owners, Span
from ssh_session_gc.core.ownership import ownership
from tests.builders import TOLERANCE, T, owner_pod, owners_of, session
from tests.core.strategies import known_owners, sessions


def test_a_session_within_the_tolerance_before_a_restart_may_be_the_new_process_s() -> None:
    owners = owners_of(owner_pod(running=T + 100, last=Span(T + 5, T + 100)), at=T + 101)
    assert ownership(session(T + 98), owners, TOLERANCE).since is None
    assert ownership(session(T + 97), owners, TOLERANCE).since == T + 101
    assert ownership(session(T + 98), owners, 0.0).since is not None


def test_an_owner_that_ended_within_the_tolerance_before_the_session_was_its_last() -> None:
    owners = owners_of(owner_pod("a", terminated=Span(T - 50, T + 9), terminating=True), at=T + 9)
    for created, last in ((T + 10, True), (T + 11, True), (T + 11.5, False)):
        owned = ownership(session(created), owners, TOLERANCE)
        assert (owned.owner is not None) == last
        assert owned.since == created


def test_a_terminating_pod_owns_until_its_container_has_ended() -> None:
    owners = owners_of(owner_pod(running=T + 5, terminating=True), at=T + 10)
    assert ownership(session(T + 6), owners, TOLERANCE).since is None
    owners = owners.saw(owner_pod(terminated=Span(T + 5, T + 40), terminating=True), T + 41)
    assert [(o.state, o.earliest_start, o.finished) for o in owners.owners] == [(OwnerState.ENDED, T + 5, T + 40)]
    assert ownership(session(T + 6), owners, TOLERANCE).since == T + 40
    # That the Pod goes, later, changes nothing of that.
    assert ownership(session(T + 6), owners.lost("a", T + 60), TOLERANCE).since == T + 40


def test_an_unreachable_owner_may_be_alive() -> None:
    owners = owners_of(owner_pod(running=T + 5, unreachable=True), at=T + 10)
    assert owners.owners[0].state is OwnerState.UNREACHABLE
    assert ownership(session(T + 6), owners, TOLERANCE).since is None


def test_whoever_may_own_it_is_exact() -> None:
    owned = ownership(session(T + 10), owners_of(owner_pod("a", running=T), at=T + 5), TOLERANCE)
    assert (owned.since, owned.exact) == (None, True)


def test_who_ended_before_anybody_looked_is_known_at_the_latest_since_then() -> None:
    owners = owners_of(owner_pod(running=T + 100), at=T + 120)
    nobody = ownership(session(T + 50), owners, TOLERANCE)
    assert nobody == Ownership(None, T + 120, False)
    # A stamp tells exactly: the incarnation before this one in the same Pod had ended when this one started.
    assert ownership(session(T + 50, "a"), owners, TOLERANCE) == Ownership(None, T + 100, True)
    # A stamp of a Pod that was never seen does not.
    assert ownership(session(T + 50, "unseen"), owners, TOLERANCE) == Ownership(None, T + 120, False)


def test_a_gap_matters_to_sessions_that_are_no_older_than_it() -> None:
    owners = owners_of(owner_pod(running=T + 5), at=T + 10).listed([], T + 80, since=T + 70)
    assert ownership(session(T + 71), owners, TOLERANCE).since == T + 80
    calm = msgspec.structs.replace(owners, last_gap=None)
    assert ownership(session(T + 500), calm, TOLERANCE).since == T + 500


@pytest.mark.parametrize(
    ("created", "since", "exact"),
    [
        (T + 96, T + 100, True),
        (T + 98, T + 200, False),  # within the tolerance, somebody in the gap may have made it
        (T + 150, T + 200, False),
        (T + 250, T + 250, True),
    ],
)
def test_whom_a_gap_concerns(created: float, since: float, exact: bool) -> None:
    known = owners_of(owner_pod("a", terminated=Span(T, T + 100), terminating=True), at=T + 100)
    known = msgspec.structs.replace(known, watched_since=T, last_gap=Gap(T + 100, T + 200))
    owned = ownership(session(created), known, TOLERANCE)
    assert (owned.since, owned.exact) == (since, exact)


def test_a_gap_that_was_over_before_the_owner_ended_changes_nothing() -> None:
    known = owners_of(owner_pod("a", terminated=Span(T, T + 200), terminating=True), at=T + 200)
    known = msgspec.structs.replace(known, watched_since=T, last_gap=Gap(T + 100, T + 200))
    owned = ownership(session(T + 150), known, TOLERANCE)
    assert (owned.since, owned.exact) == (T + 200, True)


def test_a_stamp_tells_one_dead_replica_from_its_living_neighbour() -> None:
    owners = owners_of(owner_pod(running=T + 5), owner_pod("b", running=T + 6), at=T + 10)
    owners = owners.saw(owner_pod(terminated=Span(T + 5, T + 40), terminating=True), T + 41)
    assert ownership(session(T + 20, "a"), owners, TOLERANCE).since == T + 40
    assert ownership(session(T + 20, "b"), owners, TOLERANCE).since is None
    assert ownership(session(T + 20), owners, TOLERANCE).since is None


def test_the_restart_of_the_stamped_pod_counts_and_no_other_start() -> None:
    known = owners_of(owner_pod("a", running=T + 600), owner_pod("b", running=T + 300), at=T + 700)
    assert ownership(session(T + 10, "a"), known, TOLERANCE).since == T + 600


def test_the_first_container_of_the_stamped_pod_made_it_though_it_has_ended() -> None:
    # Its node's clock is ahead, which nobody saw: it seems to have started after the session.
    ended = owner_pod("a", terminated=Span(T + 11, T + 30), first=True, terminating=True)
    owned = ownership(session(T + 3, "a"), owners_of(ended, at=T + 500), TOLERANCE)
    assert owned.owner is not None
    assert (owned.since, owned.exact) == (T + 30, True)
    # It stays the first when its successor has pushed it into lastState.
    running = owner_pod("a", running=T + 31, last=Span(T + 11, T + 30))
    later = owners_of(owner_pod("a", running=T + 11, first=True), at=T + 20).saw(running, T + 500)
    assert [owner.first for owner in later.owners] == [True, False]


def test_a_stamped_session_lost_its_maker_when_that_one_ended_and_not_when_the_next_one_began() -> None:
    known = owners_of(owner_pod("a", running=T + 103, last=Span(T, T + 90)), at=T + 104)
    assert ownership(session(T + 10, "a"), known, TOLERANCE).since == T + 90


def test_who_is_about_to_start_again_did_not_make_what_is_older_though_its_pod_did() -> None:
    known = owners_of(owner_pod("a", running=T, first=True), at=T + 10).saw(
        owner_pod("a", terminated=Span(T, T + 90)), T + 91
    )
    assert ownership(session(T + 50, "a"), known, TOLERANCE).since == T + 90


@pytest.mark.parametrize("stamp", ["", "pod-a"])
def test_a_node_whose_clock_is_ahead_takes_no_session_from_its_owner(stamp: str) -> None:
    # Ten seconds ahead: the container seems to have started after the session that it made.
    late = owner_pod("pod-a", running=T + 11, first=True)
    seen_at_once = owners_of().saw(late, T + 2)
    made = session(T + 3, stamp)
    assert ownership(made, seen_at_once, 2.0).since is None
    # Who starts to look later sees only what was noted: by the stamp, or by the time of the kubelet's last word.
    seen_later = owners_of(
        owner_pod("pod-a", running=T + 11, first=True, clock_ahead=0.0 if stamp else 10.0), at=T + 500
    )
    assert ownership(made, seen_later, 2.0).since is None
    # That its status was written again, with nothing to tell the clocks apart, does not make it another owner.
    again = seen_at_once.saw(late, T + 600)
    assert again == seen_at_once


def test_a_node_whose_clock_is_ahead_and_a_restart() -> None:
    # It ended at T+20 and began again at T+21, but says T+30 and T+31.
    ended = owner_pod("pod-a", terminated=Span(T + 11, T + 30), clock_ahead=10.0)
    starting = owners_of(owner_pod("pod-a", running=T + 11, first=True, clock_ahead=10.0), at=T + 2).saw(
        ended, T + 20.5
    )
    made_after = session(T + 22, "pod-a")
    assert ownership(made_after, starting, 2.0).since is None
    running = starting.saw(owner_pod("pod-a", running=T + 31, last=Span(T + 11, T + 30), clock_ahead=10.0), T + 21.5)
    assert ownership(made_after, running, 2.0).since is None


def test_an_owner_that_had_ended_before_it_reported_counts_until_then() -> None:
    known = owners_of(owner_pod(), at=T + 10).saw(owner_pod(final=True), T + 100)
    assert ownership(session(T + 50), known, TOLERANCE).since == T + 100


def test_an_owner_that_vanished_and_restarted_ended_when_it_restarted() -> None:
    known = owners_of(owner_pod(running=T), at=T + 10).lost("a", T + 100)
    # Twice by now: its own end has been overwritten.
    known = known.saw(owner_pod(running=T + 120, last=Span(T + 105, T + 120)), T + 200)
    assert ownership(session(T + 50), known, TOLERANCE).since == T + 105


def test_an_owner_first_seen_with_a_wrong_date_did_not_end_before_it_began() -> None:
    # The first answer's date was too early: whatever was seen then counts as of the Pod's creation.
    known = owners_of(owner_pod(running=T + 50, last=Span(T, T + 49)), at=T - 50)
    known = known.saw(owner_pod(running=T + 300, last=Span(T + 290, T + 299)), T + 400)
    assert ownership(session(T + 60), known, TOLERANCE).since == T + 290


@given(sessions(), known_owners())
def test_since_is_never_before_the_session_itself(s: Session, owners: Owners) -> None:
    since = ownership(s, owners, TOLERANCE).since
    assert since is None or since >= s.created

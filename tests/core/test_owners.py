"""Incarnations: how they follow from what Pods say over time, and whose a session may be."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.core.model import Ownership, OwnerState, Session
from ssh_session_gc.core.owners import REMEMBERED, OwnerPod, Owners, Span, confirmed
from ssh_session_gc.core.ownership import ownership, to_look_up
from tests.core.strategies import known_owners, owner_pods, sessions

T = 1_800_000_000.0
TOLERANCE = 2.0


def pod(uid: str = "a", **fields: object) -> OwnerPod:
    base: dict[str, object] = {"name": f"containerssh-{uid}", "uid": uid, "created": T, "container": "containerssh"}
    return OwnerPod(**{**base, **fields})  # type: ignore[arg-type]


def session(created: float, stamp: str = "") -> Session:
    return Session(
        "s", "containerssh-x", "1", created, "Running", stamp_uid=stamp, stamp_name=stamp and "containerssh-p"
    )


def states(owners: Owners) -> list[tuple[str, float, float | None]]:
    return [(o.state, o.earliest_start - T, None if o.finished is None else o.finished - T) for o in owners.owners]


def test_a_pod_without_a_status_is_starting_since_its_creation() -> None:
    owners = Owners().listed([pod()], T + 1)
    assert states(owners) == [("Starting", 0, None)]
    assert ownership(session(T), owners, TOLERANCE).since is None


def test_starting_narrows_down_to_the_start_when_it_runs() -> None:
    owners = Owners().listed([pod()], T + 1).saw(pod(running=T + 20), T + 21)
    assert states(owners) == [("Running", 20, None)]
    assert ownership(session(T + 5), owners, TOLERANCE).since is not None


def test_a_restart_in_place_ends_one_owner_and_starts_another() -> None:
    owners = Owners().listed([pod(running=T + 5)], T + 10)
    owners = owners.saw(pod(terminated=Span(T + 5, T + 100, "exit 137, Error")), T + 101)
    # Between the end and the new start the next incarnation may be up without its status saying so.
    assert states(owners) == [("Ended", 5, 100), ("Starting", 100, None)]
    owners = owners.saw(pod(running=T + 103, last=Span(T + 5, T + 100, "exit 137, Error")), T + 104)
    assert states(owners) == [("Ended", 5, 100), ("Running", 103, None)]
    old = ownership(session(T + 50), owners, TOLERANCE)
    assert (old.owner, old.since, old.exact) == (owners.owners[0], T + 100, True)
    assert ownership(session(T + 104), owners, TOLERANCE).owner == owners.owners[1]


def test_a_session_within_the_tolerance_before_a_restart_may_be_the_new_process_s() -> None:
    owners = Owners().listed([pod(running=T + 100, last=Span(T + 5, T + 100))], T + 101)
    assert ownership(session(T + 98), owners, TOLERANCE).since is None
    assert ownership(session(T + 97), owners, TOLERANCE).since == T + 101
    assert ownership(session(T + 98), owners, 0.0).since is not None


def test_an_incarnation_that_last_state_forgot_ended_when_its_successor_started() -> None:
    owners = Owners().listed([pod(running=T + 5)], T + 10)
    owners = owners.saw(pod(running=T + 300, last=Span(T + 200, T + 290)), T + 301)
    assert states(owners) == [("Ended", 5, 200), ("Ended", 200, 290), ("Running", 300, None)]


def test_an_incarnation_that_nothing_succeeds_has_ended_by_now() -> None:
    # The node's clock turns out to be ahead, so that its successor seems to be the older one.
    owners = Owners().listed([pod(running=T + 10)], T + 11).saw(pod(running=T + 12, clock_ahead=10.0), T + 20)
    assert states(owners) == [("Running", 2, None), ("Ended", 10, 20)]
    # The node's clock is behind, so that both seem to be as old as their Pod; and a cache tells of what was before.
    owners = Owners().listed([pod(running=T - 10)], T + 11).saw(pod(running=T - 20), T + 20)
    assert states(owners) == [("Ended", 0, 20), ("Running", 0, None)]


def test_a_terminating_pod_owns_until_its_container_has_ended() -> None:
    owners = Owners().listed([pod(running=T + 5, terminating=True)], T + 10)
    assert ownership(session(T + 6), owners, TOLERANCE).since is None
    owners = owners.saw(pod(terminated=Span(T + 5, T + 40), terminating=True), T + 41)
    assert states(owners) == [("Ended", 5, 40)]
    assert ownership(session(T + 6), owners, TOLERANCE).since == T + 40
    # That the Pod goes, later, changes nothing of that.
    assert ownership(session(T + 6), owners.lost("a", T + 60), TOLERANCE).since == T + 40


def test_an_unreachable_owner_may_be_alive() -> None:
    owners = Owners().listed([pod(running=T + 5, unreachable=True)], T + 10)
    assert owners.owners[0].state is OwnerState.UNREACHABLE
    assert ownership(session(T + 6), owners, TOLERANCE).since is None


def test_a_pod_that_is_over_ends_its_owner_once_and_for_all() -> None:
    evicted = pod(running=T + 5, final=True)
    owners = Owners().listed([pod(running=T + 5)], T + 10).saw(evicted, T + 50)
    assert states(owners) == [("Ended", 5, 50)]
    # However often it is seen again: the end does not wander.
    assert owners.saw(evicted, T + 500) == owners


def test_a_pod_that_vanished_is_in_doubt_until_it_was_looked_up() -> None:
    owners = Owners().listed([pod(running=T + 5)], T + 10).lost("a", T + 50)
    assert ownership(session(T + 6), owners, TOLERANCE).since == T + 50
    assert to_look_up([session(T + 6)], owners, TOLERANCE) == {"a": "containerssh-a"}
    assert to_look_up([session(T - 6)], owners, TOLERANCE) == {}
    assert to_look_up([session(T + 6, "b")], owners, TOLERANCE) == {"b": "containerssh-p"}
    assert to_look_up([session(T + 6)], confirmed(owners, "a", T + 100), TOLERANCE) == {}
    # It lost its label and runs on: found again, it owns again.
    assert ownership(session(T + 6), owners.saw(pod(running=T + 5), T + 60), TOLERANCE).since is None


def test_a_list_ends_who_is_not_in_it() -> None:
    owners = Owners().listed([pod(running=T + 5), pod("b", running=T + 6)], T + 10)
    owners = owners.listed([pod("b", running=T + 6)], T + 80, since=T + 70)
    assert {o.pod_uid: o.alive for o in owners.owners} == {"a": False, "b": True}
    assert owners.last_gap == (T + 70, T + 80)


def test_who_ended_before_anybody_looked_is_known_at_the_latest_since_then() -> None:
    owners = Owners().listed([pod(running=T + 100)], T + 120)
    nobody = ownership(session(T + 50), owners, TOLERANCE)
    assert nobody == Ownership(None, T + 120, False)
    # A stamp tells exactly: the incarnation before this one in the same Pod had ended when this one started.
    assert ownership(session(T + 50, "a"), owners, TOLERANCE) == Ownership(None, T + 100, True)
    # A stamp of a Pod that was never seen does not.
    assert ownership(session(T + 50, "unseen"), owners, TOLERANCE) == Ownership(None, T + 120, False)


def test_a_gap_matters_to_sessions_that_are_no_older_than_it() -> None:
    owners = Owners().listed([pod(running=T + 5)], T + 10).listed([], T + 80, since=T + 70)
    assert ownership(session(T + 71), owners, TOLERANCE).since == T + 80
    calm = msgspec.structs.replace(owners, last_gap=None)
    assert ownership(session(T + 500), calm, TOLERANCE).since == T + 500


def test_a_stamp_tells_one_dead_replica_from_its_living_neighbour() -> None:
    owners = Owners().listed([pod(running=T + 5), pod("b", running=T + 6)], T + 10)
    owners = owners.saw(pod(terminated=Span(T + 5, T + 40), terminating=True), T + 41)
    assert ownership(session(T + 20, "a"), owners, TOLERANCE).since == T + 40
    assert ownership(session(T + 20, "b"), owners, TOLERANCE).since is None
    assert ownership(session(T + 20), owners, TOLERANCE).since is None


def test_memory_of_ended_owners_is_bounded_and_keeps_the_living() -> None:
    owners = Owners().listed([pod("alive", running=T)], T)
    for n in range(REMEMBERED + 50):
        ended = pod(f"p{n}", terminated=Span(T + n, T + n + 1), terminating=True)
        owners = owners.saw(ended, T + n + 1).lost(f"p{n}", T + n + 1)
        owners = owners.saw(pod("other", running=T), T + n)
    assert sum(not o.alive for o in owners.owners) == REMEMBERED
    assert sum(o.alive for o in owners.owners) == 2


def test_whose_end_nobody_saw_is_not_forgotten_before_somebody_has_looked() -> None:
    # It lost its label and runs on, while its neighbour crashes again and again.
    owners = Owners().listed([pod("quiet", running=T), pod("noisy", running=T)], T).lost("quiet", T + 100)
    at = T + 100
    for _ in range(REMEMBERED + 10):
        at += 300
        owners = owners.saw(pod("noisy", running=at, last=Span(at - 300, at - 1)), at + 1)
    assert to_look_up([session(T + 50)], owners, 2.0) == {"quiet": "containerssh-quiet"}


@pytest.mark.parametrize("stamp", ["", "pod-a"])
def test_a_node_whose_clock_is_ahead_takes_no_session_from_its_owner(stamp: str) -> None:
    # Ten seconds ahead: the container seems to have started after the session that it made.
    late = pod("pod-a", running=T + 11, first=True)
    seen_at_once = Owners().listed([], T).saw(late, T + 2)
    made = session(T + 3, stamp)
    assert ownership(made, seen_at_once, 2.0).since is None
    # Who starts to look later sees only what was noted: by the stamp, or by the time of the kubelet's last word.
    seen_later = Owners().listed(
        [pod("pod-a", running=T + 11, first=True, clock_ahead=0.0 if stamp else 10.0)], T + 500
    )
    assert ownership(made, seen_later, 2.0).since is None
    # That its status was written again, with nothing to tell the clocks apart, does not make it another owner.
    again = seen_at_once.saw(late, T + 600)
    assert again == seen_at_once


def test_a_node_whose_clock_is_ahead_and_a_restart() -> None:
    # It ended at T+20 and began again at T+21, but says T+30 and T+31.
    ended = pod("pod-a", terminated=Span(T + 11, T + 30), clock_ahead=10.0)
    starting = (
        Owners().listed([pod("pod-a", running=T + 11, first=True, clock_ahead=10.0)], T + 2).saw(ended, T + 20.5)
    )
    made_after = session(T + 22, "pod-a")
    assert ownership(made_after, starting, 2.0).since is None
    running = starting.saw(pod("pod-a", running=T + 31, last=Span(T + 11, T + 30), clock_ahead=10.0), T + 21.5)
    assert ownership(made_after, running, 2.0).since is None


def test_a_restart_within_the_second_in_which_it_began() -> None:
    before = Owners().listed([pod("pod-a", running=T, first=True)], T + 1)
    restarted = pod("pod-a", running=T, last=Span(T, T, "exit 137, Error"))
    after = before.saw(restarted, T + 2)
    assert states(after) == [("Ended", 0, 0), ("Running", 0, None)]
    assert [o.first for o in after.owners] == [True, False]
    assert after.saw(restarted, T + 3) == after


@given(known_owners(), owner_pods("pod-a"))
def test_seeing_the_same_again_changes_nothing(owners: Owners, seen: OwnerPod) -> None:
    once = owners.saw(seen, T + 1000)
    assert once.saw(seen, T + 2000) == once


@given(known_owners(), owner_pods("pod-a"))
def test_what_has_ended_stays_ended(owners: Owners, seen: OwnerPod) -> None:
    after = owners.saw(seen, T + 1000).lost("pod-a", T + 1001)
    assert all(not o.alive for o in after.owners if o.pod_uid == "pod-a")
    assert all(o.finished is not None for o in after.owners if not o.alive)
    assert all(o.finished is None for o in after.owners if o.alive)


@given(sessions(), known_owners())
def test_since_is_never_before_the_session_itself(s: Session, owners: Owners) -> None:
    since = ownership(s, owners, TOLERANCE).since
    assert since is None or since >= s.created


@given(sessions(), known_owners(), st.sampled_from([0.0, 2.0, 30.0]))
def test_who_could_have_created_a_session_is_told_as_by_asking_each(
    s: Session, owners: Owners, tolerance: float
) -> None:
    stamp, found = s.stamp_uid, ownership(s, owners, tolerance)
    could = [
        o
        for o in owners.owners
        if (not stamp or o.pod_uid == stamp) and (o.earliest_start <= s.created + tolerance or (stamp and o.first))
    ]
    living = [o for o in could if o.alive]
    assert (found.since is None) == bool(living)
    if living:
        assert found.owner in living
        assert found.exact
        return
    ended = [o for o in could if (o.finished or 0.0) >= s.created - tolerance]
    if not ended:
        assert found.owner is None
        return
    assert found.owner in ended
    assert found.owner.finished == max(o.finished or 0.0 for o in ended)

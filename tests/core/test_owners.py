"""Incarnations: how they follow from what Pods say over time."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.core.model import OwnerState
from ssh_session_gc.core.owners import REMEMBERED, Gap, OwnerPod, Owners, Span, confirmed
from ssh_session_gc.core.ownership import needs_full_list, ownership
from tests.builders import TOLERANCE, T, owner_pod, owners_of, session
from tests.core.strategies import instants, known_owners, owner_pods


def states(owners: Owners) -> list[tuple[str, float, float | None]]:
    return [(o.state, o.earliest_start - T, None if o.finished is None else o.finished - T) for o in owners.owners]


def test_a_pod_without_a_status_is_starting_since_its_creation() -> None:
    owners = owners_of(owner_pod(), at=T + 1)
    assert states(owners) == [("Starting", 0, None)]
    assert ownership(session(T), owners, TOLERANCE).since is None


def test_starting_narrows_down_to_the_start_when_it_runs() -> None:
    owners = owners_of(owner_pod(), at=T + 1).saw(owner_pod(running=T + 20), T + 21)
    assert states(owners) == [("Running", 20, None)]
    assert ownership(session(T + 5), owners, TOLERANCE).since is not None


def test_only_while_it_runs_has_an_owner_an_address() -> None:
    owners = owners_of(owner_pod(running=T + 5, address="10.1.2.3"), at=T + 10)
    assert [owner.address for owner in owners.owners] == ["10.1.2.3"]
    assert [owner.address for owner in owners.lost("a", T + 20).owners] == [""]


def test_a_restart_in_place_ends_one_owner_and_starts_another() -> None:
    owners = owners_of(owner_pod(running=T + 5), at=T + 10)
    owners = owners.saw(owner_pod(terminated=Span(T + 5, T + 100, "exit 137, Error")), T + 101)
    # Between the end and the new start the next incarnation may be up without its status saying so.
    assert states(owners) == [("Ended", 5, 100), ("Starting", 100, None)]
    owners = owners.saw(owner_pod(running=T + 103, last=Span(T + 5, T + 100, "exit 137, Error")), T + 104)
    assert states(owners) == [("Ended", 5, 100), ("Running", 103, None)]
    old = ownership(session(T + 50), owners, TOLERANCE)
    assert (old.owner, old.since, old.exact) == (owners.owners[0], T + 100, True)
    assert ownership(session(T + 104), owners, TOLERANCE).owner == owners.owners[1]


def test_an_incarnation_that_last_state_forgot_ended_when_its_successor_started() -> None:
    owners = owners_of(owner_pod(running=T + 5), at=T + 10)
    owners = owners.saw(owner_pod(running=T + 300, last=Span(T + 200, T + 290)), T + 301)
    assert states(owners) == [("Ended", 5, 200), ("Ended", 200, 290), ("Running", 300, None)]


def test_an_incarnation_that_nothing_succeeds_has_ended_by_now() -> None:
    # The node's clock turns out to be ahead, so that its successor seems to be the older one.
    owners = owners_of(owner_pod(running=T + 10), at=T + 11).saw(owner_pod(running=T + 12, clock_ahead=10.0), T + 20)
    assert states(owners) == [("Running", 2, None), ("Ended", 10, 20)]
    # The node's clock is behind, so that both seem to be as old as their Pod; and a cache tells of what was before.
    owners = owners_of(owner_pod(running=T - 10), at=T + 11).saw(owner_pod(running=T - 20), T + 20)
    assert states(owners) == [("Ended", 0, 20), ("Running", 0, None)]


def test_a_pod_that_is_over_ends_its_owner_once_and_for_all() -> None:
    evicted = owner_pod(running=T + 5, final=True)
    owners = owners_of(owner_pod(running=T + 5), at=T + 10).saw(evicted, T + 50)
    assert states(owners) == [("Ended", 5, 50)]
    # However often it is seen again: the end does not wander.
    assert owners.saw(evicted, T + 500) == owners


def test_a_list_ends_who_is_not_in_it() -> None:
    owners = owners_of(owner_pod(running=T + 5), owner_pod("b", running=T + 6), at=T + 10)
    owners = owners.listed([owner_pod("b", running=T + 6)], T + 80, since=T + 70)
    assert {o.pod_uid: o.alive for o in owners.owners} == {"a": False, "b": True}
    assert owners.last_gap == (T + 70, T + 80)


def test_a_restart_within_the_second_in_which_it_began() -> None:
    before = owners_of(owner_pod("pod-a", running=T, first=True), at=T + 1)
    restarted = owner_pod("pod-a", running=T, last=Span(T, T, "exit 137, Error"))
    after = before.saw(restarted, T + 2)
    assert states(after) == [("Ended", 0, 0), ("Running", 0, None)]
    assert [o.first for o in after.owners] == [True, False]
    assert after.saw(restarted, T + 3) == after


@pytest.mark.parametrize(
    ("started", "earliest"),
    [(T + 9, T + 9), (T + 10.5, T + 10.5), (T + 11, T + 11), (T + 11.5, T), (T + 15, T)],
)
def test_what_is_seen_running_has_started(started: float, earliest: float) -> None:
    # What is yet to start and runs may have started with its Pod, which is from T.
    (owner,) = owners_of(owner_pod("a", running=started), at=T + 10).owners
    assert (owner.earliest_start, owner.started) == (earliest, started)


def test_a_pod_that_is_yet_to_be_made_may_be_of_any_age() -> None:
    pod = owner_pod("a", created=T + 3600, running=T + 3601)
    (owner,) = owners_of(pod, at=T + 10).owners
    assert (owner.state, owner.earliest_start) == (OwnerState.RUNNING, 0.0)
    # What has ended has, though it says in an hour; and that stands, however often it is said.
    over = owner_pod("a", created=T + 3600, terminated=Span(T + 3601, T + 3650, "exit 1"), final=True)
    ended = owners_of(pod, at=T + 10).saw(over, T + 60).saw(over, T + 70)
    assert [(o.state, o.finished) for o in ended.owners] == [(OwnerState.ENDED, T + 60)]


def test_an_incarnation_is_no_older_than_its_pod() -> None:
    (owner,) = owners_of(owner_pod("a", running=T + 5, clock_ahead=60.0), at=T + 10).owners
    assert owner.earliest_start == T


def test_a_container_without_a_start_may_have_run_since_its_pod_was_made() -> None:
    (owner, _) = owners_of(owner_pod("a", terminated=Span(None, T + 9)), at=T + 10).owners
    assert (owner.state, owner.earliest_start, owner.finished) == (OwnerState.ENDED, T, T + 9)


def test_the_first_list_is_the_first() -> None:
    known = owners_of(owner_pod("a", running=T), at=T + 10)
    again = known.listed([owner_pod("a", running=T)], T + 90, since=T + 80)
    assert (again.watched_since, again.last_gap) == (T + 10, Gap(T + 80, T + 90))
    assert again.listed([owner_pod("a", running=T)], T + 95, since=T + 95).last_gap == Gap(T + 80, T + 90)


def test_how_it_ended_is_said() -> None:
    known = owners_of(owner_pod("a", running=T), owner_pod("b", running=T, final=True), at=T + 10).lost("a", T + 20)
    told = {owner.pod_uid: (owner.ending, owner.confirmed) for owner in known.owners}
    assert told == {"a": ("its Pod is gone", False), "b": ("its Pod is over", True)}
    (exited, _) = owners_of(owner_pod("a", terminated=Span(T, T + 9, "exit 137, Error")), at=T + 10).owners
    assert exited.ending == "exit 137, Error"
    (restarted, _) = (
        owners_of(owner_pod("a", running=T), at=T + 10).saw(owner_pod("a", running=T + 30), T + 31).owners
    )
    assert (restarted.ending, restarted.finished) == ("restarted", T + 30)


def test_an_owner_knows_its_container() -> None:
    known = owners_of(owner_pod("a", running=T), owner_pod("b"), owner_pod("c", terminated=Span(T, T + 1)), at=T + 10)
    assert {owner.container for owner in known.owners} == {"containerssh"}
    assert len(known.owners) == 4


def test_what_changes_nothing_is_the_same_value() -> None:
    known = owners_of(owner_pod("a", running=T), owner_pod("b", running=T), at=T + 10)
    assert known.saw(owner_pod("a", running=T), T + 20) is known


def test_who_is_told_of_no_more_has_not_ended_when_an_older_one_began() -> None:
    # A status that is older than what was seen before.
    known = owners_of(owner_pod("a", running=T + 30), at=T + 31).saw(owner_pod("a", running=T + 5), T + 60)
    assert [(owner.started, owner.finished) for owner in known.owners] == [(T + 5, None), (T + 30, T + 60)]


def test_who_was_looked_up_and_is_gone_may_have_lived_until_then() -> None:
    known = (
        owners_of(owner_pod("a", running=T), owner_pod("b", running=T), at=T + 10).lost("a", T + 20).lost("b", T + 20)
    )
    once = confirmed(known, "a", T + 100)
    assert {o.pod_uid: (o.finished, o.confirmed) for o in once.owners} == {
        "a": (T + 100, True),
        "b": (T + 20, False),
    }
    # Once it is known, it stays so.
    assert confirmed(once, "a", T + 900) == once


def test_memory_of_ended_owners_is_bounded_and_keeps_the_living() -> None:
    owners = owners_of(owner_pod("alive", running=T))
    for n in range(REMEMBERED + 50):
        ended = owner_pod(f"p{n}", terminated=Span(T + n, T + n + 1), terminating=True)
        owners = owners.saw(ended, T + n + 1).lost(f"p{n}", T + n + 1)
        owners = owners.saw(owner_pod("other", running=T), T + n)
    assert sum(not o.alive for o in owners.owners) == REMEMBERED
    assert sum(o.alive for o in owners.owners) == 2


def test_the_oldest_of_the_ended_are_forgotten_first() -> None:
    known = owners_of()
    for n in range(REMEMBERED + 1):
        known = known.saw(owner_pod(f"p{n}", terminated=Span(T + n, T + n + 1), terminating=True), T + n + 1)
    assert {owner.pod_uid for owner in known.owners} == {f"p{n}" for n in range(1, REMEMBERED + 1)}


def test_of_many_that_ended_the_oldest_end_is_forgotten_whenever_it_was_seen() -> None:
    known = owners_of()
    for n in reversed(range(REMEMBERED + 1)):
        known = known.saw(owner_pod(f"p{n}", terminated=Span(T + n, T + n + 1), terminating=True), T + 1000)
    assert {owner.pod_uid for owner in known.owners} == {f"p{n}" for n in range(1, REMEMBERED + 1)}


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
    assert all(o.finished < math.inf for o in after.owners if o.finished is not None)


UNSAID = [Span(T + 5, None), Span(None, None)]
"""Ends without a time, as of a container that its kubelet has lost sight of (ContainerStatusUnknown)."""


@pytest.mark.parametrize("lost", UNSAID)
def test_the_successor_of_one_whose_end_was_not_dated_may_have_started_since_that_one_was_alive(lost: Span) -> None:
    owners = owners_of(owner_pod(running=T + 5), at=T + 10).saw(owner_pod(terminated=lost), T + 100)
    successor = next(owner for owner in owners.owners if owner.alive)
    assert successor.earliest_start == T + 5
    # It runs since long before its status says so, and a session of its own is older than when the end was seen.
    assert ownership(session(T + 60), owners, TOLERANCE).since is None
    # Whoever was in the one before keeps the whole grace.
    ended = [owner.finished for owner in owners.owners if not owner.alive]
    assert ended
    assert set(ended) == {T + 100}
    running = owners.saw(owner_pod(running=T + 50, last=lost), T + 101)
    assert ownership(session(T + 60), running, TOLERANCE).since is None


@pytest.mark.parametrize("lost", [*UNSAID, Span(None, T + 3)])
def test_the_successor_of_one_whom_nobody_saw_may_be_as_old_as_its_pod(lost: Span) -> None:
    owners = owners_of(owner_pod(terminated=lost), at=T + 100)
    successor = next(owner for owner in owners.owners if owner.alive)
    assert successor.earliest_start == (lost.finished or lost.started or T)


def test_who_waits_says_nothing_of_when_the_one_before_ended() -> None:
    # A status that tells of no end at all; and the run and its Pod are of the same second.
    owners = owners_of(owner_pod(running=T), at=T + 10).saw(owner_pod(), T + 100)
    assert [owner.finished for owner in owners.owners if not owner.alive] == [T + 100]


@given(known_owners(), instants, st.sampled_from([None, T + 1, T + 300]), st.booleans())
def test_no_session_is_lost_to_an_end_that_was_not_dated(
    owners: Owners, created: float, started: float | None, last: bool
) -> None:
    """Whatever came before, and whatever is left in the status: one that may be restarted may own all that is newer
    than whoever was seen to run."""
    lost = Span(started, None)
    seen = owner_pod("pod-a", last=lost) if last else owner_pod("pod-a", terminated=lost)
    before = [o.earliest_start for o in owners.owners if o.pod_uid == "pod-a" and o.state is not OwnerState.STARTING]
    after = owners.saw(seen, T + 1000)
    if created >= max([T, started or T, *before]):
        assert ownership(session(created, "pod-a"), after, TOLERANCE).since is None


@pytest.mark.parametrize(("never_run", "earliest"), [(-math.inf, T), (T - 5, T), (T + 50, T + 50)])
def test_one_that_has_never_run_owns_nothing_from_before_that_was_certain(never_run: float, earliest: float) -> None:
    (owner,) = owners_of(owner_pod(never_run=never_run), at=T + 100).owners
    assert (owner.state, owner.earliest_start) == (OwnerState.STARTING, earliest)
    # It starts, and its status tells: what was certain does not matter any more.
    (owner,) = owners_of(owner_pod(never_run=never_run), at=T + 100).saw(owner_pod(running=T + 9), T + 200).owners
    assert owner.earliest_start == T + 9


def test_what_has_no_node_owns_nothing_until_it_has_one() -> None:
    unplaced = owner_pod(never_run=math.inf)
    for owners in (owners_of(unplaced, at=T + 100), owners_of(owner_pod(), at=T).saw(unplaced, T + 1)):
        assert [(owner.state, owner.earliest_start) for owner in owners.owners] == [(OwnerState.STARTING, math.inf)]
        assert ownership(session(T + 1e6), owners, TOLERANCE).since is not None
        # It goes, and never was: nobody waits for its end.
        assert owners.lost("a", T + 200).owners == ()
        assert owners.saw(owner_pod(final=True), T + 200).owners == ()
    (owner,) = owners_of(unplaced, at=T + 100).saw(owner_pod(), T + 200).owners
    assert (owner.state, owner.earliest_start) == (OwnerState.STARTING, T)


def test_memory_of_those_whose_end_nobody_saw_is_bounded() -> None:
    owners = owners_of(owner_pod("ended", terminated=Span(T, T + 1), terminating=True))
    for n in range(REMEMBERED + 50):
        owners = owners.saw(owner_pod(f"p{n}", running=T + n), T + n + 1).lost(f"p{n}", T + n + 2)
    unconfirmed = {owner.pod_uid for owner in owners.owners if not owner.confirmed}
    assert unconfirmed == {f"p{n}" for n in range(50, REMEMBERED + 50)}
    # They take the place of none whose end is known.
    assert "ended" in {owner.pod_uid for owner in owners.owners}
    # Whoever of them lives on is looked for by the name of its container, and by the stamps that it made.
    assert owners.containers == ("containerssh",)
    assert needs_full_list([session(T, "p0")], owners)
    assert needs_full_list([session(T)], owners)


def test_the_names_of_the_owner_container_are_kept_in_their_order() -> None:
    known = owners_of().named("").named("sshd").named("containerssh").named("sshd")
    assert known.containers == ("sshd", "containerssh")
    assert known.saw(owner_pod(container="new"), T).containers == ("sshd", "containerssh", "new")

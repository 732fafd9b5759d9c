"""Which Pods only a look-up can tell about, before anybody dies as Ownerless (``core.ownership``)."""

from hypothesis import given

from ssh_session_gc.core.owners import REMEMBERED, Owners, Span, confirmed
from ssh_session_gc.core.ownership import needs_full_list, ownership, to_look_up
from tests.builders import STAMPED, TOLERANCE, T, owner_pod, owners_of, session
from tests.core.strategies import UIDS, instants, known_owners


def test_a_pod_that_vanished_is_to_be_looked_up_until_it_was() -> None:
    owners = owners_of(owner_pod(running=T + 5), at=T + 10).lost("a", T + 50)
    assert ownership(session(T + 6), owners, TOLERANCE).since == T + 50
    assert to_look_up([session(T + 6)], owners, TOLERANCE) == {"a": "ssh-a"}
    assert to_look_up([session(T - 6)], owners, TOLERANCE) == {}
    assert to_look_up([session(T + 6, "b")], owners, TOLERANCE) == {"b": STAMPED}
    assert to_look_up([session(T + 6)], confirmed(owners, "a", T + 100), TOLERANCE) == {}
    # It lost its label and runs on: found again, it owns again.
    assert ownership(session(T + 6), owners.saw(owner_pod(running=T + 5), T + 60), TOLERANCE).since is None


def test_whose_end_nobody_saw_is_not_forgotten_before_somebody_has_looked() -> None:
    # It lost its label and runs on, while its neighbour crashes again and again.
    owners = owners_of(owner_pod("quiet", running=T), owner_pod("noisy", running=T)).lost("quiet", T + 100)
    at = T + 100
    for _ in range(REMEMBERED + 10):
        at += 300
        owners = owners.saw(owner_pod("noisy", running=at, last=Span(at - 300, at - 1)), at + 1)
    assert to_look_up([session(T + 50)], owners, 2.0) == {"quiet": "ssh-quiet"}


def test_whom_to_look_up_for_whom() -> None:
    known = owners_of(owner_pod("a", running=T), owner_pod("b", running=T + 100), at=T + 110).lost("a", T + 200)
    known = known.lost("b", T + 200)
    assert to_look_up([session(T + 10, "b")], known, TOLERANCE) == {"b": "ssh-b"}
    assert to_look_up([session(T + 10)], known, TOLERANCE) == {"a": "ssh-a"}
    assert to_look_up([session(T + 98)], known, TOLERANCE) == {"a": "ssh-a", "b": "ssh-b"}
    assert to_look_up([session(T + 10), session(T + 10, "b")], known, TOLERANCE).keys() == {"a", "b"}
    assert to_look_up([session(T + 10, "b"), session(T + 10)], known, TOLERANCE).keys() == {"a", "b"}
    assert to_look_up([session(T + 10), session(T + 98)], confirmed(known, "a", T + 100), TOLERANCE).keys() == {"b"}


def test_nobody_is_looked_up_whose_end_was_seen() -> None:
    known = owners_of(owner_pod("a", terminated=Span(T, T + 50), terminating=True), at=T + 60)
    assert to_look_up([session(T + 10, "a"), session(T + 10)], known, TOLERANCE) == {}


def test_one_session_that_cannot_be_placed_is_enough_to_look_at_every_pod() -> None:
    known = owners_of(owner_pod("a", running=T), at=T + 5)
    placed, unknown = session(T + 10, "a"), session(T + 10)
    assert needs_full_list([placed, unknown], known)
    assert not needs_full_list([placed], known)
    assert not needs_full_list([], known)


@given(instants, known_owners())
def test_only_a_stamp_by_a_pod_that_was_seen_rules_out_somebody_unseen(created: float, known: Owners) -> None:
    # However long somebody has watched: who lost its label before that serves on, and opens younger sessions.
    assert needs_full_list([session(created)], known)
    for uid in UIDS:
        seen = any(owner.pod_uid == uid for owner in known.owners)
        assert needs_full_list([session(created, uid)], known) is not seen

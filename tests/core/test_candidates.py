"""The index of incarnations, held to asking each of them."""

from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.core.candidates import NOBODY, Candidates
from ssh_session_gc.core.model import Incarnation, OwnerState, Session
from ssh_session_gc.core.owners import Owners, Span
from ssh_session_gc.core.ownership import ownership
from tests.builders import TOLERANCE, T, owner_pod, owners_of, session
from tests.core.strategies import known_owners, sessions


def incarnation(name: str, start: float, end: float | None = None) -> Incarnation:
    """One that lives, or has ended."""
    state = OwnerState.RUNNING if end is None else OwnerState.ENDED
    return Incarnation(name, name, "containerssh", state, start, start, end)


def candidates(*owners: Incarnation) -> Candidates:
    """Them, each from its start on."""
    return Candidates(((owner.earliest_start, owner) for owner in owners), {})


def test_one_that_lives_owns_whatever_began_after_its_start() -> None:
    found = candidates(incarnation("late", T + 50), incarnation("early", T + 10), incarnation("ended", T, T + 5))
    assert found.alive(T + 9.9) is None
    for latest in (T + 10, T + 60):
        owned = found.alive(latest)
        assert owned is not None
        assert (owned.owner, owned.since, owned.exact) == (incarnation("early", T + 10), None, True)


def test_the_last_is_whoever_ended_last_of_those_that_had_started() -> None:
    found = candidates(
        incarnation("b", T + 10, T + 20), incarnation("a", T, T + 90), incarnation("c", T + 50, T + 60)
    )
    assert found.last(T - 1, T - 1) is None
    for latest, earliest, name in ((T, T, "a"), (T + 10, T, "a"), (T + 50, T, "a"), (T + 50, T + 90, "a")):
        last = found.last(latest, earliest)
        assert last is not None
        assert last.pod == name
    assert found.last(T + 50, T + 90.1) is None


def test_nobody_is_alive_and_nobody_was_last() -> None:
    assert (NOBODY.alive(T + 1e9), NOBODY.last(T + 1e9, 0.0)) == (None, None)


def test_of_two_that_ended_the_later_one_counts() -> None:
    owners = owners_of(
        owner_pod("a", terminated=Span(T, T + 40), terminating=True),
        owner_pod("b", terminated=Span(T, T + 60), terminating=True),
        owner_pod("c", terminated=Span(T, T + 50), terminating=True),
        at=T + 5,
    )
    owned = ownership(session(T + 10), owners, TOLERANCE)
    assert owned.owner is not None
    assert (owned.owner.pod_uid, owned.since) == ("b", T + 60)


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

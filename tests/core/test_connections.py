"""What was said of a connection adds up the same in whatever order, and however often, it is heard."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.core.connections import (
    UNHEARD,
    UNKNOWN,
    Connection,
    Line,
    Moment,
    Presence,
    Said,
    deserted,
    heard,
    presence,
    superseded,
    untold,
)
from ssh_session_gc.core.gauge import Idle
from ssh_session_gc.core.model import Ownership, Session
from tests.builders import ALIVE, TOLERANCE, T, session

ID = "6be72bf9c12f4a77bf587b99a3f0d244"
OWNER, OTHER = "ssh-a", "ssh-b"


def line(said: Said, written: float = 0.0, *, late: float = 0.0, pod: str = "") -> Line:
    """A line written so many seconds after T, which came ``late``."""
    return Line(said, ID, pod, T + written, T + written + late)


def after(*lines: Line, speaker: str = OWNER) -> Connection:
    """What is known after these lines."""
    known = UNHEARD
    for each in lines:
        known = heard(known, each, speaker)
    return known


lines = st.builds(
    line, st.sampled_from(Said), st.sampled_from([0.0, 1.0, 2.0, 50.0]), late=st.sampled_from([0.0, 0.5, 90.0])
)


@given(st.lists(lines, max_size=6).flatmap(lambda said: st.tuples(st.just(said), st.permutations(said))))
def test_the_order_does_not_matter_nor_repetition(said: tuple[Sequence[Line], Sequence[Line]]) -> None:
    one, other = said
    first, second = after(*one), after(*other, *other)
    assert (first.open, first.ended, first.given_up) == (second.open, second.ended, second.given_up)
    assert (first.speaker, first.first, first.opened) == (second.speaker, second.first, second.opened)


@given(st.lists(lines, max_size=6))
def test_nothing_has_ended_of_which_nobody_said_so(said: list[Line]) -> None:
    known = after(*said)
    if not any(each.said is Said.DISCONNECTED for each in said):
        assert known.ended is None
    if known.ended is not None:
        assert known.open is False
        assert known.ended >= min(each.at for each in said if each.said is Said.DISCONNECTED)


def test_a_connection_that_ended() -> None:
    known = after(line(Said.CONNECTED), line(Said.DISCONNECTED, 10.0, late=0.25))
    assert (known.open, known.ended, known.speaker) == (False, T + 10.25, OWNER)
    assert known.opened == Moment(T, T)


def test_a_line_that_comes_again_later_changes_nothing() -> None:
    known = after(line(Said.DISCONNECTED, 10.0))
    assert heard(known, line(Said.DISCONNECTED, 10.0, late=300.0), OWNER) is known


def test_a_connection_that_is_opened_after_its_end_is_open() -> None:
    assert after(line(Said.DISCONNECTED, 1.0), line(Said.CONNECTED, 2.0)).open is True
    # However late it was heard that it had ended.
    assert after(line(Said.CONNECTED, 2.0), line(Said.DISCONNECTED, 1.0, late=90.0)).open is True


def test_a_connection_that_is_opened_in_the_moment_of_its_end_has_ended() -> None:
    assert after(line(Said.CONNECTED, 1.0), line(Said.DISCONNECTED, 1.0)).open is False


def test_of_what_two_owners_claim_nothing_is_known() -> None:
    known = heard(after(line(Said.CONNECTED)), line(Said.DISCONNECTED, 5.0), OTHER)
    assert (known.contested, known.open, known.ended) == (True, None, None)


def test_what_was_given_up() -> None:
    known = after(line(Said.REMOVE_FAILED, 60.0, pod="x"), line(Said.WAIT_FAILED, 30.0, pod="x"))
    assert (known.given_up, known.how) == (T + 30.0, Said.WAIT_FAILED)
    assert known.open is None


def named(uid: str, created: float, **more: Any) -> Session:
    """A session of the connection."""
    return session(created, uid=uid, connection_id=ID, **more)


def test_a_newer_pod_of_the_connection_supersedes() -> None:
    old, new = named("old", T), named("new", T + 10.0)
    assert superseded(old, [old, new]) == T + 10.0
    assert superseded(new, [old, new]) is None
    assert superseded(old, [named("newest", T + 20.0), new]) == T + 10.0


def test_which_is_newer_must_be_certain() -> None:
    assert superseded(named("old", T), [named("new", T + 1.0)]) is None
    assert superseded(named("old", T), [named("new", T + 2.0)]) == T + 2.0


def test_nobody_supersedes_where_a_connection_may_have_several() -> None:
    attached, persistent = named("a", T + 10.0, attached=True), named("p", T + 10.0, persistent=True)
    assert superseded(named("old", T), [attached, persistent]) is None
    assert superseded(named("old", T, attached=True), [named("new", T + 10.0)]) is None
    assert superseded(named("old", T, persistent=True), [named("new", T + 10.0)]) is None
    assert superseded(session(T, uid="old"), [session(T + 10.0, uid="new")]) is None


OPEN = Connection(OWNER, T, opened=Moment(T, T + 0.5))
ENDED = msgspec.structs.replace(OPEN, closed=Moment(T + 20, T + 20.5))
CONTESTED = msgspec.structs.replace(OPEN, contested=True)
ALONE = Ownership(ALIVE.owners[0], T + 50, True)
"""Its last owner has ended."""


def empty(since: float, until: float) -> Ownership:
    """Owned by an owner to which nobody was connected in this time, in seconds after T."""
    return Ownership(ALIVE.owners[0], None, True, Idle(T + since, T + until))


@pytest.mark.parametrize(
    ("pod", "connection", "ownership", "expected"),
    [
        (session(), UNHEARD, None, UNKNOWN),
        (session(), UNHEARD, Ownership(ALIVE.owners[0], None, True), UNKNOWN),
        (session(), OPEN, None, Presence(True, T + 0.5)),
        (session(), ENDED, None, Presence(False, T + 20.5)),
        (session(), CONTESTED, None, UNKNOWN),
        # With its last owner everything ended, and what ended before did so before.
        (session(), UNHEARD, ALONE, Presence(False, T + 50)),
        (session(), OPEN, ALONE, Presence(False, T + 50)),
        (session(), ENDED, ALONE, Presence(False, T + 20.5)),
        (session(), msgspec.structs.replace(ENDED, closed=Moment(T + 80, T + 80)), ALONE, Presence(False, T + 50)),
        # Its first connection says nothing of the later ones to a persistent session.
        (session(persistent=True), OPEN, None, UNKNOWN),
        (session(persistent=True), ENDED, None, UNKNOWN),
        (session(persistent=True), UNHEARD, empty(0, 60), UNKNOWN),
        (session(persistent=True), ENDED, ALONE, Presence(False, T + 50)),
        # By what its owners count.
        (session(), UNHEARD, empty(10, 60), Presence(False, T + 10)),
        (session(), OPEN, empty(10, 60), Presence(True, T + 0.5)),
        (session(), ENDED, empty(10, 60), Presence(False, T + 20.5)),
        (session(), CONTESTED, empty(10, 60), UNKNOWN),
    ],
)
def test_whether_somebody_is_connected(
    pod: Session, connection: Connection, ownership: Ownership | None, expected: Presence
) -> None:
    assert presence(pod, connection, ownership, TOLERANCE) == expected


def test_a_count_tells_of_those_who_had_certainly_been_created_when_it_was_asked_for() -> None:
    made = 1.0 + TOLERANCE  # its creation is cut to a second, by another clock
    assert deserted(session(), UNHEARD, empty(-9, made - 0.1), TOLERANCE) is None
    assert deserted(session(), UNHEARD, empty(-9, made), TOLERANCE) == T + made
    assert deserted(session(), UNHEARD, empty(made + 2, made + 9), TOLERANCE) == T + made + 2


@pytest.mark.parametrize(
    ("pod", "connection", "expected"),
    [
        (session(), UNHEARD, True),
        # A line that is neither the beginning nor the end tells no end.
        (session(), after(line(Said.CREATED)), True),
        (session(), OPEN, False),
        (session(), after(line(Said.DISCONNECTED)), False),
        (session(), ENDED, False),
        (session(), Connection(OWNER, T, contested=True), False),
        (session(), after(line(Said.REMOVE_FAILED)), False),
        (session(), Connection(superseded=T), False),
        (session(keep=True), UNHEARD, False),
        (session(persistent=True), UNHEARD, False),
        (session(deletion=T), UNHEARD, False),
        (session(finished=T), UNHEARD, False),
    ],
)
def test_of_whom_nothing_but_a_count_would_tell_the_end(pod: Session, connection: Connection, expected: bool) -> None:
    assert untold(pod, connection) is expected

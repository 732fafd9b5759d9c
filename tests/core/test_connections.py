"""What was said of a connection adds up the same in whatever order, and however often, it is heard."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.core.connections import UNHEARD, Connection, Line, Moment, Said, heard, superseded
from ssh_session_gc.core.model import Session
from tests.builders import T, session

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


def test_which_is_newer_must_be_certain() -> None:
    assert superseded(named("old", T), [named("new", T + 1.0)]) is None


def test_nobody_supersedes_where_a_connection_may_have_several() -> None:
    attached, persistent = named("a", T + 10.0, attached=True), named("p", T + 10.0, persistent=True)
    assert superseded(named("old", T), [attached, persistent]) is None
    assert superseded(named("old", T, attached=True), [named("new", T + 10.0)]) is None
    assert superseded(named("old", T, persistent=True), [named("new", T + 10.0)]) is None
    assert superseded(session(T, uid="old"), [session(T + 10.0, uid="new")]) is None

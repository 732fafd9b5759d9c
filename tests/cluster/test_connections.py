"""Which lines are about which session, and what is kept of whom."""

from typing import Any

import msgspec
import pytest

from ssh_session_gc.cluster.connections import ROOM, Connections
from ssh_session_gc.core.connections import UNHEARD, Line, Moment, Said
from ssh_session_gc.core.model import Session
from tests.builders import T, session

A = "ssh-a"


def identity(number: int) -> str:
    """A connection's id."""
    return f"{number:032x}"


def line(said: Said, number: int = 1, at: float = T, pod: str = "") -> Line:
    """A line about this connection."""
    return Line(said, identity(number), pod, at, at)


class Known:
    """Sessions, what is known of their connections, and what was told of them."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.connections = Connections(self.sessions)
        self.told: list[str | None] = []
        self.connections.changes.subscribe(self.told.append)

    def add(self, uid: str, number: int = 1, at: float = T, **more: Any) -> None:
        """A session comes."""
        self.sessions[uid] = session(at, uid=uid, name=f"pod-{uid}", connection_id=identity(number), **more)
        self.connections.changed(uid)

    def remove(self, uid: str) -> None:
        """A session goes."""
        del self.sessions[uid]
        self.connections.changed(uid)


def test_a_line_after_its_session() -> None:
    known = Known()
    known.add("x")
    known.connections.hear(line(Said.DISCONNECTED, at=T + 5), A)
    assert known.connections.of("x").ended == T + 5
    assert known.told == ["x"]
    known.connections.hear(line(Said.DISCONNECTED, at=T + 5), A)
    assert known.told == ["x"]


def test_a_line_before_its_session() -> None:
    known = Known()
    known.connections.hear(line(Said.CONNECTED), A)
    known.connections.hear(line(Said.DISCONNECTED, at=T + 5), A)
    known.add("x")
    known.add("y", number=2)
    assert known.connections.of("x").ended == T + 5
    assert known.connections.of("x").speaker == A
    assert known.connections.of("y") is UNHEARD


def test_lines_of_two_owners_before_their_session_contest_it() -> None:
    known = Known()
    known.connections.hear(line(Said.DISCONNECTED, at=T + 5), A)
    known.connections.hear(line(Said.DISCONNECTED, at=T + 5), "ssh-b")
    known.add("x")
    assert known.connections.of("x").contested


def test_sessions_that_are_there_already_are_heard_of_once_they_are_noted() -> None:
    sessions = {uid: session(uid=uid, connection_id=identity(number)) for number, uid in enumerate("xy", 1)}
    connections = Connections(sessions)
    connections.changed(None)
    connections.hear(line(Said.CONNECTED, 2), A)
    assert connections.of("x") is UNHEARD
    assert connections.of("y").open is True


def test_a_session_that_changes_is_still_the_one_of_which_something_was_said() -> None:
    known = Known()
    known.add("x", attached=True)
    known.connections.hear(line(Said.WAIT_FAILED, pod="pod-x"), A)
    before = known.connections.of("x")
    known.connections.changed("x")
    known.connections.changed(None)
    assert known.connections.of("x") is before


def test_a_change_of_one_session_is_no_look_at_all_of_them() -> None:
    known = Known()
    known.sessions["x"] = session(uid="x", connection_id=identity(1))
    known.add("y", number=2)
    known.connections.hear(line(Said.CONNECTED, 1), A)
    assert known.connections.of("x") is UNHEARD
    known.connections.changed("x")
    assert known.connections.of("x").open is True


def test_a_session_without_a_connection_is_nobodys() -> None:
    known = Known()
    known.sessions["x"] = session(uid="x")
    known.connections.changed("x")
    known.connections.hear(Line(Said.CONNECTED, "", "", T, T), A)
    assert known.connections.of("x") is UNHEARD
    known.remove("x")
    assert known.told == []


def test_the_end_of_a_connection_is_that_of_all_its_sessions_whatever_pod_the_line_names() -> None:
    known = Known()
    known.add("x", attached=True)
    known.add("y", attached=True)
    known.connections.hear(line(Said.DISCONNECTED, at=T + 5, pod="pod-y"), A)
    assert [known.connections.of(uid).ended for uid in "xy"] == [T + 5, T + 5]


def test_what_was_given_up_is_one_of_a_connections_sessions() -> None:
    known = Known()
    known.add("x", attached=True)
    known.add("y", attached=True)
    known.connections.hear(line(Said.WAIT_FAILED, pod="pod-y"), A)
    assert known.connections.of("x") is UNHEARD
    assert known.connections.of("y").given_up == T


@pytest.mark.parametrize("connection", [True, False], ids=["by connection", "by name alone"])
@pytest.mark.parametrize("before", [True, False], ids=["before its Pod", "after it"])
def test_what_was_given_up_is_told_by_the_name_of_its_pod(connection: bool, before: bool) -> None:
    known = Known()
    known.add("x", attached=True)
    told = msgspec.structs.replace(
        line(Said.REMOVE_FAILED, pod="pod-y"), **({} if connection else {"connection_id": ""})
    )
    if before:
        known.connections.hear(told, A)
        known.add("y", attached=True)
    else:
        known.add("y", attached=True)
        known.connections.hear(told, A)
    assert known.connections.of("y").given_up == T
    assert known.connections.of("x").given_up is None


def test_what_was_given_up_before_it_was_seen_is_still_one_of_a_connections_sessions() -> None:
    known = Known()
    known.connections.hear(line(Said.WAIT_FAILED, pod="pod-y"), A)
    known.add("x", attached=True)
    known.connections.hear(line(Said.WAIT_FAILED, pod="pod-z", at=T + 5), A)
    for uid in "yz":
        known.add(uid, attached=True)
    assert [known.connections.of(uid).given_up for uid in "xyz"] == [None, T, T + 5]


def test_a_second_session_of_a_connection_knows_what_the_first_does() -> None:
    known = Known()
    known.add("x", attached=True)
    known.connections.hear(line(Said.CONNECTED), A)
    known.add("y", at=T + 60, attached=True)
    assert known.connections.of("y").open is True
    assert known.connections.of("y").speaker == A


def test_of_a_contested_connection_no_session_knows_anything() -> None:
    known = Known()
    known.add("x", attached=True)
    known.connections.hear(line(Said.CONNECTED), A)
    known.connections.hear(line(Said.DISCONNECTED, at=T + 5), "ssh-b")
    known.add("y", at=T + 60, attached=True)
    assert known.connections.of("y").contested
    assert known.connections.of("y").ended is None


def test_what_became_of_one_session_is_not_said_of_another() -> None:
    known = Known()
    known.add("x", attached=True)
    known.connections.hear(line(Said.WAIT_FAILED, pod="pod-x"), A)
    known.add("y", at=T + 60, attached=True)
    assert known.connections.of("y").given_up is None
    assert known.connections.of("y").how is None
    assert known.connections.of("y").speaker == A


def test_what_superseded_one_session_does_not_supersede_the_next() -> None:
    known = Known()
    for number, uid in enumerate("xyz"):
        known.add(uid, at=T + 10 * number)
    assert [known.connections.of(uid).superseded for uid in "xyz"] == [T + 10, T + 20, None]


def test_a_newer_session_takes_nothing_away_of_what_was_said() -> None:
    known = Known()
    known.add("x")
    known.connections.hear(line(Said.DISCONNECTED, at=T + 5), A)
    known.add("y", at=T + 10)
    assert (known.connections.of("x").ended, known.connections.of("x").superseded) == (T + 5, T + 10)


def test_the_sessions_that_are_left_of_a_connection_hear_on() -> None:
    known = Known()
    for uid in "xyz":
        known.add(uid, attached=True)
    known.remove("y")
    known.connections.hear(line(Said.DISCONNECTED, at=T + 5), A)
    assert [known.connections.of(uid).ended for uid in "xyz"] == [T + 5, None, T + 5]
    known.remove("x")
    known.remove("z")
    known.add("w")
    assert known.connections.of("w") is UNHEARD


def test_a_session_that_is_gone_before_it_is_said_supersedes_nobody_and_is_superseded_by_nobody() -> None:
    known = Known()
    known.add("x")
    del known.sessions["x"]
    known.add("y", at=T + 10)
    known.connections.changed("x")
    assert known.connections.of("x") is UNHEARD
    assert known.connections.of("y").superseded is None


def test_a_newer_session_of_a_connection() -> None:
    known = Known()
    known.add("x")
    known.add("y", at=T + 10)
    assert known.connections.of("x").superseded == T + 10
    assert known.connections.of("y").superseded is None
    known.remove("y")
    assert known.connections.of("x").superseded == T + 10


def test_nothing_is_kept_of_a_session_that_is_gone() -> None:
    known = Known()
    known.add("unheard", 9)
    known.remove("unheard")
    for number in range(3):
        known.add(f"s{number}", number)
        known.connections.hear(line(Said.CONNECTED, number), A)
    for number in range(2):
        known.remove(f"s{number}")
    kept = vars(known.connections)
    assert [len(kept[name]) for name in ("_known", "_by_id", "_ids")] == [1, 1, 1]
    del known.sessions["s2"]
    known.connections.changed(None)
    assert [kept[name] for name in ("_known", "_by_id", "_ids")] == [{}, {}, {}]


def test_a_flood_about_nobody_costs_no_more_than_the_room() -> None:
    known = Known()
    known.add("x", number=10**9)
    known.connections.hear(line(Said.CONNECTED, 10**9), A)
    for number in range(3 * ROOM):
        known.connections.hear(line(Said.CONNECTED, number), A)
    assert len(vars(known.connections)["_room"]) == ROOM + 1
    assert known.connections.of("x").open is True
    # Whoever came last is remembered.
    known.add("last", number=3 * ROOM - 1)
    known.add("first", number=0)
    assert known.connections.of("last").open is True
    assert known.connections.of("first") is UNHEARD


def test_a_clock_that_is_set_moves_the_moments() -> None:
    known = Known()
    known.add("x")
    known.connections.hear(line(Said.CONNECTED), A)
    known.connections.hear(line(Said.DISCONNECTED, at=T + 5), A)
    known.connections.hear(line(Said.REMOVE_FAILED, at=T + 65, pod="pod-x"), A)
    known.connections.moved(3600.0)
    moved = known.connections.of("x")
    assert (moved.ended, moved.given_up) == (T + 3605, T + 3665)
    assert moved.first == T
    assert moved.opened == Moment(T, T + 3600)
    # What was said of one that nobody knows yet moves as well.
    known.connections.hear(line(Said.CONNECTED, 7), A)
    known.connections.moved(-60.0)
    known.add("late", number=7)
    assert known.connections.of("late").opened == Moment(T, T - 60)


def test_a_clock_that_is_set_makes_nothing_of_what_was_not_said() -> None:
    known = Known()
    known.add("x")
    known.connections.hear(line(Said.CONNECTED), A)
    known.connections.moved(3600.0)
    moved = known.connections.of("x")
    assert (moved.closed, moved.given_up) == (None, None)

"""Whoever subscribed is told: all of them, in order, until they leave."""

from collections.abc import Callable

from ssh_session_gc.kube.listeners import Listeners


def test_all_are_told_in_the_order_in_which_they_subscribed() -> None:
    listeners, heard = Listeners[str](), list[tuple[str, str]]()
    for name in ("first", "second", "third"):
        listeners.subscribe(lambda said, name=name: heard.append((name, said)))  # type: ignore[misc]
    listeners.tell("a")
    listeners.tell("b")
    assert heard == [(name, said) for said in ("a", "b") for name in ("first", "second", "third")]


def test_who_has_left_is_told_nothing_more_and_the_others_are() -> None:
    listeners, stayed, left = Listeners[int](), list[int](), list[int]()
    leave = listeners.subscribe(left.append)
    listeners.subscribe(stayed.append)
    listeners.tell(1)
    leave()
    listeners.tell(2)
    assert (left, stayed) == ([1], [1, 2])


def test_the_same_function_may_listen_twice_and_leave_once() -> None:
    listeners, heard = Listeners[int](), list[int]()
    leave = listeners.subscribe(heard.append)
    listeners.subscribe(heard.append)
    leave()
    listeners.tell(1)
    assert heard == [1]


def test_who_leaves_while_being_told_keeps_nobody_from_being_told() -> None:
    listeners, heard = Listeners[int](), list[str]()
    leave: list[Callable[[], None]] = []

    def once(_: int) -> None:
        heard.append("once")
        leave[0]()

    leave.append(listeners.subscribe(once))
    listeners.subscribe(lambda _: heard.append("always"))
    listeners.tell(1)
    listeners.tell(2)
    assert heard == ["once", "always", "always"]


def test_who_subscribes_while_others_are_told_is_told_from_the_next_time_on() -> None:
    listeners, heard = Listeners[int](), list[int]()

    def invite(_: int) -> None:
        listeners.subscribe(heard.append)

    leave = listeners.subscribe(invite)
    listeners.tell(1)
    leave()
    listeners.tell(2)
    assert heard == [2]

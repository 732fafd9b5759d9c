"""Listeners: who is told, in which order, and for how long."""

from ssh_session_gc.kube.listeners import Listeners


def test_all_are_told_in_the_order_in_which_they_subscribed() -> None:
    told: list[tuple[str, int]] = []
    listeners: Listeners[int] = Listeners()
    listeners.subscribe(lambda number: told.append(("first", number)))
    listeners.subscribe(lambda number: told.append(("second", number)))
    listeners.tell(7)
    assert told == [("first", 7), ("second", 7)]


def test_whoever_left_is_not_told_and_may_leave_twice() -> None:
    told: list[int] = []
    listeners: Listeners[int] = Listeners()
    leave = listeners.subscribe(told.append)
    stay: list[int] = []
    listeners.subscribe(stay.append)
    leave()
    leave()
    listeners.tell(1)
    assert (told, stay) == ([], [1])


def test_one_that_leaves_while_it_is_told_makes_nobody_miss_anything() -> None:
    told: list[str] = []
    listeners: Listeners[[]] = Listeners()

    def once() -> None:
        told.append("once")
        leave()

    leave = listeners.subscribe(once)
    listeners.subscribe(lambda: told.append("always"))
    listeners.tell()
    listeners.tell()
    assert told == ["once", "always", "always"]

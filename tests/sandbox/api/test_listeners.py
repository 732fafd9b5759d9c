"""Listeners: all are told, in order, for as long as they want."""

from ssh_session_gc.sandbox.api.listeners import Listeners


def test_each_is_told_in_the_order_of_subscription_until_it_leaves() -> None:
    heard: list[str] = []
    listeners = Listeners[str]()
    leave = listeners.subscribe(lambda event: heard.append(f"first {event}"))
    listeners.subscribe(lambda event: heard.append(f"second {event}"))
    listeners.tell("a")
    leave()
    leave()
    listeners.tell("b")
    assert heard == ["first a", "second a", "second b"]


def test_one_that_comes_meanwhile_is_told_of_the_next() -> None:
    heard: list[str] = []
    listeners = Listeners[str]()

    def bring_another(_: str) -> None:
        listeners.subscribe(heard.append)
        leave()

    leave = listeners.subscribe(bring_another)
    listeners.tell("a")
    listeners.tell("b")
    assert heard == ["b"]

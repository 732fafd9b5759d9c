"""Listeners: functions that are called at an event, in the order in which they subscribed."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Listeners(Generic[T]):
    """The listeners to one kind of event."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[T], None]] = []

    def subscribe(self, listener: Callable[[T], None]) -> Callable[[], None]:
        """Has ``listener`` called at each event from now on, until the function that this returns is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def tell(self, event: T) -> None:
        """Calls each listener. One that subscribes or leaves meanwhile does so from the next event on."""
        for listener in tuple(self._listeners):
            listener(event)

"""The one way in which this program notifies: functions that subscribe.

Knows how to subscribe and to leave. Does not know what is told.
"""

from collections.abc import Callable
from typing import Generic, ParamSpec

P = ParamSpec("P")


class Listeners(Generic[P]):
    """Functions that are called in the order in which they subscribed."""

    def __init__(self) -> None:
        self._listeners: list[Callable[P, None]] = []

    def subscribe(self, listener: Callable[P, None]) -> Callable[[], None]:
        """Has the listener called from now on. Returns what ends that."""
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe

    def tell(self, *args: P.args, **more: P.kwargs) -> None:
        """Calls all that are subscribed when it begins."""
        for listener in tuple(self._listeners):
            listener(*args, **more)

"""The latest changes: kept for watches to start from and for lists of the past, and told to listeners.

Knows the order of changes and how far back it goes. Does not know the objects as they are now: ``storage`` does.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from ssh_session_gc.sandbox.api.listeners import Listeners
from ssh_session_gc.sandbox.api.objects import Change, Object, Resource
from ssh_session_gc.sandbox.api.refusals import Refusal


class History:
    """The latest changes of all resources."""

    def __init__(self, limit: int) -> None:
        """``limit`` is how many changes are kept; older ones are compacted away."""
        self.compacted = 0
        """The version up to which changes are forgotten."""
        self._limit = limit
        self._changes: deque[Change] = deque()
        self._listeners = Listeners[Change]()
        self._untold: deque[Change] = deque()
        self._telling = False

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Has ``listener`` called after each change, until the function that this returns is called."""
        return self._listeners.subscribe(listener)

    def record(self, change: Change) -> None:
        """Keeps a change and tells of it before it returns, or, where a listener made it, after those before it."""
        self._changes.append(change)
        if len(self._changes) > self._limit:
            self.compact(self._changes[0].rv)
        self._untold.append(change)
        if self._telling:  # the loop below, further up the stack, tells of it in its turn
            return
        self._telling = True
        try:
            while self._untold:
                self._listeners.tell(self._untold.popleft())
        finally:
            self._telling = False

    def compact(self, rv: int) -> None:
        """Forgets the changes up to a version."""
        self.compacted = max(self.compacted, rv)
        while self._changes and self._changes[0].rv <= self.compacted:
            self._changes.popleft()

    def since(self, res: Resource, rv: int) -> Sequence[Change]:
        """The changes after a version, oldest first. Raises Refusal 410 if they are no longer all known."""
        if rv < self.compacted:
            raise Refusal(410, "Expired", f"too old resource version: {rv} ({self.compacted})")
        return list(self._back_to(res, rv))[::-1]

    def undone(self, objects: Mapping[str, Object], res: Resource, rv: int) -> dict[str, Object]:
        """A resource's objects by key as they were at a version, from ``objects`` as they are now."""
        then = dict(objects)
        for change in self._back_to(res, rv):
            metadata = change.object["metadata"]
            key = res.key(metadata.get("namespace"), metadata["name"])
            if change.previous is None:
                then.pop(key, None)
            else:
                then[key] = change.previous
        return then

    def _back_to(self, res: Resource, rv: int) -> Iterator[Change]:
        for change in reversed(self._changes):
            if change.rv <= rv:
                return
            if change.resource is res:
                yield change

"""Faults: what goes wrong on request, with requests to come and with running watches and logs.

Knows which requests a fault is for and how often it strikes. What it then does, ``strikes`` and ``stream`` know.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

FaultKind = Literal[
    "status", "gone", "reset", "cut", "truncate", "malformed", "end", "stall", "slow", "delay", "repeat"
]
"""What a fault does:

- ``status``: an HTTP error, ``code``, with ``retry_after`` if set
- ``gone``: a watch gets an ERROR event with a 410 Status, anything else an HTTP 410
- ``reset``: the connection is reset before an answer; aiohttp's client then sends what is idempotent (all but
  POST and PATCH) once more by itself, so it takes two ``times`` for it to notice
- ``cut``: the connection is reset after ``after_bytes`` bytes of body, even in the middle of a line
- ``truncate``: the connection is reset half way through the body, or through a watch's next line
- ``malformed``: the body, or a watch's next line, is no JSON
- ``end``: a watch ends, cleanly
- ``stall``: nothing arrives any more, and the connection stays open
- ``slow``: the answer begins ``seconds`` late
- ``delay``: a watch's lines come ``seconds`` late, in order, as from an API server whose cache lags
- ``repeat``: a watch sends its last lines once more, in order, as after an API server that took it up too early
"""


@dataclass(slots=True)
class Fault:
    """Something that goes wrong with each request that matches all of the fields set."""

    kind: FaultKind
    verb: str | None = None  # get, list, watch, create, update, patch, delete
    resource: str | None = None  # "pods", "pods/status"
    namespace: str | None = None
    times: int | None = None  # None: until it is lifted
    code: int = 500
    retry_after: int | None = None  # seconds
    after_bytes: int = 0
    seconds: float = 0.0


class RunningWatch(Protocol):
    """A running watch, as faults see it."""

    resource: str
    namespace: str | None

    def strike(self, fault: Fault) -> None:
        """Lets this happen to the watch now."""


class Faults:
    """The faults of one server. Changes take effect with the next request."""

    def __init__(self) -> None:
        self.clock_offset = 0.0
        """Seconds by which the ``Date`` header is ahead of the cluster's clock."""
        self.clocks: Sequence[float] = (0.0,)
        """Seconds by which the clocks of several API servers are ahead, which answer in turn."""
        self._answers = 0
        self.watches: dict[RunningWatch, None] = {}
        """The running watches and logs ("pods/log"), in the order in which they began."""
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Adds a fault and returns it. Of several that match, the one added first strikes."""
        self._faults.append(fault)
        return fault

    def lift(self, fault: Fault) -> None:
        """Removes a fault. What it has struck stays struck: a stalled watch stays silent."""
        self._faults = [each for each in self._faults if each is not fault]

    def clear(self) -> None:
        """Removes all faults, and puts the clock right."""
        self._faults.clear()
        self.clock_offset = 0.0

    def ahead(self) -> float:
        """Seconds by which the clock of the server that answers next is ahead of the cluster's."""
        self._answers += 1
        return self.clock_offset + self.clocks[self._answers % len(self.clocks)]

    def take(self, verb: str, resource: str, namespace: str | None) -> Fault | None:
        """The fault that strikes this request; it has one of its ``times`` less from now on."""
        for fault in self._faults:
            wanted = (fault.verb, fault.resource, fault.namespace)
            if all(want in (None, found) for want, found in zip(wanted, (verb, resource, namespace), strict=True)):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self.lift(fault)
                return fault
        return None

    def cut_watches(self, *, resource: str | None = None, namespace: str | None = None, after_bytes: int = 0) -> int:
        """Resets the running watches' connections after so many more bytes; returns how many watches."""
        return self._strike(Fault("cut", resource=resource, namespace=namespace, after_bytes=after_bytes))

    def end_watches(self, *, resource: str | None = None, namespace: str | None = None) -> int:
        """Ends the running watches cleanly, as an API server does whenever it likes."""
        return self._strike(Fault("end", resource=resource, namespace=namespace))

    def stall_watches(self, *, resource: str | None = None, namespace: str | None = None) -> int:
        """Silences the running watches, which stay open: no event, no bookmark, no end."""
        return self._strike(Fault("stall", resource=resource, namespace=namespace))

    def expire_watches(self, *, resource: str | None = None, namespace: str | None = None) -> int:
        """Sends the running watches an ERROR event with a 410 Status, and ends them."""
        return self._strike(Fault("gone", resource=resource, namespace=namespace))

    def garble_watches(self, *, resource: str | None = None, namespace: str | None = None) -> int:
        """Sends the running watches a line that is no JSON; they go on after it."""
        return self._strike(Fault("malformed", resource=resource, namespace=namespace))

    def delay_watches(self, seconds: float, *, resource: str | None = None, namespace: str | None = None) -> int:
        """Delays all lines of the running watches, as an API server does whose cache lags."""
        return self._strike(Fault("delay", resource=resource, namespace=namespace, seconds=seconds))

    def repeat_watches(self, *, resource: str | None = None, namespace: str | None = None) -> int:
        """Sends the last lines of the running watches once more."""
        return self._strike(Fault("repeat", resource=resource, namespace=namespace))

    def _strike(self, fault: Fault) -> int:
        struck = list(self._running(fault))
        for watch in struck:
            watch.strike(fault)
        return len(struck)

    def _running(self, fault: Fault) -> Iterator[RunningWatch]:
        for watch in tuple(self.watches):
            if fault.resource in (None, watch.resource) and fault.namespace in (None, watch.namespace):
                yield watch

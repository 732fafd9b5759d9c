"""A stream of lines to one client: what waits to be written, and what faults do to it.

Knows neither what a line says nor when the stream is over: ``watch`` and ``logs`` do.
"""

import asyncio
from collections import deque

from aiohttp import web

from ssh_session_gc.sandbox.api.faults import Fault

REPEATED = 8
"""Lines that the fault ``repeat`` sends once more."""


class Stream:
    """Lines on their way to a client. Whoever writes them waits for ``_wake`` in between."""

    malformed = b'{"kind":\n'
    """The line that the fault of this name sends."""

    def __init__(self, resource: str, namespace: str | None) -> None:
        self.resource, self.namespace = resource, namespace
        self._time = asyncio.get_running_loop().time
        self._pending: deque[tuple[float, bytes]] = deque()  # when each may be written, on the loop's clock
        self._sent: deque[bytes] = deque(maxlen=REPEATED)
        self._delay = 0.0
        self._wake = asyncio.Event()
        self._ending = self._stalled = False
        self._budget: int | None = None  # bytes until the connection is cut
        self._halved = False  # cut in the middle of the next line

    def strike(self, fault: Fault) -> None:
        """Lets this fault happen to the stream."""
        match fault.kind:
            case "gone":
                self._forget_late()
                if (last := self._last_word()) is not None:
                    self._pending.append((self._time(), last))
                self._ending = True
            case "end":
                self._forget_late()
                self._ending = True
            case "stall":
                self._stalled = True
                self._pending.clear()
            case "malformed":
                self._add(self.malformed)
            case "delay":
                self._delay += fault.seconds
                self._pending = deque((at + fault.seconds, each) for at, each in self._pending)
            case "repeat":
                self._pending.extendleft((self._time(), each) for each in reversed(self._sent))
            case "truncate":
                self._halved = True
            case "cut" | "reset":
                self._budget = fault.after_bytes
        self._wake.set()

    def _last_word(self) -> bytes | None:
        """The line with which the fault ``gone`` ends the stream."""
        return None

    async def _flush(self, response: web.StreamResponse) -> bool:
        now, lines = self._time(), list[bytes]()
        while self._pending and self._pending[0][0] <= now:
            lines.append(self._pending.popleft()[1])
        if self._halved and lines:
            self._budget = len(lines[0]) // 2
        self._sent.extend(lines)
        data = b"".join(lines)
        if self._budget is not None:
            data = data[: self._budget]
            self._budget -= len(data)
        if data:
            try:
                await response.write(data)
            except ConnectionError:
                return False  # the client has gone this moment
        return self._budget is None or self._budget > 0

    def _add(self, added: bytes) -> None:
        self._pending.append((self._time() + self._delay, added))

    def _forget_late(self) -> None:
        """Drops the lines that are not due yet: after the end, the client goes on from what it has."""
        self._pending = deque(each for each in self._pending if each[0] <= self._time())

"""An event loop without a clock and without sockets: time passes when nobody has anything to do, and connections are
pairs of callbacks.

So a week takes as long as what happens in it, nothing depends on the machine, and the same seed gives the same run.
The client is aiohttp's and the server is aiohttp's, bytes and all; only what lies below them is played.
"""

import asyncio
import selectors
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

WHO: ContextVar[str] = ContextVar("who", default="")
"""On whose behalf the current task runs: a network can be cut for one and not for another."""


class Standstill(RuntimeError):
    """Everybody waits for somebody else, for ever."""


class _Selector(selectors.DefaultSelector):
    """Never waits: the time that there was to wait for passes at once."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise Standstill("nothing will ever happen again")
            self.passed += max(0.0, timeout)
        return ready


class Network:
    """Who is cut off from everybody else at present."""

    def __init__(self) -> None:
        self._cut: set[str] = set()
        self._waiting: list[Callable[[], None]] = []

    def is_cut(self, who: str) -> bool:
        """Whether nothing that this one sends, or is sent, arrives."""
        return who in self._cut

    def cut(self, who: str) -> None:
        """What is sent from now on waits on the way, as TCP has it."""
        self._cut.add(who)

    def heal(self) -> None:
        """Everything arrives."""
        self._cut.clear()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each()

    def when_healed(self, then: Callable[[], None]) -> None:
        """Does it once nobody is cut off."""
        self._waiting.append(then)


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        self.network = Network()
        self._servers: dict[int, Callable[[], asyncio.BaseProtocol]] = {}
        self._ports = 20_000
        super().__init__(self._virtual)
        # A timer is due when its time has come, not almost: asyncio would otherwise call it a clock tick early.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._virtual.passed

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """Here and now: a thread would not know of our time."""
        future = self.create_future()
        future.set_result(func(*args))
        return future

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        """A server that only this loop can reach."""
        self._ports += 1
        number = port or self._ports
        self._servers[number] = protocol_factory
        return _Server(self, number)

    def forget(self, port: int) -> None:
        """Nobody listens there any more."""
        self._servers.pop(port, None)

    async def create_connection(self, protocol_factory: Any, *args: Any, sock: Any = None, **_: Any) -> Any:
        """Connects to a server of this loop."""
        accept = self._servers.get(sock.port)
        if accept is None:
            raise ConnectionRefusedError(111, "Connection refused")
        near, far = protocol_factory(), accept()
        who = WHO.get()
        here, there = Pipe(self, near, who), Pipe(self, far, who)
        here.peer, there.peer = there, here
        near.connection_made(here)
        far.connection_made(there)
        return here, near


async def start_connection(addr_infos: Any, *_: Any, **__: Any) -> "Socket":
    """In place of aiohappyeyeballs': a socket that is none. Waits while the network is cut."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    while loop.network.is_cut(WHO.get()):
        healed = asyncio.Event()
        loop.network.when_healed(healed.set)
        await healed.wait()
    return Socket(addr_infos[0][4][1])


class Socket:
    """An address."""

    def __init__(self, port: int) -> None:
        self.port = port

    def getsockname(self) -> tuple[str, int]:
        """As of a TCP socket."""
        return "127.0.0.1", self.port


class _Server:
    def __init__(self, loop: VirtualLoop, port: int) -> None:
        self._loop, self._port = loop, port
        self.sockets = [Socket(port)]

    def close(self) -> None:
        self._loop.forget(self._port)

    async def wait_closed(self) -> None:
        """At once."""


class Pipe(asyncio.Transport):
    """One end of a connection."""

    peer: "Pipe"

    def __init__(self, loop: VirtualLoop, protocol: Any, who: str) -> None:
        super().__init__()
        self._loop, self._protocol, self._who = loop, protocol, who
        self._closed = self._paused = False
        self._arrived: deque[bytes] = deque()
        self._ended = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 0) if name in ("peername", "sockname") else default

    def get_protocol(self) -> Any:
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def is_closing(self) -> bool:
        return self._closed

    def is_reading(self) -> bool:
        return not self._paused

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._loop.call_soon(self._hand_over)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: Any) -> None:
        if not self._closed and data:
            self._send(partial(self.peer.arrive, bytes(data)))

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self._end(None)

    def abort(self) -> None:
        self._end(ConnectionResetError(104, "Connection reset by peer"))

    def arrive(self, data: bytes) -> None:
        """Something comes from the other end."""
        self._arrived.append(data)
        self._hand_over()

    def other_end_is_gone(self, error: Exception | None) -> None:
        """The other end closed, or broke, the connection."""
        if self._closed:
            return
        if error is None and self._arrived:
            self._ended = True  # once all has been read
            return
        self._closed = True
        if error is None:
            self._protocol.eof_received()
        self._loop.call_soon(self._protocol.connection_lost, error)

    def _end(self, error: Exception | None) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.call_soon(self._protocol.connection_lost, None)
        self._send(lambda: self.peer.other_end_is_gone(error))

    def _send(self, then: Callable[[], None]) -> None:
        if self._loop.network.is_cut(self._who):
            self._loop.network.when_healed(partial(self._soon, then))
        else:
            self._loop.call_soon(then)

    def _soon(self, then: Callable[[], None]) -> None:
        self._loop.call_soon(then)

    def _hand_over(self) -> None:
        while self._arrived and not self._paused and not self._closed:
            self._protocol.data_received(self._arrived.popleft())
        if self._ended and not self._arrived:
            self._ended = False
            self.other_end_is_gone(None)

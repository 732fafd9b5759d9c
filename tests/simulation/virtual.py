"""An event loop without a clock and without sockets: time passes when nobody has anything to do, and connections are
pairs of callbacks.

So a week takes as long as what happens in it, nothing depends on the machine, and the same seed gives the same run.
The client is aiohttp's and the server is aiohttp's, bytes and all; only what lies below them is played.
"""

import asyncio
import heapq
import math
import selectors
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from functools import partial
from typing import Any

WHO: ContextVar[str] = ContextVar("who", default="")
"""On whose behalf the current task runs: a network can be cut for one and not for another."""
CALLER: ContextVar[str] = ContextVar("caller", default="")
"""Whose request the server is answering."""
_WIRE = Context()  # what is on its way is nobody's


PATIENCE = 100_000
"""Turns of the loop in which no time passes, after which somebody is at it without end."""


class Standstill(RuntimeError):
    """Everybody waits for somebody else, for ever, or somebody is busy for ever in no time."""


class _Selector(selectors.DefaultSelector):
    """Never waits: the time that there was to wait for passes at once."""

    passed = 0.0
    turns = 0
    """How often since the time last moved."""

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise Standstill("nothing will ever happen again")
            self.turns = 0 if timeout > 0 else self.turns + 1
            self.passed += max(0.0, timeout)
        if self.turns > PATIENCE:
            self.turns = 0
            raise Standstill("somebody is busy without end")
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
    """An event loop whose time passes at once, with connections that are not sockets."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        self.network = Network()
        self._servers: dict[tuple[str, int], Callable[[], asyncio.BaseProtocol]] = {}
        self._ports = 20_000
        self._frozen: dict[str, list[asyncio.Handle]] = {}
        super().__init__(self._virtual)

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._virtual.passed

    def pause(self, who: str) -> None:
        """From now on its process stands still, as on a machine that is suspended: not one of its callbacks runs."""
        # asyncio has no public way to reach what is to be called.
        ready, timers = self._ready, self._scheduled  # type: ignore[attr-defined]
        self._frozen[who] = [each for each in (*ready, *timers) if each._context.get(WHO) == who]
        frozen = set(map(id, self._frozen[who]))
        void = asyncio.Handle(lambda: None, (), self)
        void.cancel()
        # As many as before: the loop has counted them.
        kept = [void if id(each) in frozen else each for each in ready]
        ready.clear()
        ready.extend(kept)
        timers[:] = [each for each in timers if id(each) not in frozen]
        heapq.heapify(timers)

    def resume(self, who: str) -> None:
        """It goes on. Whatever should have happened meanwhile happens now, first what was begun."""
        for handle in self._frozen.pop(who, ()):
            if isinstance(handle, asyncio.TimerHandle):
                heapq.heappush(self._scheduled, handle)  # type: ignore[attr-defined]
            else:
                self._ready.append(handle)  # type: ignore[attr-defined]

    def is_paused(self, who: str) -> bool:
        """Whether this process is paused."""
        return who in self._frozen

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> asyncio.Handle:  # type: ignore[override]
        """Calls it in the next turn, or, while its process is paused, once that goes on."""
        if self._frozen:
            who = WHO.get() if context is None else context.get(WHO, "")
            if who in self._frozen:
                handle = asyncio.Handle(callback, args, self, context)
                self._frozen[who].append(handle)
                return handle
        return super().call_soon(callback, *args, context=context)

    @property
    def _clock_resolution(self) -> float:
        """How early asyncio calls a timer: only when its time has come, not almost, or whoever then finds that it has
        not would try again and again in no time."""
        return math.ulp(self.time())

    @_clock_resolution.setter
    def _clock_resolution(self, _: float) -> None:
        """What asyncio found out of the real clock is nothing to us."""

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """Here and now: a thread would not know of our time."""
        future = self.create_future()
        future.set_result(func(*args))
        return future

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        """A server that only this loop can reach."""
        self._ports += 1
        socket = Socket(host, port or self._ports)
        self._servers[socket.getsockname()] = protocol_factory
        return _Server(self, socket)

    def forget(self, socket: "Socket") -> None:
        """Nobody listens there any more."""
        self._servers.pop(socket.getsockname(), None)

    async def create_connection(self, protocol_factory: Any, *args: Any, sock: Any = None, **_: Any) -> Any:
        """Connects to a server of this loop."""
        accept = self._servers.get(sock.getsockname())
        if accept is None:
            raise ConnectionRefusedError(111, "Connection refused")
        near, far = protocol_factory(), accept()
        who = WHO.get()
        here, there = Pipe(self, near, who), Pipe(self, far, who)
        here.peer, there.peer = there, here
        near.connection_made(here)
        # The server works for the client, but it is another process.
        serving = copy_context()
        serving.run(WHO.set, "")
        serving.run(CALLER.set, who)
        serving.run(far.connection_made, there)
        return here, near


async def start_connection(addr_infos: Any, *_: Any, **__: Any) -> "Socket":
    """In place of aiohappyeyeballs': a socket that is none. Waits while the network is cut."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    while loop.network.is_cut(WHO.get()):
        healed = asyncio.Event()
        loop.network.when_healed(healed.set)
        await healed.wait()
    return Socket(*addr_infos[0][4][:2])


class Socket:
    """An address and a port of this loop's, in the place of a socket."""

    def __init__(self, host: str, port: int) -> None:
        self._name = host, port

    def getsockname(self) -> tuple[str, int]:
        """As of a TCP socket."""
        return self._name


class _Server:
    def __init__(self, loop: VirtualLoop, socket: Socket) -> None:
        self._loop = loop
        self.sockets = [socket]

    def close(self) -> None:
        self._loop.forget(self.sockets[0])

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
            self._soon(then)

    def _soon(self, then: Callable[[], None]) -> None:
        self._loop.call_soon(then, context=_WIRE)

    def _hand_over(self) -> None:
        while self._arrived and not self._paused and not self._closed:
            self._protocol.data_received(self._arrived.popleft())
        if self._ended and not self._arrived:
            self._ended = False
            self.other_end_is_gone(None)

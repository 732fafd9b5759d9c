"""The port for Prometheus and the kubelet: ``/metrics``, ``/healthz``, ``/readyz``.

Anybody who reaches the port may read it, so it tells counts and states, never the name of a session or a user. And
nobody can hold it: a connection is for one request of a few kilobytes and is cut after LIFETIME seconds, whatever it
waits for; where there are too many, the oldest goes. So whoever asks at once is answered, however many others hang
on, and LIFETIME seconds after the last of them nothing is left of a flood. Does not know who asks.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, cast

from aiohttp import web
from aiohttp.http import HttpProcessingError
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from ssh_session_gc.core.times import format_duration

Checks = Callable[[], Mapping[str, str]]
"""Names of checks, each with what is wrong, or "" where nothing is."""

LIFETIME = 10.0
"""Seconds from the beginning of a connection to its end. Prometheus waits no longer for a scrape by default."""
CONNECTIONS = 128
"""Open connections at a time. A process may have 256 descriptors at the least, and the daemon needs some itself."""
AT_ONCE = 16
"""Connections that are taken in one turn of the loop. Few, so that others get their turn, and so few of CONNECTIONS
that a new one is not the oldest before it could be answered."""
REQUEST = 16384
"""Bytes that a client may send. Node.js takes as many, and no proxy or browser sends more for a GET."""
FRESH = 1.0
"""Seconds for which an answer of ``/metrics`` is given again: it takes a quarter of one to count 100,000 sessions."""

UNHEARD_LIMIT = 600.0
"""Seconds without an answer after which ``/healthz`` says so. Longer than an API server may ask us to wait."""


def unheard(seconds: float) -> str:
    """What ``/healthz`` says of a stream on which the API server has not answered for so long; "" while that is in
    bounds."""
    if seconds <= UNHEARD_LIMIT:
        return ""
    return f"not a word from the API server for {format_duration(round(seconds))}"


class Server:
    """The HTTP server. Raises OSError from ``start`` where the address cannot be had."""

    def __init__(self, registry: CollectorRegistry, healthy: Checks, ready: Checks) -> None:
        # That anything answers at all is the first check: the loop turns.
        self._paths: Mapping[str, Callable[[], web.Response]] = {
            "/metrics": self._metrics,
            "/healthz": lambda: _report(healthy()),
            "/readyz": lambda: _report(ready()),
        }
        self._registry = registry
        self._counted, self._fresh_until = b"", 0.0
        self._loop = asyncio.get_running_loop()
        self._http = web.Server(self._answer)
        self._listening: asyncio.Server | None = None
        self._open: dict[asyncio.Transport, asyncio.TimerHandle] = {}
        """The connections, oldest first, each with what will end it."""
        self.address = ""
        """``host:port`` as bound, once started; ``:port`` where that is every address."""

    async def start(self, host: str, port: int) -> None:
        """Binds; an empty host means every address, port 0 any free port."""
        self._listening = await self._loop.create_server(
            lambda: _Connection(self, self._http, self._loop), host or None, port, backlog=AT_ONCE
        )
        bound = self._listening.sockets[0].getsockname()
        self.address = f"{host and bound[0]}:{bound[1]}"

    async def stop(self) -> None:
        """Closes the port and its connections, within a second."""
        if self._listening is not None:
            self._listening.close()
        self._http.pre_shutdown()
        await self._http.shutdown(0.5)
        for connection in tuple(self._open):
            self.cut(connection)

    def opened(self, connection: asyncio.Transport) -> None:
        """There is one more."""
        if len(self._open) == CONNECTIONS:
            self.cut(next(iter(self._open)))
        self._open[connection] = self._loop.call_later(LIFETIME, self.cut, connection)

    def closed(self, connection: asyncio.Transport) -> None:
        """There is one less."""
        if timer := self._open.pop(connection, None):
            timer.cancel()

    def cut(self, connection: asyncio.Transport) -> None:
        """Ends a connection, whether or not its client has read what it was sent."""
        self.closed(connection)
        connection.abort()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        made = self._paths.get(request.path)
        if made is None:
            answer = web.Response(status=404)
        elif request.method not in ("GET", "HEAD"):
            answer = web.Response(status=405, headers={"Allow": "GET, HEAD"})
        else:
            answer = made()
        answer.force_close()
        return answer

    def _metrics(self) -> web.Response:
        # In the one format that every scraper reads: what is counted once is then good for all.
        if self._loop.time() >= self._fresh_until:
            self._counted = generate_latest(self._registry)
            self._fresh_until = self._loop.time() + FRESH
        return web.Response(body=self._counted, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


class _Connection(web.RequestHandler):
    """What a client may do with one connection; ``Server`` knows of all of them."""

    __slots__ = ("_received", "_server", "_transport")

    def __init__(self, server: Server, http: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(http, loop=loop)
        self._server, self._received = server, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins."""
        self._transport = cast(asyncio.Transport, transport)
        self._server.opened(self._transport)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Reads on, up to the limit."""
        self._received += len(data)
        if self._received > REQUEST:
            self._server.cut(self._transport)
        else:
            super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Ends."""
        self._server.closed(self._transport)
        super().connection_lost(exc)

    def log_exception(self, *args: Any, **more: Any) -> None:
        """Has a mistake of ours logged. What strangers send that is no HTTP is none, and would fill the log."""
        if not isinstance(more.get("exc_info"), HttpProcessingError):
            super().log_exception(*args, **more)


def _report(checks: Mapping[str, str]) -> web.Response:
    lines = [f"[-]{name}: {wrong}" if wrong else f"[+]{name} ok" for name, wrong in checks.items()]
    wrong = any(checks.values())
    return web.Response(text="\n".join([*lines, "failed" if wrong else "ok", ""]), status=503 if wrong else 200)

"""The port for Prometheus and the kubelet: ``/metrics``, ``/healthz``, ``/readyz``.

Anybody who reaches the port may read it, so it tells counts and states, never the name of a session or a user. Nobody
can hold it: a connection is for one request of a few kilobytes and is cut after LIFETIME seconds, whatever it waits
for; where there are too many, the oldest goes. So a client that sends its request at once is answered, however many
others hang on, and LIFETIME seconds after the last of them nothing is left of a flood.
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
"""Returns what is wrong by the name of each check, "" where nothing is."""

LIFETIME = 10.0
"""Seconds from the beginning of a connection to its end. Prometheus waits no longer for a scrape by default."""
CONNECTIONS = 128
"""Open connections at a time. Some systems allow a process 256 descriptors, and the daemon needs a few itself."""
AT_ONCE = 16
"""Connections accepted in one turn of the loop. Few, so that everything else gets its turn, and far fewer than
CONNECTIONS, so that a new one is answered before it is the oldest."""
REQUEST = 16384
"""Bytes that a client may send. Node.js accepts as many, and no proxy or browser sends more for a GET."""
FRESH = 1.0
"""Seconds for which ``/metrics`` repeats an answer: counting 100,000 sessions takes a quarter of a second."""

UNHEARD_LIMIT = 600.0
"""Seconds without an answer after which ``/healthz`` fails. Longer than an API server may ask us to wait."""


def unheard(seconds: float) -> str:
    """The check of a stream on which the API server has said nothing for so long; "" up to UNHEARD_LIMIT."""
    if seconds <= UNHEARD_LIMIT:
        return ""
    return f"not a word from the API server for {format_duration(round(seconds))}"


class Server:
    """Answers the port, and keeps its connections few and short."""

    def __init__(self, registry: CollectorRegistry, healthy: Checks, ready: Checks) -> None:
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
        """The connections, oldest first, each with the timer that will cut it."""
        self.address = ""
        """``host:port`` as bound, once started; ``:port`` where that is every address."""

    async def start(self, host: str, port: int) -> None:
        """Binds: an empty host to every address, port 0 to any free port. Raises OSError."""
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
        """Takes in a new connection, and cuts the oldest where there are too many."""
        if len(self._open) == CONNECTIONS:
            self.cut(next(iter(self._open)))
        self._open[connection] = self._loop.call_later(LIFETIME, self.cut, connection)

    def closed(self, connection: asyncio.Transport) -> None:
        """Forgets a connection that has ended."""
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
        # Every scraper reads this format, so one answer is good for all of them.
        if self._loop.time() >= self._fresh_until:
            self._counted = generate_latest(self._registry)
            self._fresh_until = self._loop.time() + FRESH
        return web.Response(body=self._counted, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


class _Connection(web.RequestHandler):
    """One connection, counted by the Server and held to REQUEST bytes."""

    __slots__ = ("_received", "_server", "_transport")

    def __init__(self, server: Server, http: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(http, loop=loop)
        self._server, self._received = server, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Has the Server count it."""
        self._transport = cast(asyncio.Transport, transport)
        self._server.opened(self._transport)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Reads on, and is cut beyond REQUEST bytes."""
        self._received += len(data)
        if self._received > REQUEST:
            self._server.cut(self._transport)
        else:
            super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Has the Server forget it."""
        self._server.closed(self._transport)
        super().connection_lost(exc)

    def log_exception(self, *args: Any, **more: Any) -> None:
        """Logs a mistake of ours. Bytes of strangers that are no HTTP are none, and would fill the log."""
        if not isinstance(more.get("exc_info"), HttpProcessingError):
            super().log_exception(*args, **more)


def _report(checks: Mapping[str, str]) -> web.Response:
    lines = [f"[-]{name}: {wrong}" if wrong else f"[+]{name} ok" for name, wrong in checks.items()]
    wrong = any(checks.values())
    return web.Response(text="\n".join([*lines, "failed" if wrong else "ok", ""]), status=503 if wrong else 200)

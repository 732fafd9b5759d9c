"""The port for Prometheus and the kubelet: ``/metrics``, ``/healthz``, ``/readyz``.

Anybody who reaches the port may read it, so it tells counts and states, never the name of a session or a user.
"""

from collections.abc import Callable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from ssh_session_gc.core.times import format_duration

Checks = Callable[[], Mapping[str, str]]
"""Names of checks, each with what is wrong, or "" where nothing is."""

OUT_OF_SYNC_LIMIT = 300.0
"""Seconds for which a stream may be out of step before ``/healthz`` says so. A restart of the API server takes
one or two minutes; restarting us during one would help nobody."""


def out_of_sync(seconds: float) -> str:
    """What ``/healthz`` says of a stream that has been out of step for so long; "" while that is in bounds."""
    if seconds <= OUT_OF_SYNC_LIMIT:
        return ""
    return f"out of step with the API server for {format_duration(round(seconds))}"


class Server:
    """The HTTP server. Raises OSError from ``start`` where the address cannot be had."""

    def __init__(self, registry: CollectorRegistry, healthy: Checks, ready: Checks) -> None:
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        # That the handler runs at all is the first check: the loop turns.
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._readiness)
        self._registry, self._healthy, self._ready = registry, healthy, ready
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        self.address = ""
        """``host:port`` as bound, once started; ``:port`` where that is every address."""

    async def start(self, host: str, port: int) -> None:
        """Binds; an empty host means every address, port 0 any free port."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host or None, port).start()
        bound = self._runner.addresses[0]
        self.address = f"{host and bound[0]}:{bound[1]}"

    async def stop(self) -> None:
        """Closes the port and its connections, within half a second."""
        await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _health(self, _: web.Request) -> web.Response:
        return _report(self._healthy())

    async def _readiness(self, _: web.Request) -> web.Response:
        return _report(self._ready())


def _report(checks: Mapping[str, str]) -> web.Response:
    lines = [f"[-]{name}: {wrong}" if wrong else f"[+]{name} ok" for name, wrong in checks.items()]
    wrong = any(checks.values())
    return web.Response(text="\n".join([*lines, "failed" if wrong else "ok", ""]), status=503 if wrong else 200)

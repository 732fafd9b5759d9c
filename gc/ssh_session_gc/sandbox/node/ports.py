"""Ports of Pods: HTTP on loopback addresses, one for each Pod, all with the same port number.

Knows how a number is kept that is free on all of them, and how a port opens and closes. Does not know what is said.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from ssh_session_gc.sandbox.api.strikes import cut, hang

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PodPorts:
    """One port number on as many loopback addresses as there are Pods that serve something."""

    def __init__(self, port: int) -> None:
        """``port``: 0 takes a free one at the start."""
        self.port = port
        self._given = 1
        self._runners: dict[str, web.AppRunner] = {}
        self._reserved: asyncio.Server | None = None

    async def start(self) -> None:
        """Takes the number. Raises OSError where it is taken."""
        # Whoever asks for a free number at this address, which no Pod gets, is not given ours.
        self._reserved = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.1.0.1", self.port)
        self.port = self._reserved.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Closes every port."""
        for address in tuple(self._runners):
            await self.close(address)
        if self._reserved is not None:
            self._reserved.close()

    def address(self) -> str:
        """An address for the next Pod."""
        self._given += 1
        return f"127.1.{self._given // 250 % 250}.{self._given % 250 + 1}"

    async def open(self, address: str, answer: Answer) -> None:
        """Listens at an address. Raises OSError where somebody else does."""
        app = web.Application()
        app.router.add_get("/metrics", answer)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
        self._runners[address] = runner
        await runner.setup()
        await web.TCPSite(runner, address, self.port).start()

    async def close(self, address: str) -> None:
        """Listens there no longer, and drops the connections."""
        await self._runners.pop(address).cleanup()


async def drop(request: web.Request) -> web.StreamResponse:
    """Answers nothing: the connection breaks."""
    cut(request)
    return await hang()

"""Clients of the port, well-behaved and not."""

import asyncio
from contextlib import suppress

import aiohttp

from ssh_session_gc.sandbox import World
from tests.harness import Running
from tests.support import advance, eventually

ASK = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


class PortClient:
    """One connection. Reads into ``got`` until it is over."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.got = b""
        self.over = False
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def to(cls, address: str, sends: bytes = b"") -> "PortClient":
        """Connects, and sends this."""
        host, _, port = address.rpartition(":")
        client = cls(*await asyncio.open_connection(host, int(port)))
        client.send(sends)
        return client

    def send(self, data: bytes) -> None:
        """Sends more. Bytes that the other side does not take any more are lost."""
        self._writer.write(data)

    @property
    def unsent(self) -> int:
        """The number of bytes that the other side has not taken yet."""
        return self._writer.transport.get_write_buffer_size()

    async def answer(self) -> bytes:
        """Everything that is answered until the connection ends."""
        await eventually(lambda: self.over, "the end of a connection")
        return self.got

    async def close(self) -> None:
        """Ends the connection at once."""
        self._reading.cancel()
        self._writer.transport.abort()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _read(self) -> None:
        with suppress(ConnectionError):
            while data := await self._reader.read(65536):
                self.got += data
        self.over = True


class Crowd:
    """The clients of one test. Use as an async context manager."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.clients: list[PortClient] = []

    async def __aenter__(self) -> "Crowd":
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self.clients:
            await client.close()

    async def come(self, many: int = 1, sends: bytes = b"") -> list[PortClient]:
        """Lets so many more connect, one after the other; each sends this."""
        new = [await PortClient.to(self.address, sends) for _ in range(many)]
        self.clients += new
        return new

    async def ask(self, request: bytes = ASK) -> bytes:
        """The answer to a new client that sends its request at once. Earlier clients are connected by then."""
        [client] = await self.come(sends=request)
        return await client.answer()


async def get(gc: Running, path: str) -> tuple[int, str]:
    """The status and the text of an answer."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://{gc.daemon.server.address}{path}") as answer,
    ):
        return answer.status, await answer.text()


async def deployed(world: World) -> None:
    """Deploys ContainerSSH, and returns when it is ready."""
    world.deploy()
    waiting = asyncio.create_task(world.ready())
    while not waiting.done():
        await advance(0.2)

"""A proxy that counts the bytes over TCP to a server and back, with TLS or without."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Proxy:
    """Passes connections on to one server, and counts their bytes."""

    def __init__(self, url: str) -> None:
        self._host, _, self._port = urlsplit(url).netloc.partition(":")
        self._scheme = urlsplit(url).scheme
        self.url, self.size = "", 0
        """The proxy's own address, and the bytes in both directions."""

    async def run(self, started: threading.Event, stop: asyncio.Event) -> None:
        """Passes everything on until stopped."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"{self._scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        started.set()
        await stop.wait()
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._host, int(self._port))
        await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(2**16):
                self.size += len(data)
                writer.write(data)
                await writer.drain()
        writer.close()


@contextmanager
def counted(url: str) -> Iterator[Proxy]:
    """Runs a proxy for this server, in a thread of its own."""
    proxy, started = Proxy(url), threading.Event()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    def work() -> None:
        loop.run_until_complete(proxy.run(started, stop))
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    started.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)

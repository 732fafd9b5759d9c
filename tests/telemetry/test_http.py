"""The port among clients that mean harm: slow, greedy, many, or without HTTP. A mere request is always answered."""

import asyncio
import itertools
import resource
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from ssh_session_gc.sandbox import World
from ssh_session_gc.sandbox.node.programs import Process
from ssh_session_gc.telemetry import http
from ssh_session_gc.telemetry.http import CONNECTIONS, LIFETIME, REQUEST, Server
from tests.harness import running
from tests.support import advance, eventually
from tests.telemetry.clients import ASK, SCRAPE, Crowd, deployed


def healthy() -> Mapping[str, str]:
    return {"loop": ""}


@asynccontextmanager
async def crowd(
    registry: CollectorRegistry | None = None, checks: Callable[[], Mapping[str, str]] = healthy
) -> AsyncIterator[Crowd]:
    """A server, and clients for it."""
    server = Server(registry or CollectorRegistry(), checks, checks)
    await server.start("127.0.0.1", 0)
    try:
        async with Crowd(server.address) as made:
            yield made
    finally:
        await server.stop()


HEAD = b"GET /metrics HTTP/1.1\r\nHost: " + 50 * b"x"


@pytest.mark.parametrize("begun", [0, 5, 24, 40])
async def test_who_asks_slowly_is_cut(begun: int) -> None:
    async with crowd() as c:
        [silent, dripping] = await c.come(2, HEAD[:begun])
        assert b"200 OK" in await c.ask()
        sent = begun
        while not dripping.over:
            assert sent < begun + 3 * LIFETIME, "it goes on and on"
            dripping.send(HEAD[sent : sent + 1])
            sent += 1
            await advance(1)
        assert (await silent.answer(), await dripping.answer()) == (b"", b"")
        assert b"200 OK" in await c.ask()


async def test_who_does_not_read_is_cut() -> None:
    registry = CollectorRegistry()
    size = 32 * 2**20  # more than any kernel buffers
    Gauge("big", "x" * size, registry=registry)
    async with crowd(registry) as c:
        host, _, port = c.address.rpartition(":")
        loop = asyncio.get_running_loop()
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)
            await loop.sock_connect(deaf, (host, int(port)))
            await loop.sock_sendall(deaf, SCRAPE)
            assert b"200 OK" in await c.ask()
            await advance(LIFETIME + 1)
            read = 0
            with suppress(ConnectionError):
                while data := await loop.sock_recv(deaf, 2**20):
                    read += len(data)
            assert read < size


async def test_of_too_many_the_oldest_go_and_who_asks_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LIFETIME", 1e6)
    async with crowd() as c:
        idle = await c.come(CONNECTIONS + 50, b"GET / HTTP/1.1\r\n")
        for _ in range(5):
            assert b"200 OK" in await c.ask()
        # A client that was answered is gone, so only the first of the five took the place of an idle one.
        await eventually(lambda: sum(client.over for client in idle) == 51)
        assert all(client.over for client in idle[:51])


async def test_a_head_that_is_too_long() -> None:
    async with crowd() as c:
        # The parser takes each line, and so many of them; together they are too much.
        lines = [b"X-%d: %s\r\n" % (n, 1000 * b"x") for n in range(100)]
        [client] = await c.come(sends=ASK[:-2])
        for line in lines:
            client.send(line)
            await asyncio.sleep(0.001)
        client.send(b"\r\n")
        assert await client.answer() == b""
        some = b"".join(lines)[: REQUEST - 2000].rpartition(b"\r\n")[0]
        assert b"200 OK" in await c.ask(ASK[:-2] + some + b"\r\n\r\n")


@pytest.mark.parametrize("length", [b"Content-Length: 9999999999", b"Transfer-Encoding: chunked"])
async def test_a_body_without_end(length: bytes) -> None:
    async with crowd() as c:
        [client] = await c.come(sends=ASK[:-2] + length + b"\r\n\r\n")
        sent, chunk = 0, b"10000\r\n" + 0x10000 * b"x" + b"\r\n"
        while not client.over:
            assert sent < 2**28, "it takes it all"
            if client.unsent < 2**20:
                client.send(chunk)
                sent += len(chunk)
            await asyncio.sleep(0.001)
        assert b"200 OK" in await c.ask()


async def test_one_answer_a_connection() -> None:
    async with crowd() as c:
        answer = await c.ask(100 * ASK)
        assert answer.count(b"HTTP/1.1 200 OK") == 1
        assert b"Connection: close" in answer


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
        b"\x00" * 100 + b"\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n" + b"x: y\r\n" * 500 + b"\r\n",
        b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n",
        b"GET http://[::bad/ HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + b"x" * 1000,
        b"GET /metrics HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text;version=a.b\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nAccept-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
        b"GET /%ff%00/../metrics?" + b"a=b&" * 1000 + b" HTTP/1.1\r\n\r\n",
        b"DELETE /metrics HTTP/1.1\r\n\r\n",
        b"GET /secrets HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_strangers_send_is_refused_or_answered_and_not_worth_a_line(
    request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with crowd() as c:
        [client] = await c.come(sends=request_)
        assert b"200 OK" in await c.ask()
        await advance(LIFETIME + 1)
        assert b"500" not in (await client.answer()).partition(b"\r\n")[0]
    assert caplog.records == []


async def test_a_mistake_of_ours_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def wrong() -> Mapping[str, str]:
        raise RuntimeError("ours")

    async with crowd(checks=wrong) as c:
        assert b"500 Internal Server Error" in await c.ask()
    [record] = caplog.records
    assert "RuntimeError: ours" in (record.exc_text or "")


async def test_who_scrapes_without_end_is_given_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FRESH", 1000.0)
    registry, counted = CollectorRegistry(), itertools.count()
    Gauge("counted", "", registry=registry).set_function(lambda: next(counted))
    async with crowd(registry) as c:
        first = await c.ask(SCRAPE)
        for _ in range(20):
            assert (await c.ask(SCRAPE)).partition(b"\r\n\r\n")[2] == first.partition(b"\r\n\r\n")[2]
        await advance(1000)
        assert (await c.ask(SCRAPE)).partition(b"\r\n\r\n")[2] != first.partition(b"\r\n\r\n")[2]


async def test_head_and_get_are_what_there_is() -> None:
    async with crowd() as c:
        head = await c.ask(ASK.replace(b"GET", b"HEAD"))
        assert b"200 OK" in head
        assert head.endswith(b"\r\n\r\n")
        assert b"text/plain; version=0.0.4" in await c.ask(SCRAPE)
        assert b"404 Not Found" in await c.ask(ASK.replace(b"healthz", b"secret"))


async def test_the_daemon_goes_on_among_them(tmp_path: Path) -> None:
    async with World() as world:
        await deployed(world)
        async with running(world.url, tmp_path) as gc:
            await gc.synced()
            world.open("alice")
            await advance(5)
            world.crash()
            async with Crowd(gc.daemon.server.address) as c:
                for _ in range(10):
                    await c.come(40, b"GET /metr")
                    await c.come(40, SCRAPE + ASK)
                    await c.come(40, b"\x00\r\n\r\n")
                    await advance(7)
                    assert b"ssh_session_gc_synced" in await c.ask(SCRAPE)
                await eventually(lambda: gc.collected() == {"alice": "Ownerless"})
                world.open("bob")
                await advance(5)
                await eventually(lambda: gc.session("bob") is not None)
                await advance(LIFETIME + 1)
                await eventually(lambda: all(client.over for client in c.clients))


async def shells(world: World, uid: str) -> list[Process]:
    """The processes of this Pod, as soon as there are any."""

    def found() -> list[Process]:
        return [each for (pod, _), each in world.kubelets["node1"].processes.items() if pod == uid]

    await eventually(found, "its start")
    return found()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process")
async def test_a_process_with_few_descriptors_goes_on_among_them(tmp_path: Path) -> None:
    """In real time: with 256 descriptors and many more clients that hang on, a session is still deleted."""
    async with World() as world:
        options = ("--log-format", "json", "--finished-grace", "1s", "--owner", "none", "--listen", "127.0.0.1:0")
        with (tmp_path / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(Path(sys.executable).parent / "ssh-session-gc", "run", *options),
                *("--kubeconfig", world.kubeconfig(tmp_path / "kubeconfig")),
                stderr=log,
            )

        def listening() -> str:
            return (tmp_path / "log").read_text().partition('"listen":"')[2].partition('"')[0]

        try:
            world.deploy()
            await world.ready()
            session = world.open("alice")
            await eventually(listening, "it listens")
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (256, 256))
            async with Crowd(listening()) as c:
                idle = await c.come(400, b"GET /metr")
                assert b"ssh_session_gc_synced" in await c.ask(SCRAPE)
                # Only a watch that goes on tells that its Pod ends, and its deletion takes another descriptor.
                [shell] = await shells(world, session.uid)
                world.kubelets["node1"].end(shell, 0)
                await eventually(lambda: session.deleted is not None, "its deletion")
                assert sum(not client.over for client in idle) <= CONNECTIONS
        finally:
            process.terminate()
            await process.wait()

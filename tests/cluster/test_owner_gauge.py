"""Asking owners what they count: whatever answers there, a count or nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress

import pytest

from ssh_session_gc.cluster.owner_gauge import PATIENCE, Uncounted, ask, client
from ssh_session_gc.containerssh.gauge import LONGEST_ANSWER
from ssh_session_gc.core.gauge import Count
from ssh_session_gc.core.model import Incarnation, OwnerState
from tests.builders import T
from tests.containerssh.test_gauge import OPEN_METRICS, page
from tests.kube.test_hostile import fit_to_show
from tests.support import advance

PAGE = page('{country="XX"} 1', '{country="XX"} 4').encode() + b"# EOF\n"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


def owner(address: str = "127.0.0.1") -> Incarnation:
    """An owner that runs at this address."""
    return Incarnation("ssh-a", "a", "containerssh", OwnerState.RUNNING, T, T, address=address)


def ok(body: bytes, *head: bytes) -> bytes:
    """An answer as it goes over the line, with its length."""
    kind = b"Content-Type: " + OPEN_METRICS.encode()
    return b"\r\n".join((b"HTTP/1.1 200 OK", kind, *head, b"Content-Length: %d" % len(body), b"", body))


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """A port on which something listens."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def answering(answer: bytes, asked: list[bytes] | None = None) -> Serve:
    """Gives this answer, and notes what was asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            question = await reader.readuntil(b"\r\n\r\n")
            if asked is not None:
                asked.append(question)
            writer.write(answer)
        writer.close()

    return serve


async def counted(answer: bytes) -> Count | Uncounted:
    """What comes of this answer."""
    async with listening(answering(answer)) as port, client() as http:
        try:
            return await ask(http, owner(), port)
        except Uncounted as error:
            fit_to_show(str(error))
            return error


async def test_a_count_and_a_question_that_tells_nothing_of_us() -> None:
    asked: list[bytes] = []
    async with listening(answering(ok(PAGE, b"Set-Cookie: a=b"), asked)) as port, client() as http:
        assert await ask(http, owner(), port) == Count(1, 4)
        assert await ask(http, owner(), port) == Count(1, 4)
    assert all(question.startswith(b"GET /metrics HTTP/1.1\r\n") for question in asked)
    assert not any(word in b"".join(asked).lower() for word in (b"authorization", b"cookie"))


async def test_chunks() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(PAGE), PAGE)
    assert await counted(chunked) == Count(1, 4)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"", "broken"),
        (b"\x00\x01\x02\r\n\r\n", "broken"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "broken"),
        (b"HTTP/1.1 abc OK\r\n\r\n", "broken"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "broken"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + PAGE, "broken"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello!", "broken"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(PAGE), PAGE), "broken"),
        (b"HTTP/1.1 200 OK\r\nX: " + 100_000 * b"a" + b"\r\n\r\n", "broken"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "refused"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/metrics\r\nContent-Length: 0\r\n\r\n", "refused"),
        (b"HTTP/1.1 401 \x1b[2J\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", "refused"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "refused"),
        (b"HTTP/1.1 500 x\r\n\r\n" + PAGE, "refused"),
        # Its end is nothing but the connection's: half an answer would look the same.
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + PAGE, "malformed"),
        (ok(PAGE, b"Age: 12"), "refused"),
        (ok(b""), "malformed"),
        (ok(b"<html>Please log in</html>\n"), "malformed"),
        (ok(PAGE, b"Content-Encoding: gzip")[:-20], "broken"),
        (ok(PAGE + LONGEST_ANSWER * b"#" + b"\n# EOF\n"), "malformed"),
    ],
)
async def test_what_is_no_count(answer: bytes, cause: str) -> None:
    error = await counted(answer)
    assert isinstance(error, Uncounted)
    assert error.cause == cause


async def test_nothing_listens_or_there_is_no_address() -> None:
    async with listening(answering(b"")) as port:
        pass
    async with client() as http:
        with pytest.raises(Uncounted, match=rf"the metrics of ssh-a on port {port} cannot be read: "):
            await ask(http, owner(), port)
        with pytest.raises(Uncounted, match="ssh-a has no address"):
            await ask(http, owner(""), port)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n# TYPE"])
async def test_an_answer_that_never_ends(begun: bytes) -> None:
    over = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        await over.wait()
        writer.close()

    async with listening(serve) as port, client() as http:
        asking = asyncio.create_task(ask(http, owner(), port))
        await advance(PATIENCE + 1)
        with pytest.raises(Uncounted, match="did not come in time"):
            await asking
        over.set()


async def test_no_answer_makes_us_read_without_end() -> None:
    sent = 0

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b"10000\r\n" + 65536 * b"#" + b"\r\n")
                await writer.drain()
                sent += 65536

    async with listening(serve) as port, client() as http:
        with pytest.raises(Uncounted, match="are not ContainerSSH's"):
            await ask(http, owner(), port)
    assert sent < 20 * LONGEST_ANSWER  # and what the sockets hold


async def test_an_address_of_the_newer_kind() -> None:
    server = await asyncio.start_server(answering(ok(PAGE)), "::1", 0)
    async with server, client() as http:
        assert await ask(http, owner("::1"), server.sockets[0].getsockname()[1]) == Count(1, 4)

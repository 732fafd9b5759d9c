"""Whatever listens where the API server should: its answers are read or refused, never a crash."""

import asyncio
import gzip
from contextlib import suppress

import pytest

from ssh_session_gc.kube import pods
from ssh_session_gc.kube.errors import ApiError, Malformed, Unreachable
from ssh_session_gc.kube.resources import PODS
from tests.harness import connected
from tests.kube.test_hostile import fit_to_show


def ok(body: bytes, *head: bytes) -> bytes:
    """An answer as it may come over the line."""
    return b"\r\n".join((b"HTTP/1.1 200 OK", *head, b"Content-Length: %d" % len(body), b"", body))


PACKED = gzip.compress(1000 * b'{"a": 1}', mtime=0)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\x01\x02\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/1.1 999 \xff\xfe\x1b[2J\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello!",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello!",
        b"HTTP/1.1 200 OK\r\nX: " + 100_000 * b"a" + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + 20_000 * b"X: a\r\n" + b"\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[::bad\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 x\r\nRetry-After: " + 400 * b"9" + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 x\r\nRetry-After: -1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 x\r\nContent-Length: 60000\r\n\r\n" + 60_000 * b"[",
        ok(PACKED, b"Content-Encoding: gzip"),
        ok(PACKED[:-20], b"Content-Encoding: gzip"),
        ok(PACKED[:15], b"Content-Encoding: gzip"),
        ok(b'{"a": 1}', b"Content-Encoding: gzip"),
        ok(b'{"a": 1}', b"Content-Encoding: deflate"),
        ok(b'{"a": 1}', b"Content-Encoding: br"),
        ok(b'{"a": 1}', b"Content-Encoding: zstd"),
        ok(b'{"a": 1}', b"Content-Encoding: gzip, gzip"),
        ok(b"{}", b"Set-Cookie: \xff\x00=;;;="),
        ok(b"{}", b"Date: Mon, 32 Nov 2026 25:61:61 XYZ"),
        ok(b"{}", b"Date: Mon, 01 Jan 99999999999 00:00:00 GMT"),
    ],
)
async def test_any_answer_of_whatever_listens_there(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, connected(url) as api:
        try:
            with suppress(Malformed):
                pods.sessions("").page(await api.request("list", PODS, "ssh-sessions"))
        except (ApiError, Unreachable) as error:
            fit_to_show(str(error))
        try:
            async with api.watch(PODS, "ssh-sessions", {}, 30.0) as told:
                async for line in told:
                    with suppress(Malformed):
                        pods.sessions("").event(line)
        except (ApiError, Unreachable) as error:
            fit_to_show(str(error))

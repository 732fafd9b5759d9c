"""A stream of bytes, cut into lines."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from ssh_session_gc.kube.lines import lines as cut


async def test_the_lines_of_a_stream_however_they_arrive() -> None:
    class Chunks(aiohttp.StreamReader):
        def __init__(self, *chunks: bytes) -> None:
            self._chunks = chunks

        async def iter_any(self) -> AsyncIterator[bytes]:  # type: ignore[override]
            for chunk in self._chunks:
                yield chunk

    async def lines(*chunks: bytes) -> list[bytes]:
        return [line async for line in cut(Chunks(*chunks))]

    assert await lines(b"a\nb\n") == [b"a", b"b"]
    assert await lines(b"a", b"b", b"\nc", b"\n") == [b"ab", b"c"]
    assert await lines(b"\n\n") == [b"", b""]
    assert await lines() == []
    with pytest.raises(aiohttp.ClientPayloadError, match="broke off"):
        await lines(b"a\nb")
    with pytest.raises(aiohttp.ClientPayloadError, match="longer than"):
        await lines(*[b"x" * 2**20] * 40)

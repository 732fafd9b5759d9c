"""A stream of bytes, cut into lines of any length.

Knows where a line ends, and that half a line is none. Does not know what the lines say (``decoder``).
"""

from collections.abc import AsyncIterator

import aiohttp

LONGEST_LINE = 32 * 2**20
"""Bytes of one watch event at the most. etcd holds objects of 1.5 MiB; JSON makes them larger, not this large."""


async def lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a stream; aiohttp's own reader refuses long ones. Raises aiohttp.ClientPayloadError where one is
    longer than LONGEST_LINE, and where the stream breaks off inside one."""
    parts: list[bytes] = []
    size = 0
    async for chunk in content.iter_any():
        head, *rest = chunk.split(b"\n")
        parts.append(head)
        size += len(head)
        if rest:
            yield b"".join(parts)
            for whole in rest[:-1]:
                yield whole
            parts, size = [rest[-1]], len(rest[-1])
        if size > LONGEST_LINE:
            raise aiohttp.ClientPayloadError(f"a watch event is longer than {LONGEST_LINE} bytes")
    if size:
        raise aiohttp.ClientPayloadError("the stream broke off inside an event")

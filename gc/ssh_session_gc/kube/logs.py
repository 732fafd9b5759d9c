"""The log of one container, followed: its lines, as ``pods/log`` gives them.

Knows how such a stream ends and how it is taken up again without a loss. Does not know what the lines say.

The facts are from the recordings (``log-responses.json``): ``sinceTime`` counts in whole seconds, so the lines of
that second come again; a container that is not up yet is a 400, a Pod on no node a 204; a kubelet that is away sends
not even headers, and one that dies leaves the stream open in silence.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.resources import POD_LOGS

SILENCE = 120.0
"""Seconds without a byte after which a log is asked for again. A quiet one and a dead one look the same."""
ACCEPTED = 10.0
"""Seconds without an answer after which a request counts as accepted. A kubelet sends its first byte with the first
line, and an empty log has none; refusals come at once."""


@asynccontextmanager
async def read(
    api: Api,
    namespace: str,
    pod: str,
    container: str,
    *,
    since: str = "",
    previous: bool = False,
    following: bool = False,
    tail: int | None = None,
    silence: float = SILENCE,
    longest: int,
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The lines of a container's log, with timestamps, from the beginning or from ``since`` (RFC 3339) on; while
    ``following`` until the container ends; of the run before this one with ``previous``; with ``tail`` only so many,
    the last ones. A line longer than ``longest`` bytes is cut.

    Raises ApiError and Unreachable.
    """
    query = {"container": container, "timestamps": "true"}
    if following:
        query["follow"] = "true"
    if previous:
        query["previous"] = "true"
    if since:
        query["sinceTime"] = since
    if tail is not None:
        query["tailLines"] = str(tail)
    async with api.stream(POD_LOGS, namespace, query, silence, name=pod) as content:
        yield _lines(content, longest)


async def _lines(content: aiohttp.StreamReader, longest: int) -> AsyncIterator[bytes]:
    """The lines, each cut. What follows the last line end may be half a line, and is none."""
    rest, skipping = b"", False
    async for chunk in content.iter_any():
        *whole, tail = chunk.split(b"\n")
        for line in whole:
            if not skipping:
                yield (rest + line)[:longest]
            rest, skipping = b"", False
        if not skipping:
            rest += tail
            if len(rest) > longest:
                yield rest[:longest]
                rest, skipping = b"", True

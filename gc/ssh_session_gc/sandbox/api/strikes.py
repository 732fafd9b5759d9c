"""Strikes: what a fault does to a request before it is answered, and to its answer.

What a fault does to a running watch or log, ``stream`` knows, and which request it is for, ``faults``.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import NoReturn

from aiohttp import web

from ssh_session_gc.sandbox.api.faults import Fault
from ssh_session_gc.sandbox.api.refusals import Refusal

_REASONS = {
    403: ("Forbidden", "forbidden"),
    410: ("Expired", "The resourceVersion for the provided list is too old."),
    429: ("TooManyRequests", "Too many requests, please try again later."),
    500: ("InternalError", "Internal error occurred"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
}


async def strike(fault: Fault, request: web.Request, verb: str, unanswered: Callable[[], None]) -> None:
    """Lets a fault happen to a request. Raises Refusal where the fault is the answer.

    Where there will be no answer, it calls ``unanswered`` and never returns.
    """
    if fault.kind == "slow":
        await asyncio.sleep(fault.seconds)
    elif fault.kind == "status" or (fault.kind == "gone" and verb != "watch"):
        code = 410 if fault.kind == "gone" else fault.code
        reason, message = _REASONS.get(code, ("Unknown", "a fault"))
        raise Refusal(code, reason, message, retry_after=fault.retry_after)
    elif fault.kind == "reset" or (fault.kind == "stall" and verb != "watch"):
        unanswered()
        if fault.kind == "reset":
            # A socket that is closed with no time to linger sends RST.
            sock: socket.socket | None = request.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            cut(request)
        await hang()


async def spoil(fault: Fault, request: web.Request, whole: web.StreamResponse) -> web.StreamResponse:
    """Lets a fault happen to an answer; returns the answer that it becomes."""
    body = whole.body if isinstance(whole, web.Response) else None
    if not isinstance(body, bytes) or fault.kind not in ("cut", "truncate", "malformed"):
        return whole
    if fault.kind == "malformed":
        return web.Response(status=whole.status, body=b'{"kind":' + body, content_type="application/json")
    response = web.StreamResponse(status=whole.status, headers=whole.headers)
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: fault.after_bytes if fault.kind == "cut" else len(body) // 2])
    cut(request)
    return await hang()


def cut(request: web.Request) -> None:
    """Drops a request's connection at once."""
    if request.transport is not None:
        request.transport.abort()


async def hang() -> NoReturn:
    """Waits to be cancelled, which happens when the connection is gone."""
    while True:
        await asyncio.Event().wait()

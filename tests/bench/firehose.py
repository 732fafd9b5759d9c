"""A server whose watch of session Pods never ends and never pauses, in a process of its own. Other streams are quiet.

It repeats the recorded events of sessions that are opened, run and are left, out of bytes that were made before, so
the client is the bottleneck. It also serves what else the daemon asks for at its start.
"""

import asyncio
import itertools
import multiprocessing
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from ssh_session_gc.sandbox.kubeconfig import write_kubeconfig
from tests.bench import pods

CHUNK = 2**18
"""Bytes that are written at once."""
PATH = f"/api/v1/namespaces/{pods.SESSIONS}/pods"


def stream(sessions: int) -> list[tuple[int, bytes]]:
    """The lines of the watch in large pieces, each with the number of its lines. All sessions go through one step
    before any goes through the next, so that all are there at the same time."""
    created, made, count, lines = time.time(), list[tuple[int, bytes]](), 0, bytearray()
    own = [_texts(number, created) for number in range(sessions)]
    for kind, pod in pods.life(0, created):
        first = msgspec.json.encode({"type": kind, "object": pod}) + b"\n"
        for texts in own:
            line = first
            for before, now in zip(own[0], texts, strict=True):
                line = line.replace(before, now)
            lines += line
            count += 1
            if len(lines) > CHUNK:
                made.append((count, bytes(lines)))
                count, lines = 0, bytearray()
    return [*made, (count, bytes(lines))]


def _texts(number: int, created: float) -> list[bytes]:
    """The values, in JSON, that tell one session from another."""
    metadata = pods.session(number, created)["metadata"]
    labels = metadata["labels"]
    texts = (metadata["name"], metadata["uid"], labels["containerssh_connection_id"], labels["containerssh_username"])
    return [msgspec.json.encode(text) for text in texts]


class Firehose:
    """The server, which counts the lines that it writes."""

    def __init__(self, sessions: int) -> None:
        self._stream, self.sent = stream(sessions), 0

    async def start(self) -> str:
        """Starts to serve. Returns the address."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query or request.path.endswith("/log"):
            return await self._follow(request)
        items: list[pods.Object] = []
        if request.path.endswith("/deployments"):
            items = [pods.deployment()]
        elif request.path.endswith(f"/{pods.OWNERS}/pods"):
            items = [pods.owner(0, time.time() - 2 * pods.AGE)]
        return web.json_response({"kind": "List", "metadata": {"resourceVersion": "1"}, "items": items})

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        if request.path != PATH:
            await asyncio.Event().wait()
        with suppress(ConnectionError):  # the client was killed after its measurement
            for count, lines in itertools.cycle(self._stream):
                await response.write(lines)
                self.sent += count
        return response


def serve(pipe: Connection, sessions: int) -> None:
    """Runs the process, which answers each question with the number of lines written so far."""
    asyncio.run(_serve(pipe, sessions))


async def _serve(pipe: Connection, sessions: int) -> None:
    firehose = Firehose(sessions)
    pipe.send(await firehose.start())
    asyncio.get_running_loop().add_reader(pipe.fileno(), lambda: pipe.send((pipe.recv(), firehose.sent)[1]))
    await asyncio.Event().wait()


class Handle:
    """Runs a ``Firehose`` in a process. Use as a context manager."""

    def __init__(self, folder: Path, sessions: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, sessions), daemon=True)
        self._process.start()
        theirs.close()
        self.kubeconfig = write_kubeconfig(folder / f"kubeconfig-{self._process.pid}", self._pipe.recv())

    def __enter__(self) -> "Handle":
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.kill()
        self._process.join(10)

    def sent(self) -> int:
        """The number of lines written so far, to all clients together."""
        self._pipe.send("sent")
        count: int = self._pipe.recv()
        return count

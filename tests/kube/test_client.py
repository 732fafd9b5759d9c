"""Requests: what is observed of them, and how failures read."""

import asyncio
import re
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from ssh_session_gc.kube import client
from ssh_session_gc.kube.errors import ApiError, Unreachable
from ssh_session_gc.kube.resources import PODS
from ssh_session_gc.sandbox import Fault, World
from ssh_session_gc.sandbox.kubeconfig import write_kubeconfig
from tests.certificates import server_tls
from tests.harness import Requests, connected
from tests.support import advance, eventually


class Cable:
    """What lies between client and server. It can go dead, so that nothing gets through any more."""

    def __init__(self, port: int) -> None:
        self._port, self.dead, self.closed = port, False, asyncio.Event()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the client."""
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        answers = asyncio.create_task(self._pass_on(there, writer))
        await self._pass_on(reader, back)
        self.closed.set()
        answers.cancel()
        for each in (writer, back):
            each.close()

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                if not self.dead:
                    sink.write(data)


async def test_a_watch_that_is_left_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncio.constants.SSL_SHUTDOWN_TIMEOUT", 1e6)
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    async with World(tls=server_tls(ca)) as world:
        cable = Cable(int(world.server.url.rpartition(":")[2]))
        async with await asyncio.start_server(cable.carry, "127.0.0.1", 0) as listening:
            url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
            async with connected(url, authority=tmp_path / "ca.crt") as api:
                async with api.watch(PODS, "ssh-sessions", {"watch": "1"}, 10.0):
                    cable.dead = True
                await eventually(cable.closed.is_set, "the connection is closed")


async def test_every_request_is_observed_with_its_outcome() -> None:
    observed = Requests()
    async with World() as world, connected(world.url, observer=observed) as api:
        await api.version()
        await api.request("list", PODS, "default")
        with pytest.raises(ApiError):
            await api.request("get", PODS, "default", "nope")
        world.faults.add(Fault("reset", times=2))
        with pytest.raises(Unreachable):
            await api.request("list", PODS, "default")
        async with api.watch(PODS, "default", {"watch": "1"}, 10.0):
            pass
    assert observed.seen == [
        ("get", "version", "200"),
        ("list", "pods", "200"),
        ("get", "pods", "404"),
        ("list", "pods", "error"),
        ("watch", "pods", "200"),
    ]


@pytest.mark.parametrize(
    "fault", [Fault("reset"), Fault("truncate"), Fault("cut", after_bytes=5), Fault("stall")], ids=lambda f: f.kind
)
async def test_half_an_answer_is_none(fault: Fault) -> None:
    async with World() as world, connected(world.url) as api:
        world.faults.add(fault)
        asking = asyncio.create_task(api.request("list", PODS, "default"))
        await advance(client.REQUEST_TIMEOUT + 1)
        with pytest.raises(Unreachable, match=re.escape(world.url)) as failed:
            await asking
        assert "\n" not in str(failed.value)


async def test_an_answer_from_elsewhere_is_no_answer(tmp_path: Path) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPFound("/login")

    async def login(_: web.Request) -> web.Response:
        return web.Response(text="<html>Who are you?</html>")

    app = web.Application()
    app.router.add_route("*", "/login", login)
    app.router.add_route("*", "/{path:.*}", elsewhere)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", f"http://127.0.0.1:{runner.addresses[0][1]}")
        async with connected(kubeconfig) as api:
            with pytest.raises(Unreachable, match="redirects to another address"):
                await api.request("delete", PODS, "ssh-sessions", "a", body={})
    finally:
        await runner.cleanup()

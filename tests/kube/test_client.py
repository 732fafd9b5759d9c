"""Requests: credentials from a Pod, how failures read, and the server's clock."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp import web
from kubernetes_asyncio.config import incluster_config

from ssh_session_gc.kube import client, config
from ssh_session_gc.kube.client import Api, connect
from ssh_session_gc.kube.config import loader
from ssh_session_gc.kube.errors import ApiError, ConfigError, Unreachable
from ssh_session_gc.kube.lines import lines as cut
from ssh_session_gc.kube.resources import DEPLOYMENTS, NAMESPACES, PODS
from ssh_session_gc.sandbox import Fault, Identity, World
from ssh_session_gc.sandbox.kubeconfig import write_kubeconfig
from tests.certificates import server_tls
from tests.harness import connected
from tests.support import advance, eventually


class Observed:
    """An Observer that remembers."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str]] = []

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        assert seconds >= 0
        self.requests.append((verb, resource, code))


@asynccontextmanager
async def api(world: World, tmp_path: Path) -> AsyncIterator[tuple[Api, Observed]]:
    observed = Observed()
    async with connected(world.url, tmp_path, observer=observed) as made:
        yield made, observed


class Wire:
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


def test_paths() -> None:
    assert PODS.path("ns") == "/api/v1/namespaces/ns/pods"
    assert PODS.path("ns", "p") == "/api/v1/namespaces/ns/pods/p"
    assert DEPLOYMENTS.path("ns", "d") == "/apis/apps/v1/namespaces/ns/deployments/d"
    assert NAMESPACES.path("", "ns") == "/api/v1/namespaces/ns"


async def test_a_watch_that_is_left_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncio.constants.SSL_SHUTDOWN_TIMEOUT", 1e6)
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    async with World(tls=server_tls(ca)) as world:
        wire = Wire(int(world.server.url.rpartition(":")[2]))
        async with await asyncio.start_server(wire.carry, "127.0.0.1", 0) as listening:
            url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
            async with connected(url, tmp_path, certificate_authority=str(tmp_path / "ca.crt")) as made:
                async with made.stream(PODS, "ssh-sessions", {"watch": "1"}, 10.0):
                    wire.dead = True
                await eventually(wire.closed.is_set, "the connection is closed")


async def test_the_token_in_a_pod_is_read_again_when_it_is_rotated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, token = trustme.CA(), tmp_path / "token"
    ca.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    token.write_text("first")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    async with World(tls=server_tls(ca), tokens={"first": Identity("gc")}) as world:
        host, port = world.url.removeprefix("https://").split(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        async with connect(loader(None, None), Observed()) as made:
            await made.request("list", PODS, "default")
            world.server.tokens = {"second": Identity("gc")}
            # Long before the file would be looked at again by itself: being refused is reason enough.
            token.write_text("second")
            with pytest.raises(ApiError, match="401"):
                await made.request("list", PODS, "default")
            await made.request("list", PODS, "default")
            # A file that is being written just then does no harm.
            token.write_text("")
            world.server.tokens = {"third": Identity("gc")}
            with pytest.raises(ApiError, match="401"):
                await made.request("list", PODS, "default")
            token.write_text("third")
            with pytest.raises(ApiError, match="401"):
                await made.request("list", PODS, "default")
            await made.request("list", PODS, "default")


async def test_every_request_is_observed_with_its_outcome(tmp_path: Path) -> None:
    async with World() as world, api(world, tmp_path) as (made, observed):
        await made.version()
        await made.request("list", PODS, "default")
        with pytest.raises(ApiError):
            await made.request("get", PODS, "default", "nope")
        world.faults.add(Fault("reset", times=2))
        with pytest.raises(Unreachable):
            await made.request("list", PODS, "default")
        async with made.stream(PODS, "default", {"watch": "1"}, 10.0):
            pass
    assert observed.requests == [
        ("get", "version", "200"),
        ("list", "pods", "200"),
        ("get", "pods", "404"),
        ("list", "pods", "error"),
        ("watch", "pods", "200"),
    ]


@pytest.mark.parametrize(("code", "transient"), [(400, False), (403, False), (409, False), (429, True), (503, True)])
async def test_what_a_refusal_says(tmp_path: Path, code: int, transient: bool) -> None:
    async with World() as world, api(world, tmp_path) as (made, _):
        world.faults.add(Fault("status", code=code, retry_after=7))
        with pytest.raises(ApiError) as refused:
            await made.request("list", PODS, "default")
        assert (refused.value.code, refused.value.transient, refused.value.retry_after) == (code, transient, 7)


@pytest.mark.parametrize(
    "fault", [Fault("reset"), Fault("truncate"), Fault("cut", after_bytes=5), Fault("stall")], ids=lambda f: f.kind
)
async def test_half_an_answer_is_none(tmp_path: Path, fault: Fault) -> None:
    async with World() as world, api(world, tmp_path) as (made, _):
        world.faults.add(fault)
        asking = asyncio.create_task(made.request("list", PODS, "default"))
        await advance(client.REQUEST_TIMEOUT + 1)
        with pytest.raises(Unreachable, match=re.escape(world.url)) as failed:
            await asking
        assert "\n" not in str(failed.value)


async def test_the_time_is_the_servers(tmp_path: Path) -> None:
    async with World() as world, api(world, tmp_path) as (made, _):
        with pytest.raises(ValueError, match="no answer"):
            made.time.now()
        set_to: list[float] = []
        made.time.subscribe(set_to.append)
        await made.version()
        assert world.store.now() - 1.1 < made.time.now() <= world.store.now()
        for _ in range(12):
            await advance(0.3)
            await made.version()
        # Many answers tell more than one.
        assert world.store.now() - 0.35 < made.time.now() <= world.store.now()
        assert [moved for moved in set_to if moved] == []
        world.clock_offset = 86400.0
        await made.version()
        assert not any(abs(moved) > 1 for moved in set_to)
        # It asks again by itself, and believes it then.
        await advance(11)
        await eventually(lambda: any(abs(moved) > 1 for moved in set_to))
        assert world.store.now() - 1.1 < made.time.now() <= world.store.now()
        assert [moved for moved in set_to if abs(moved) > 1] == [pytest.approx(86400.0, abs=1.1)]


async def test_servers_that_are_a_little_apart_leave_us_sure_of_the_time(tmp_path: Path) -> None:
    async with World() as world, api(world, tmp_path) as (made, _):
        world.faults.clocks = (0.0, -0.1, -0.4)
        became: list[bool] = []
        made.time.subscribe(lambda _: became.append(made.time.sure))
        for _ in range(30):
            await made.version()
            await advance(0.7)
        assert became == [True]
        assert world.store.now() - 1.1 < made.time.now() <= world.store.now() - 0.1


async def test_a_refusal_does_not_tell_the_time(tmp_path: Path) -> None:
    async with World() as world, api(world, tmp_path) as (made, _):
        await made.version()
        before = made.time.now()
        # This may be a proxy's, however long it goes on.
        world.faults.clock_offset = -7200.0
        fault = world.faults.add(Fault("status", code=503))
        for _ in range(5):
            with pytest.raises(ApiError):
                await made.version()
            await advance(5)
        assert made.time.now() >= before
        world.faults.lift(fault)
        await made.version()
        await advance(11)
        await eventually(lambda: made.time.now() < before - 7000)


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


async def test_certificates_that_are_none(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("no certificate")
    kubeconfig = write_kubeconfig(
        tmp_path / "kubeconfig", "https://127.0.0.1:1", certificate_authority=str(authority)
    )
    with pytest.raises(ConfigError, match="cannot use these credentials"):
        async with connect(loader(str(kubeconfig), None), Observed()):
            pass


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"https_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "example,api.cluster"}, None),
        ({"https_proxy": "http://proxy:3128", "no_proxy": ".cluster"}, None),
        ({"http_proxy": "http://proxy:3128"}, None),
    ],
)
async def test_the_environments_proxy(
    environment: dict[str, str], proxy: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", "https://api.cluster:6443")
    made = await config.authenticated(loader(str(kubeconfig), None))
    try:
        assert made.rest_client.proxy == proxy
        assert not made.rest_client.pool_manager.trust_env
    finally:
        await made.close()


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
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with connected(url, tmp_path) as api:
            with pytest.raises(Unreachable, match="redirects to another address"):
                await api.request("delete", PODS, "ssh-sessions", "a", body={})
    finally:
        await runner.cleanup()

"""``/healthz`` and ``/readyz`` as the kubelet reads them, over HTTP."""

import asyncio
import random
from pathlib import Path

import pytest

from ssh_session_gc.kube.reflector import Reflector
from ssh_session_gc.sandbox import Fault, World
from tests.harness import running
from tests.support import advance, eventually
from tests.telemetry.clients import deployed, get


async def test_ready_after_the_first_sync_and_not_before(tmp_path: Path) -> None:
    async with World() as world:
        await deployed(world)
        fault = world.faults.add(Fault("status", verb="list", resource="pods", namespace="containerssh", code=500))
        async with running(world.url, tmp_path) as gc:
            await eventually(lambda: gc.daemon.cluster.sessions.has_synced)
            await eventually(lambda: gc.daemon.cluster.workload.has_synced)
            status, text = await get(gc, "/readyz")
            assert status == 503
            assert text.splitlines() == [
                "[+]session-pods ok",
                "[+]owner-workload ok",
                "[-]owner-pods: not in step with the API server yet",
                "failed",
            ]
            world.faults.lift(fault)
            await advance(40)
            await gc.synced()
            assert (await get(gc, "/readyz"))[0] == 200
            # It stays ready: taking it out of a Service would help nobody.
            await world.server.stop()
            await advance(120)
            assert (await get(gc, "/readyz"))[0] == 200


async def test_healthy_until_the_api_server_has_been_silent_for_long(tmp_path: Path) -> None:
    async with World() as world:
        await deployed(world)
        async with running(world.url, tmp_path) as gc:
            await gc.synced()
            assert (await get(gc, "/healthz"))[0] == 200
            await world.server.stop()
            await advance(500)
            assert gc.value("synced", stream="session-pods") == 0
            assert (await get(gc, "/healthz"))[0] == 200
            await advance(200)
            status, text = await get(gc, "/healthz")
            assert status == 503
            assert "[-]session-pods: not a word from the API server for 11m" in text
            await world.server.start(port=int(world.url.rpartition(":")[2]))
            await advance(40)
            await gc.synced()
            assert (await get(gc, "/healthz"))[0] == 200


@pytest.mark.parametrize("code", [401, 403, 429, 500, 503])
async def test_a_refusal_is_no_reason_for_a_restart(tmp_path: Path, code: int) -> None:
    async with World() as world:
        await deployed(world)
        for verb in ("list", "watch"):
            world.faults.add(Fault("status", verb=verb, namespace="containerssh", code=code, retry_after=300))
        async with running(world.url, tmp_path) as gc:
            await eventually(lambda: gc.daemon.cluster.sessions.has_synced)
            await advance(3600)
            assert gc.value("synced", stream="owner-workload") == 0
            assert gc.value("owner_known") == 0
            assert (await get(gc, "/healthz"))[0] == 200
            assert (await get(gc, "/readyz"))[0] == 503


async def test_a_stream_that_hangs_is_not_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_: Reflector[object]) -> None:
        await asyncio.Event().wait()

    async with World() as world:
        await deployed(world)
        async with running(world.url, tmp_path) as gc:
            await gc.synced()
            monkeypatch.setattr(Reflector, "_watch", hang)
            world.faults.end_watches(resource="pods", namespace="ssh-sessions")
            await advance(700)
            _, text = await get(gc, "/healthz")
            assert text.splitlines()[0].startswith("[-]session-pods: not a word")
            assert text.splitlines()[1:] == ["[+]owner-workload ok", "[+]owner-pods ok", "failed"]


async def test_a_stream_that_is_never_answered_gets_its_time(tmp_path: Path) -> None:
    async with World() as world:
        await deployed(world)
        world.faults.add(Fault("stall", verb="list", resource="pods", namespace="containerssh"))
        async with running(world.url, tmp_path) as gc:
            await eventually(lambda: gc.daemon.cluster.sessions.has_synced)
            await eventually(lambda: gc.daemon.cluster.workload.has_synced)
            assert (await get(gc, "/healthz"))[0] == 200
            await advance(700)
            _, text = await get(gc, "/healthz")
            assert text.splitlines()[:2] == ["[+]session-pods ok", "[+]owner-workload ok"]
            assert text.splitlines()[2].startswith("[-]owner-pods: not a word")


@pytest.mark.parametrize("lasting", [None, 100_000])
async def test_an_idle_cluster_is_healthy(
    tmp_path: Path, lasting: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lasting:  # the API server ends no watch, and only bookmarks come
        monkeypatch.setattr(random, "randint", lambda *_: lasting)
    async with World() as world:
        await deployed(world)
        async with running(world.url, tmp_path) as gc:
            await gc.synced()
            for _ in range(4):
                await advance(900)
                assert (await get(gc, "/healthz"))[0] == 200


async def test_a_workload_that_is_not_there_is_healthy(tmp_path: Path) -> None:
    async with World() as world, running(world.url, tmp_path) as gc:
        await gc.synced()
        await advance(400)
        assert (await get(gc, "/healthz"))[0] == 200
        assert gc.value("owner_known") == 0

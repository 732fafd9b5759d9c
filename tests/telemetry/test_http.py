"""The port: metrics as Prometheus reads them, health and readiness as the kubelet does."""

import asyncio
import random
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ssh_session_gc.core.policy import Policy
from ssh_session_gc.kube.reflector import Reflector
from ssh_session_gc.sandbox import Fault, World
from tests.harness import Running, running
from tests.support import advance, eventually

CONTRACT = {
    "sessions": {"state"},
    "orphans": {"reason"},
    "orphan_oldest_seconds": {"reason"},
    "oldest_session_age_seconds": set(),
    "deletions_total": {"reason", "outcome"},
    "deletion_lag_seconds": {"reason"},
    "owners": {"state"},
    "owner_known": set(),
    "synced": {"stream"},
    "last_event_timestamp_seconds": {"stream"},
    "stream_restarts_total": {"stream", "cause"},
    "api_requests_total": {"verb", "resource", "code"},
    "api_request_duration_seconds": {"verb", "resource"},
    "invalid_annotations_total": set(),
    "leader": set(),
    "dry_run": set(),
    "build_info": {"version", "python"},
}


async def get(gc: Running, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://{gc.daemon.server.address}{path}") as answer,
    ):
        return answer.status, await answer.text()


async def deployed(world: World) -> None:
    world.deploy()
    waiting = asyncio.create_task(world.ready())
    while not waiting.done():
        await advance(0.2)


async def test_the_metrics_of_the_contract(tmp_path: Path) -> None:
    async with World() as world:
        await deployed(world)
        async with running(world.url, tmp_path) as gc:
            await gc.synced()
            world.open("alice")
            world.faults.end_watches()
            await advance(600)
            status, text = await get(gc, "/metrics")
    assert status == 200
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation or not family.name.startswith("ssh_session_gc")
        for sample in family.samples:
            name = sample.name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
            if name.startswith("ssh_session_gc_") and not name.endswith("_created"):
                found[name.removeprefix("ssh_session_gc_")] = set(sample.labels) - {"le"}
    assert found == CONTRACT


async def test_every_reason_and_outcome_is_there_from_the_start(tmp_path: Path) -> None:
    async with World() as world, running(world.url, tmp_path) as gc:
        for reason in ("OverAge", "Ownerless", "StartTimeout", "Finished"):
            assert gc.value("orphans", reason=reason) == 0
            for outcome in ("deleted", "gone", "changed", "dry_run", "forbidden", "error"):
                assert gc.value("deletions_total", reason=reason, outcome=outcome) == 0


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
            # Once ready, it stays so: taking it out of a Service would help nobody.
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
    if lasting:  # the API server ends no watch, and bookmarks are all that comes
        monkeypatch.setattr(random, "randint", lambda *_: lasting)
    async with World() as world:
        await deployed(world)
        async with running(world.url, tmp_path) as gc:
            await gc.synced()
            for _ in range(4):
                await advance(900)
                assert (await get(gc, "/healthz"))[0] == 200


@pytest.mark.parametrize(
    ("settings", "streams"),
    [
        ({}, {"session-pods", "owner-workload", "owner-pods"}),
        ({"owner": None, "owner_selector": "app=containerssh"}, {"session-pods", "owner-pods"}),
        ({"owner": None, "policy": Policy(ownerless=False)}, {"session-pods"}),
    ],
)
async def test_a_stream_that_is_not_used_has_no_series(
    tmp_path: Path, settings: dict[str, Any], streams: set[str]
) -> None:
    async with World() as world:
        fault = world.faults.add(Fault("status", verb="list", code=500))
        await deployed(world)
        async with running(world.url, tmp_path, **settings) as gc:
            await eventually(lambda: gc.daemon.server.address)
            assert series(await get(gc, "/metrics")) == dict.fromkeys(streams, 0.0)
            world.faults.lift(fault)
            await advance(40)
            await gc.synced()
            await advance(2)
            assert series(await get(gc, "/metrics")) == dict.fromkeys(streams, 1.0)


def series(scraped: tuple[int, str]) -> dict[str, float]:
    """The values of ``synced``, by stream."""
    families = text_string_to_metric_families(scraped[1])
    [synced] = [family for family in families if family.name == "ssh_session_gc_synced"]
    return {sample.labels["stream"]: sample.value for sample in synced.samples}


async def test_a_workload_that_is_not_there_is_healthy(tmp_path: Path) -> None:
    async with World() as world, running(world.url, tmp_path) as gc:
        await gc.synced()
        await advance(400)
        assert (await get(gc, "/healthz"))[0] == 200
        assert gc.value("owner_known") == 0

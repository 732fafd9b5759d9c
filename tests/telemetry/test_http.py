"""The port: metrics as Prometheus reads them, health and readiness as the kubelet does."""

import asyncio
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

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
        for stream in ("session-pods", "owner-workload", "owner-pods"):
            assert gc.value("synced", stream=stream) in (0, 1)


async def test_ready_after_the_first_sync_and_not_before(tmp_path: Path) -> None:
    async with World() as world:
        await deployed(world)
        fault = world.faults.add(Fault("status", verb="list", resource="pods", namespace="containerssh", code=500))
        async with running(world.url, tmp_path) as gc:
            await eventually(lambda: gc.daemon.view.sessions.synced_once)
            await eventually(lambda: gc.daemon.view.workload.synced_once)
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


async def test_healthy_until_a_stream_has_been_out_of_step_for_long(tmp_path: Path) -> None:
    async with World() as world:
        await deployed(world)
        async with running(world.url, tmp_path) as gc:
            await gc.synced()
            assert (await get(gc, "/healthz"))[0] == 200
            await world.server.stop()
            await advance(250)
            assert gc.value("synced", stream="session-pods") == 0
            assert (await get(gc, "/healthz"))[0] == 200
            await advance(120)
            status, text = await get(gc, "/healthz")
            assert status == 503
            assert "[-]session-pods: out of step with the API server for 6m" in text
            await world.server.start(port=int(world.url.rpartition(":")[2]))
            await advance(40)
            await gc.synced()
            assert (await get(gc, "/healthz"))[0] == 200


async def test_a_workload_that_is_not_there_is_healthy(tmp_path: Path) -> None:
    async with World() as world, running(world.url, tmp_path) as gc:
        await gc.synced()
        await advance(400)
        assert (await get(gc, "/healthz"))[0] == 200
        assert gc.value("owner_known") == 0

"""The real daemon, with the chart's permissions, on either server: each rule, each kind of run, and the election."""

import asyncio
import json
import sys
from pathlib import Path

import msgspec

from ssh_session_gc.core.model import Action
from ssh_session_gc.daemon.deletion import Deleter
from ssh_session_gc.settings import DryRun
from ssh_session_gc.telemetry.metrics import Outcome
from tests.builders import verdict
from tests.chart import charts
from tests.conformance.clusters import AnyCluster
from tests.conformance.installed import collecting, deploy, install, owner, session
from tests.harness import Running

SLACK = 3
"""Seconds between an owner's start and a session, so that times in whole seconds keep their order."""


async def is_deleted(cluster: AnyCluster, path: str) -> bool:
    """Whether the Pod has been deleted, even if it is still ending."""
    found = await cluster.find(path)
    return found is None or "deletionTimestamp" in found["metadata"]


async def collected(cluster: AnyCluster, gc: Running, **reasons: str) -> None:
    """Exactly these sessions go, for these reasons."""
    await cluster.until(lambda: len(gc.collected()) >= len(reasons), f"{reasons}, so far {gc.collected()}")
    assert gc.collected() == reasons
    for user in reasons:
        assert await is_deleted(cluster, f"{cluster.pods}/{user}-bcdfg") == (gc.settings.dry_run is DryRun.NONE)


async def test_who_has_lost_its_owner_goes_and_nobody_else(cluster: AnyCluster, tmp_path: Path) -> None:
    first = await deploy(cluster)
    await cluster.passing(SLACK)
    orphan = await session(cluster, "alice")
    # No node runs here that could be asked for a log.
    async with collecting(cluster, tmp_path, ownerLogs=False) as gc:
        await cluster.end(first)
        await cluster.passing(SLACK)
        await owner(cluster, "containerssh-1")
        await cluster.passing(SLACK)
        live = await session(cluster, "bob")
        await collected(cluster, gc, alice="Ownerless")
        assert not await is_deleted(cluster, live)
        await cluster.gone(orphan)
        await cluster.until(lambda: gc.session("alice") is None, "the Pod is gone")
        assert gc.verdict("bob").action is Action.WAITING
        assert gc.value("deletions_total", reason="Ownerless", outcome="deleted") == 1
        events = f"/api/v1/namespaces/{cluster.sessions}/events"

        async def told() -> bool:
            found = (await cluster.do("GET", events))["items"]
            return [each["reason"] for each in found] == ["SessionCollected"]

        await cluster.until(told, "an Event says so")
        assert not [line for line in gc.log if line["log_level"] in ("warning", "error", "critical")]


async def test_the_other_rules_and_what_exempts_from_them(cluster: AnyCluster, tmp_path: Path) -> None:
    await deploy(cluster)
    async with collecting(cluster, tmp_path) as gc:
        await session(cluster, "short", ttl="3s")
        await session(cluster, "slow", start=False)
        await cluster.end(await session(cluster, "done"), "Succeeded", 0)
        kept = await session(cluster, "kept", ttl="3s", keep="true")
        await collected(cluster, gc, short="OverAge", slow="StartTimeout", done="Finished")
        assert not await is_deleted(cluster, kept)


async def test_a_stamp_tells_two_living_replicas_apart(cluster: AnyCluster, tmp_path: Path) -> None:
    first = await deploy(cluster)
    second = await owner(cluster, "containerssh-1")
    uids = [(await cluster.do("GET", path))["metadata"]["uid"] for path in (first, second)]
    await session(cluster, "alice", owner_pod_uid=uids[0], owner_pod_name="containerssh-0")
    live = await session(cluster, "bob", owner_pod_uid=uids[1], owner_pod_name="containerssh-1")
    async with collecting(cluster, tmp_path) as gc:
        await cluster.gone(first)
        await collected(cluster, gc, alice="Ownerless")
        assert not await is_deleted(cluster, live)


async def test_a_dry_run_on_the_server_asks_it_and_leaves_everybody(cluster: AnyCluster, tmp_path: Path) -> None:
    await deploy(cluster)
    await session(cluster, "short", ttl="1s")
    async with collecting(cluster, tmp_path, dryRun="server") as gc:
        await collected(cluster, gc, short="OverAge")
        assert gc.value("deletions_total", reason="OverAge", outcome="dry_run") == 1


async def test_only_what_was_judged_is_deleted(cluster: AnyCluster, tmp_path: Path) -> None:
    path = await session(cluster, "alice")
    async with collecting(cluster, tmp_path) as gc:
        await cluster.until(lambda: gc.session("alice") is not None, "it is seen")
        judged = gc.session("alice")
        assert judged is not None
        deleter, due = Deleter(gc.api, gc.settings, gc.daemon.elector), verdict()
        stranger = msgspec.structs.replace(judged, uid="0c9f8f0a-0000-4000-8000-000000000000")
        assert (await deleter.delete(stranger, due)).outcome is Outcome.CHANGED
        await cluster.passing(1)
        await cluster.start(path)
        assert (await deleter.delete(judged, due)).outcome is Outcome.CHANGED
        assert not await is_deleted(cluster, path)
        await cluster.gone(path)
        assert (await deleter.delete(judged, due)).outcome is Outcome.GONE


async def test_a_standby_takes_over_where_the_leader_stops(cluster: AnyCluster, tmp_path: Path) -> None:
    await deploy(cluster)
    election = {"leaderElect": True, "leaseNamespace": cluster.owners}
    async with collecting(cluster, tmp_path, "first", **election) as first:
        await cluster.until(first.daemon.elector.leads, "the first leads")
        async with collecting(cluster, tmp_path, "second", **election) as second:
            await cluster.passing(2)
            assert (first.daemon.elector.leads(), second.daemon.elector.leads()) == (True, False)
            first.stop.set()
            await cluster.until(second.daemon.elector.leads, "the second leads")
            assert first.task.done()
            await session(cluster, "short", ttl="1s")
            await collected(cluster, second, short="OverAge")


async def command(*args: str) -> tuple[int, str, str]:
    """Runs the program. Returns its exit status and both its outputs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ssh_session_gc", *args),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_what_operators_ask(cluster: AnyCluster, tmp_path: Path) -> None:
    token = await install(cluster)
    await deploy(cluster)
    await session(cluster, "alice")
    await cluster.passing(SLACK)
    kubeconfig = str(cluster.kubeconfig(tmp_path / "config", token))
    to = ["--kubeconfig", kubeconfig, "--session-namespace", cluster.sessions]
    to += ["--owner", f"deployment/{cluster.owners}/containerssh"]
    # No node runs here that could be asked for a log.
    judged = ["--no-owner-logs", "--max-age", "1s", "-o", "json", "--exit-code"]
    status, out, err = await command("plan", *to, *judged)
    assert (status, err) == (3, "")
    plan = json.loads(out)
    [found] = plan["sessions"]
    assert (found["name"], found["verdict"], found["reason"]) == ("alice-bcdfg", "Collect", "OverAge")
    assert [(each["pod"], each["state"]) for each in plan["owners"]] == [("containerssh-0", "Running")]
    status, out, err = await command("explain", "alice-bcdfg", *to)
    assert (status, err) == (0, "")
    assert "containerssh-0" in out
    status, out, err = await command("check", *to)
    assert status == 0, out + err
    assert f"system:serviceaccount:{charts.NAMESPACE}:{charts.RELEASE}" in out

"""The collector against a living cluster: what it deletes, what it leaves, and at which pace."""

from functools import partial
from pathlib import Path

import pytest

from ssh_session_gc.core.model import Action, Reason
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.sandbox import Fault
from ssh_session_gc.settings import DryRun
from tests.daemon.scene import events, scene
from tests.support import advance, eventually


async def test_a_crash_orphans_its_sessions_and_only_those(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice", "bob")
        s.world.crash()
        await advance(10)
        await s.open("carol")
        await advance(60)
        await s.collected(alice="Ownerless", bob="Ownerless")
        await advance(60)
        assert s.world.orphans() == []
        assert s.world.lost_live() == []
        assert s.gc.value("deletions_total", reason="Ownerless", outcome="deleted") == 2
        assert s.gc.value("deletion_lag_seconds_count", reason="Ownerless") == 2


async def test_stamped_sessions_of_one_dead_replica_of_three(tmp_path: Path) -> None:
    async with scene(tmp_path, replicas=3, stamp=True) as s:
        for n, user in enumerate(("alice", "bob", "carol")):
            await s.open(user, replica=n)
        s.world.crash(s.world.containerssh.replicas[1].process)
        await advance(70)
        await s.collected(bob="Ownerless")
        assert s.world.lost_live() == []


async def test_every_rule_in_one_cluster(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("old", "exempt", "short")
        [exempt] = [x for x in s.world.containerssh.sessions.values() if x.user == "exempt"]
        [short] = [x for x in s.world.containerssh.sessions.values() if x.user == "short"]
        s.annotate(exempt, keep="true")
        s.annotate(short, ttl="10m")
        await s.open("stillborn", image="x:missing")
        await s.open("done", annotations={"sandbox/program": '{"exits_after": 5}'})
        await advance(200)
        await s.collected(stillborn="StartTimeout", done="Finished")
        await advance(3500)
        await s.collected(stillborn="StartTimeout", done="Finished", short="OverAge", old="OverAge")
        assert s.gc.verdict("exempt").action is Action.KEEP
        assert s.gc.value("sessions", state="exempt") == 1
        assert s.world.orphans() == []


async def test_reasons_are_judged_by_the_same_function_as_the_policy_tests(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        verdict = s.gc.verdict("alice")
        assert (verdict.action, verdict.reason) == (Action.WAITING, Reason.OVER_AGE)
        assert s.gc.value("sessions", state="owned") == 1
        s.world.crash()
        await advance(10)
        assert s.gc.value("sessions", state="waiting") == 1
        assert s.gc.value("owners", state="Ended") == 1
        assert s.gc.value("owners", state="Running") == 1


async def test_a_stuck_deletion_is_shown_and_forced_only_where_asked(tmp_path: Path) -> None:
    for force_after in (0.0, 300.0):
        async with scene(tmp_path, policy=Policy(force_after=force_after)) as s:
            [alice] = await s.open("alice")
            await advance(3580)
            s.world.cut_off()
            await advance(40)
            await s.collected(alice="OverAge")
            await advance(200)
            assert s.gc.value("sessions", state="stuck") == 1
            await advance(200)
            assert (s.pod(alice) is None) is bool(force_after)
            assert s.deletions() == (2 if force_after else 1)


@pytest.mark.parametrize("mode", [DryRun.CLIENT, DryRun.SERVER])
async def test_a_dry_run_says_each_once_and_deletes_nothing(tmp_path: Path, mode: DryRun) -> None:
    async with scene(tmp_path, dry_run=mode) as s:
        [alice, bob] = await s.open("alice", "bob")
        s.world.crash()
        await advance(200)
        await s.collected(alice="Ownerless", bob="Ownerless")
        await advance(600)
        assert len(s.gc.logged("session_would_be_collected")) == 2
        assert s.gc.logged("session_would_be_collected")[0]["dry_run"] == mode
        assert s.deletions() == (2 if mode is DryRun.SERVER else 0)
        for session in (alice, bob):
            pod = s.pod(session)
            assert pod is not None
            assert "deletionTimestamp" not in pod["metadata"]
        assert events(s) == set()
        assert s.gc.value("orphans", reason="Ownerless") == 2
        assert s.gc.value("deletions_total", reason="Ownerless", outcome="dry_run") == 2
        assert s.gc.value("dry_run") == 1


async def test_the_limit_of_deletions_a_minute(tmp_path: Path) -> None:
    async with scene(tmp_path, max_deletes_per_minute=3) as s:
        await s.open(*(f"user{n}" for n in range(8)))
        s.world.crash()
        for most in (3, 6, 8):
            await advance(62)
            await eventually(partial(s.has_deleted, most))


async def test_a_burst_is_read_once_and_deleted_at_the_set_concurrency(tmp_path: Path) -> None:
    async with scene(tmp_path, concurrency=5) as s:
        await s.open(*(f"user{n}" for n in range(60)))
        s.world.crash()
        await advance(50)
        before = sum(r.verb == "get" and r.resource == "deployments" for r in s.world.server.requests)
        s.world.faults.add(Fault("stall", verb="delete"))
        await advance(15)
        # Five are under way and get no answer; nobody else is.
        await eventually(lambda: len(s.under_way()) == 5)
        s.world.faults.clear()
        await advance(40)
        await eventually(lambda: len(s.gc.collected()) == 60)
        now = sum(r.verb == "get" and r.resource == "deployments" for r in s.world.server.requests)
        assert now - before == 1

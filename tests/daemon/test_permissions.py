"""Which permissions are enough, and what goes on without each."""

from pathlib import Path

import pytest

from ssh_session_gc.daemon.holds import FORBIDDEN_RETRY
from tests.daemon.scene import OWNERS, SESSIONS, events, grants, restricted_scene
from tests.support import advance, eventually


async def test_these_permissions_are_enough(tmp_path: Path) -> None:
    async with restricted_scene(tmp_path) as s:
        await s.gc.synced()
        await s.open("alice")
        s.world.crash()
        await advance(70)
        await s.collected(alice="Ownerless")
        await eventually(lambda: events(s) == {"SessionCollected"})
        assert not [line for line in s.gc.log if line["log_level"] in ("warning", "error")]


async def test_a_missing_delete_is_said_once_and_tried_slowly(tmp_path: Path) -> None:
    async with restricted_scene(tmp_path, f"delete pods {SESSIONS}") as s:
        await s.gc.synced()
        await s.open("alice", "bob", "carol")
        await advance(3700)
        await eventually(lambda: s.gc.logged("deletion_forbidden"))
        [said] = s.gc.logged("deletion_forbidden")
        assert said["hint"] == "grant verb delete on pods in namespace ssh-sessions"
        assert 'cannot delete resource "pods"' in said["error"]
        tried = s.deletions()
        await advance(5 * FORBIDDEN_RETRY)
        assert s.deletions() - tried <= 18
        assert len(s.gc.logged("deletion_forbidden")) == 1
        assert s.gc.value("deletions_total", reason="OverAge", outcome="forbidden") >= 1
        s.world.server.roles = {"gc": grants()}
        await advance(3 * FORBIDDEN_RETRY)
        await s.collected(alice="OverAge", bob="OverAge", carol="OverAge")


@pytest.mark.parametrize("verb", ["list", "watch"])
@pytest.mark.parametrize("resource", ["pods", "deployments"])
async def test_without_permission_to_see_owners_nobody_is_ownerless(tmp_path: Path, verb: str, resource: str) -> None:
    async with restricted_scene(tmp_path, f"{verb} {resource} {OWNERS}") as s:
        await eventually(lambda: not s.gc.daemon.cluster.sessions.out_of_sync)
        await s.open("alice")
        s.world.crash()
        await advance(600)
        assert s.gc.collected() == {}
        assert s.gc.value("owner_known") == 0
        assert "nobody can tell who owns it" in s.gc.evidence("alice")
        [said] = [line for line in s.gc.logged("stream_interrupted") if line["cause"] == "forbidden"]
        assert f'cannot {verb} resource "{resource}"' in said["error"]
        await advance(3100)
        await s.collected(alice="OverAge")


async def test_without_the_fresh_read_nobody_is_ownerless(tmp_path: Path) -> None:
    async with restricted_scene(tmp_path, f"get deployments {OWNERS}") as s:
        await s.gc.synced()
        await s.open("alice")
        s.world.crash()
        await advance(600)
        assert s.gc.collected() == {}
        assert "get" in s.gc.logged("owners_unreadable")[0]["error"]


async def test_without_events_the_work_goes_on(tmp_path: Path) -> None:
    async with restricted_scene(tmp_path, f"create events {SESSIONS}") as s:
        await s.gc.synced()
        await s.open("alice", "bob")
        await advance(3700)
        await s.collected(alice="OverAge", bob="OverAge")
        await eventually(lambda: s.gc.logged("event_not_written"))
        assert len(s.gc.logged("event_not_written")) == 1

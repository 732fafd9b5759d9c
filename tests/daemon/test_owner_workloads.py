"""Owner workloads of every form: of another kind, with a sidecar, made anew, by a label alone, or none at all."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ssh_session_gc.core.policy import Policy
from ssh_session_gc.sandbox import World
from ssh_session_gc.sandbox.api.objects import DAEMONSETS, DEPLOYMENTS, PODS, STATEFULSETS
from ssh_session_gc.settings import OwnerRef
from tests.daemon.scene import OWNERS, SESSIONS, scene
from tests.harness import running
from tests.support import advance


async def test_a_workload_that_was_never_there(tmp_path: Path) -> None:
    async with scene(tmp_path, replicas=0) as s:
        spec = {"containers": [{"name": "shell", "image": "x"}]}
        labels = {"containerssh_connection_id": f"{7:032x}", "containerssh_username": "alice"}
        s.world.store.create(PODS, SESSIONS, {"metadata": {"name": "a", "labels": labels}, "spec": spec})
        await advance(600)
        assert s.gc.collected() == {}
        assert s.gc.logged("owner_not_found")[0]["hint"] == "check --owner"
        async with aiohttp.ClientSession() as http, http.get(f"http://{s.gc.daemon.server.address}/readyz") as ready:
            assert ready.status == 200


async def test_a_selector_that_changes_is_followed(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        # The Deployment is deleted, its Pods left to themselves, and made again with other labels.
        orphaned = s.world.containerssh.replicas[0].process.pod
        s.world.store.update(PODS, OWNERS, orphaned, lambda pod: pod["metadata"].pop("ownerReferences"))
        old = s.world.store.get(DEPLOYMENTS, OWNERS, "containerssh")
        s.world.delete_deployment()
        template = json.loads(json.dumps(old["spec"]["template"]).replace('"app"', '"name"'))
        spec = {"replicas": 1, "selector": {"matchLabels": {"name": "containerssh"}}, "template": template}
        s.world.store.create(DEPLOYMENTS, OWNERS, {"metadata": {"name": "containerssh"}, "spec": spec})
        await advance(10)
        assert s.gc.daemon.cluster.workload.selector == "name=containerssh"
        await s.open("bob")
        # The old Pod does not match any more, but it is there, and alice is in it.
        await advance(300)
        assert s.gc.collected() == {}
        s.world.store.delete(PODS, OWNERS, orphaned)
        await advance(300)
        await s.collected(alice="Ownerless")
        assert s.world.lost_live() == []


async def test_a_sidecar_is_no_owner(tmp_path: Path) -> None:
    world = World()
    async with world:
        world.deploy(sidecar=True)
        waiting = asyncio.create_task(world.ready())
        while not waiting.done():
            await advance(0.2)
        async with running(world.url, tmp_path) as gc:
            await gc.synced()
            assert {o.container for o in gc.daemon.cluster.owners.owners} == {"containerssh"}


@pytest.mark.parametrize(("kind", "resource"), [("statefulset", STATEFULSETS), ("daemonset", DAEMONSETS)])
async def test_other_kinds_of_workload(tmp_path: Path, kind: str, resource: Any) -> None:
    async with World() as world:
        template = {"metadata": {"labels": {"app": "ssh"}}, "spec": {"containers": [{"name": "ssh", "image": "x"}]}}
        spec = {"selector": {"matchLabels": {"app": "ssh"}}, "template": template}
        world.store.create(resource, OWNERS, {"metadata": {"name": "ssh"}, "spec": spec})
        world.store.create(
            PODS, OWNERS, {"metadata": {"name": "ssh-0", "labels": {"app": "ssh"}}, **template_spec(template)}
        )
        await advance(5)
        async with running(world.url, tmp_path, owner=OwnerRef(kind, OWNERS, "ssh"), owner_namespace=OWNERS) as gc:
            await gc.synced()
            assert [(o.pod, o.container, o.state) for o in gc.daemon.cluster.owners.owners] == [
                ("ssh-0", "ssh", "Running")
            ]


def template_spec(template: dict[str, Any]) -> dict[str, Any]:
    return {"spec": template["spec"]}


async def test_owners_by_selector(tmp_path: Path) -> None:
    async with scene(tmp_path, replicas=0, owner=None, owner_selector="app=containerssh") as s:
        # Nothing that it matches was ever seen: nobody can tell.
        assert s.gc.daemon.cluster.owners.unknown
        s.world.deploy()
        await advance(5)
        await s.open("alice")
        assert s.gc.daemon.cluster.owners.unknown is None
        s.world.crash()
        await advance(70)
        await s.collected(alice="Ownerless")


async def test_no_owner_at_all(tmp_path: Path) -> None:
    async with scene(tmp_path, owner=None, policy=Policy(ownerless=False)) as s:
        await s.open("alice")
        s.world.crash()
        await advance(600)
        assert s.gc.collected() == {}
        assert not any("containerssh/" in r.path for r in s.world.server.requests)
        await advance(3100)
        await s.collected(alice="OverAge")

"""A selector that matches ContainerSSH as well: whatever it says, ContainerSSH's own Pods are no sessions."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ssh_session_gc.core.policy import Policy
from ssh_session_gc.sandbox import World
from ssh_session_gc.sandbox.api.objects import DEPLOYMENTS, PODS
from tests.daemon.scene import OWNERS, quarantine, scene
from tests.harness import running
from tests.support import advance

TOGETHER: dict[str, Any] = {"session_namespace": OWNERS, "session_selector": "app=containerssh"}
SHORT = Policy(max_age=900.0)


@pytest.mark.parametrize("settings", [{}, {"owner": None, "policy": Policy(max_age=900.0, ownerless=False)}])
async def test_containerssh_is_never_collected(tmp_path: Path, settings: dict[str, Any]) -> None:
    async with scene(tmp_path, **TOGETHER | {"policy": SHORT} | settings) as s:
        [alice] = await s.open("alice")
        await advance(2000)
        assert alice.creator.alive
        assert s.gc.collected() == {}
        assert s.deletions() == 0
        (said,) = s.gc.logged("not_a_session")
        assert said["pod"] == alice.creator.pod
        # Another one is another matter.
        s.world.rollout()
        await advance(60)
        assert len(s.gc.logged("not_a_session")) == 2


async def test_containerssh_is_never_collected_whatever_else_it_carries(tmp_path: Path) -> None:
    async with World() as world:
        # Somebody has copied a session's labels into its template.
        world.deploy()

        def change(deployment: dict[str, Any]) -> None:
            deployment["spec"]["template"]["metadata"]["labels"]["containerssh_connection_id"] = f"{7:032x}"

        world.store.update(DEPLOYMENTS, OWNERS, "containerssh", change)
        await asyncio.gather(world.ready(), advance(10))
        async with running(world.url, tmp_path, session_namespace=OWNERS, policy=SHORT) as gc:
            await gc.synced()
            await advance(2000)
            assert gc.collected() == {}
            there = {pod["metadata"]["name"] for pod in world.store.list(PODS, OWNERS)}
            assert {line["pod"] for line in gc.logged("not_a_session")} == there


async def test_a_quarantined_containerssh_is_never_collected(tmp_path: Path) -> None:
    async with scene(tmp_path, session_namespace=OWNERS, session_selector="quarantined", policy=SHORT) as s:
        quarantine(s)
        await advance(2000)
        assert s.gc.collected() == {}
        assert len(s.gc.logged("not_a_session")) == 1


async def test_what_lies_elsewhere_is_a_session_whoever_made_it(tmp_path: Path) -> None:
    async with scene(tmp_path, session_selector="team", policy=SHORT) as s:
        spec = {"containers": [{"name": "shell", "image": "x"}]}
        s.world.store.create(PODS, "ssh-sessions", {"metadata": {"name": "a", "labels": {"team": "a"}}, "spec": spec})
        await advance(2000)
        assert len(s.gc.logged("session_collected")) == 1
        assert s.gc.logged("not_a_session") == []

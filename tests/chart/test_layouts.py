"""From nothing to a verdict, without a flag typed by hand: `discover` finds ContainerSSH, the chart installs what it
wrote, and the daemon judges with those settings and those permissions. For each way ContainerSSH is laid out.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from ssh_session_gc.preview.check import check
from ssh_session_gc.preview.permissions import Mark
from ssh_session_gc.sandbox import LAYOUTS, Identity, World
from ssh_session_gc.sandbox.api.objects import NAMESPACES
from ssh_session_gc.settings import Settings
from tests.chart import charts
from tests.chart.charts import container, render
from tests.cli.ends import End, ends
from tests.harness import Running, connected, running
from tests.support import advance, eventually

USER = f"system:serviceaccount:{charts.NAMESPACE}:{charts.RELEASE}"
ADMIN, COLLECTOR = "a", "c"
Discover = Callable[..., End]


@pytest.fixture
def discover(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Discover:
    return lambda kubeconfig: ends(monkeypatch, capsys, "discover", "--kubeconfig", str(kubeconfig), "-o", "values")


@asynccontextmanager
async def laid_out(name: str) -> AsyncIterator[World]:
    """ContainerSSH as it is installed by this name, and alice in a session of it."""
    administrator = Identity("kubernetes-admin", ("system:masters",))
    tokens = {ADMIN: administrator, COLLECTOR: Identity(USER)}
    async with World(began=time.time(), layout=LAYOUTS[name], tokens=tokens, roles={}) as world:
        world.store.create(NAMESPACES, None, {"metadata": {"name": charts.NAMESPACE}})
        world.deploy(configured=True)
        waiting = asyncio.create_task(world.ready())
        while not waiting.done():
            await advance(0.2)
        world.open("alice")
        await advance(5)
        yield world


@asynccontextmanager
async def installed(world: World, discover: Discover, tmp_path: Path) -> AsyncIterator[Running]:
    """The daemon as the chart installs it with what `discover` wrote, and with the chart's Roles for it."""
    end = await asyncio.to_thread(discover, world.kubeconfig(tmp_path / "admin", token=ADMIN))
    assert (end.status, end.err) == (0, "")
    values: dict[str, Any] = yaml.safe_load(end.out)
    # A leader renews its lease every two seconds, which makes even a skipped hour slow.
    documents = render(charts.merged(values, {"config": {"leaderElect": False}, "replicas": 1}))
    world.server.roles = charts.granted(documents)
    settings = charts.settings(container(documents))
    kubeconfig = world.kubeconfig(tmp_path / "kubeconfig", token=COLLECTOR)
    assert await amiss(world, settings) == []
    world.server.requests.clear()  # what the preflight may not ask the daemon never asks
    async with running(world.url, tmp_path, settings, kubeconfig=kubeconfig) as gc:
        await gc.synced()
        yield gc


async def amiss(world: World, settings: Settings) -> list[str]:
    """What `check` finds to mend."""
    async with connected(world.url, token=COLLECTOR) as api:
        return [finding.what async for finding in check(api, settings) if finding.mark is Mark.BAD]


def refused(world: World) -> list[str]:
    return [f"{each.verb} {each.resource}" for each in world.server.requests if each.code == 403]


@pytest.mark.parametrize("name", ["article", "quick-start"])
async def test_a_pod_for_each_connection(name: str, discover: Discover, tmp_path: Path) -> None:
    async with laid_out(name) as world, installed(world, discover, tmp_path) as gc:
        assert gc.settings.session_namespace == world.layout.session_namespace
        bob = world.open("bob")
        await advance(5)
        world.leave(bob)
        await advance(100)
        await eventually(lambda: gc.collected() == {"bob": "Abandoned"}, "bob, who has left")
        assert gc.verdict("alice").reason == "OverAge"  # in an hour
        world.crash()
        await advance(10)
        world.open("carol")
        await advance(100)
        await eventually(lambda: gc.collected() == {"bob": "Abandoned", "alice": "Ownerless"}, "alice, cut off")
        assert [session.user for session in world.live()] == ["carol"]
        assert (world.orphans(), world.lost_live(), refused(world)) == ([], [], [])


async def test_a_pod_for_each_user(discover: Discover, tmp_path: Path) -> None:
    async with laid_out("release") as world, installed(world, discover, tmp_path) as gc:
        assert gc.settings.session_container == "1"
        assert str(gc.settings.owner) == "deployment ssh-gateway/blue-ssh-gateway"
        bob = world.open("bob")
        await advance(5)
        world.close(bob)
        await advance(7200)
        world.crash()
        await advance(7200)
        assert gc.collected() == {}
        assert {user: gc.verdict(user).reason for user in ("alice", "bob")} == {"alice": None, "bob": None}
        assert gc.value("sessions", state="exempt") == 2
        assert (world.lost_live(), refused(world)) == ([], [])

"""The preflight's questions about ContainerSSH's configuration: what fits, what does not, and what cannot be read."""

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from ssh_session_gc.containerssh.configuration import Configuration
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.preview.check_configuration import check_configuration, misfits
from ssh_session_gc.preview.permissions import Finding, Mark, needs
from ssh_session_gc.sandbox import Identity, PolicyRule, World
from ssh_session_gc.sandbox.api.objects import CONFIGMAPS
from ssh_session_gc.settings import OwnerRef, Settings
from tests.preview.test_snapshot import reach

OURS = Settings(session_namespace="shells")
SECRET = "S3cret-of-somebody"


def theirs(**said: Any) -> Configuration:
    return Configuration(backend="kubernetes", **{"namespace": "shells", **said})


def ours(**more: Any) -> Settings:
    return Settings(session_namespace="shells", **more)


@pytest.mark.parametrize(
    ("settings", "it", "todo"),
    [
        (OURS, theirs(), ""),
        (OURS, theirs(pod_start=119.0), ""),
        (OURS, theirs(pod_start=120.0), "raise --start-timeout above that"),
        (OURS, theirs(command_start=300.0, mode="session"), "raise --start-timeout above that"),
        (ours(policy=Policy(start_timeout=0.0)), theirs(pod_start=3600.0), ""),
        (OURS, theirs(pod_stop=89.0), ""),
        (OURS, theirs(pod_stop=90.0), "raise --abandoned-grace above that"),
        # In no other mode it deletes anything.
        (OURS, theirs(pod_stop=90.0, mode="session"), ""),
        (OURS, theirs(pod_stop=90.0, mode="persistent"), ""),
        (OURS, theirs(namespace="guests"), "--session-namespace guests, or name its workload with --owner"),
        # It may be told another one for each connection, or makes no Pods.
        (OURS, Configuration(backend="docker", namespace="default", config_server=True), ""),
        (OURS, theirs(namespace="guests", console=1, config_server=True), ""),
        (OURS, theirs(console=1), "--session-container 1"),
        (ours(session_container="1"), theirs(console=1), ""),
        (ours(session_container="1"), theirs(), "--session-container 0"),
        # A name may be that of any container.
        (ours(session_container="shell"), theirs(console=1), ""),
    ],
)
def test_what_does_not_fit(settings: Settings, it: Configuration, todo: str) -> None:
    found = list(misfits(settings, it))
    assert [each.mark for each in found] == [Mark.BAD] * bool(todo)
    assert [each.todo for each in found if not each.todo.startswith(todo)] == []


async def found(world: World, tmp_path: Path, **settings: Any) -> list[Finding]:
    async with reach(world, tmp_path) as api:
        return [each async for each in check_configuration(api, Settings(**settings))]


def configure(world: World, text: object) -> None:
    """Has ContainerSSH's configuration be something else."""

    def write(made: dict[str, Any]) -> None:
        made["data"]["config.yaml"] = text

    world.store.update(CONFIGMAPS, "containerssh", "containerssh-config", write)


async def test_over_http(tmp_path: Path) -> None:
    async with World(began=time.time()) as world:
        world.deploy(configured=True)
        ((mark, what, todo),) = await found(world, tmp_path)
        assert (mark, todo) == (Mark.GOOD, "")
        assert what == (
            "ContainerSSH's configuration (config.yaml in ConfigMap containerssh-config) fits: our limits are above "
            "its timeouts (podStart 1m, commandStart 1m, podStop 1m)"
        )
        timeouts = {"podStart": "10m", "podStop": "5m"}
        pod = {"metadata": {"namespace": "guests"}, "mode": "connection", "consoleContainerNumber": 2}
        configure(world, yaml.safe_dump({"backend": "kubernetes", "kubernetes": {"timeouts": timeouts, "pod": pod}}))
        said = await found(world, tmp_path)
        assert [each.what for each in said if each.mark is Mark.BAD] == [
            "start-timeout is 2m, and ContainerSSH waits 10m for a session (timeouts.podStart)",
            "abandoned-grace is 1m30s, and ContainerSSH tries for 5m to delete a session (timeouts.podStop)",
            "ContainerSSH makes its sessions in namespace guests, not ssh-sessions",
            "ContainerSSH has the shell in container 2 (pod.consoleContainerNumber), not 0",
        ]
        configure(world, yaml.safe_dump({"configserver": {"url": f"http://{SECRET}@x"}, "log": {"level": "loud"}}))
        said = await found(world, tmp_path)
        assert [(each.mark, each.what) for each in said[:2]] == [
            (Mark.OPEN, "ContainerSSH's configuration: cannot be understood and is taken for its default: log.level"),
            (
                Mark.OPEN,
                "ContainerSSH's configuration: a configuration server (configserver.url) may have it make other Pods "
                "for some connections",
            ),
        ]
        assert SECRET not in str(said)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"a: {SECRET}: {SECRET}", "config.yaml in ConfigMap containerssh-config is no YAML (line 1)"),
        (SECRET, "config.yaml in ConfigMap containerssh-config is no configuration of ContainerSSH: it has none of"),
        (7, "config.yaml in ConfigMap containerssh-config is not there"),
    ],
)
async def test_one_that_cannot_be_read(tmp_path: Path, text: object, why: str) -> None:
    async with World(began=time.time()) as world:
        world.deploy(configured=True)
        configure(world, text)
        ((mark, what, _),) = await found(world, tmp_path)
        assert mark is Mark.OPEN
        assert what.startswith(f"our settings are not compared with ContainerSSH's: {why}")
        assert SECRET not in what


async def test_where_there_is_none(tmp_path: Path) -> None:
    async with World(began=time.time()) as world:
        world.deploy()
        head = "our settings are not compared with ContainerSSH's"
        none = f"{head}: /etc/containerssh/config.yaml is in no ConfigMap or Secret that it mounts"
        assert await found(world, tmp_path) == [Finding(Mark.OPEN, none)]
        other = f"{head}: deployment containerssh/containerssh has no container sshd"
        assert await found(world, tmp_path, owner_container="sshd") == [Finding(Mark.OPEN, other)]
        # The questions about owners say enough of these.
        assert await found(world, tmp_path, owner=OwnerRef("daemonset", "containerssh", "x")) == []
        assert await found(world, tmp_path, owner=None, owner_selector="app=containerssh") == []


async def test_with_the_permissions_of_the_collector(tmp_path: Path) -> None:
    rules = [
        PolicyRule(verbs, (resource.qualified,), (resource.group,), (name,) if name else (), namespace)
        for resource, namespace, verbs, _, name in needs(Settings())
    ]
    async with World(began=time.time(), tokens={"t": Identity("gc")}, roles={"gc": rules}) as world:
        world.deploy(configured=True)
        ((mark, what, todo),) = await found(world, tmp_path)
        grant = "grant get on configmaps/containerssh-config in namespace containerssh"
        assert (mark, todo) == (Mark.OPEN, "")
        assert what.endswith(f"config.yaml in ConfigMap containerssh-config may not be read ({grant})")

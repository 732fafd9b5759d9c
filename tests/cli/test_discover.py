"""The command ``discover`` over HTTP: the layouts that there are, and clusters that show a part of themselves."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ssh_session_gc.sandbox import Identity, PolicyRule, World
from ssh_session_gc.sandbox.api.objects import (
    CONFIGMAPS,
    DEPLOYMENTS,
    NAMESPACES,
    PODS,
    SECRETS,
    STATEFULSETS,
    Object,
)
from ssh_session_gc.sandbox.containerssh import manifests
from ssh_session_gc.sandbox.containerssh.layouts import QUICK_START
from ssh_session_gc.sandbox.containerssh.log import Login
from tests.cli.ends import End, ends
from tests.preview.test_discovery import chart_config, run_settings

Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]
Discover = Callable[..., Awaitable[End]]
SECRET = "S3cret-of-somebody"
WORKLOADS = PolicyRule(("list",), ("deployments", "statefulsets", "daemonsets"), ("apps",))
LIST_PODS = PolicyRule(("list",), ("pods",))
LIST_NAMESPACES = PolicyRule(("list",), ("namespaces",))
ARTICLE = "deployment containerssh/containerssh, container containerssh"


def configuration(**pod: Any) -> str:
    content = {
        "auth": {"password": {"webhook": {"url": f"http://u:{SECRET}@auth"}}},
        "log": {"level": "debug"},
        "backend": "kubernetes",
        "kubernetes": {"connection": {"bearerToken": SECRET}, "pod": pod},
    }
    text: str = yaml.safe_dump(content)
    return text


def workload(name: str, namespace: str, *, image: str = "containerssh/containerssh:v0.6", **volume: Object) -> Object:
    container = {"name": "ssh", "image": image, "volumeMounts": [{"name": "c", "mountPath": "/etc/containerssh"}]}
    spec = {"containers": [container], "volumes": [{"name": "c", **volume}], "terminationGracePeriodSeconds": 90}
    template = {"metadata": {"labels": {"app": name}}, "spec": spec}
    metadata = {"name": name, "namespace": namespace}
    return {"metadata": metadata, "spec": {"selector": {"matchLabels": {"app": name}}, "template": template}}


def install(world: World, name: str, namespace: str, config: str | None, *, guests: str, kind: Any = None) -> None:
    """Creates a ContainerSSH, its configuration where there is one, and one session in another namespace."""
    for each in (namespace, guests):
        if not any(there["metadata"]["name"] == each for there in world.store.list(NAMESPACES)):
            world.store.create(NAMESPACES, None, {"metadata": {"name": each}})
    made = workload(name, namespace, configMap={"name": f"{name}-config"})
    world.store.create(kind or DEPLOYMENTS, namespace, made)
    if config is not None:
        data = {"config.yaml": config}
        world.store.create(CONFIGMAPS, namespace, {"metadata": {"name": f"{name}-config"}, "data": data})
    pod = manifests.session(QUICK_START, Login("alice", "a" * 32, "10.0.0.1"), "x", {}, {}, "connection")
    world.store.create(PODS, guests, pod)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(tokens={"t": Identity("kubernetes-admin", ("system:masters",))}, roles={}) as made:
        yield made


def restrict(world: World, *rules: PolicyRule) -> None:
    """From now on our token allows only this."""
    world.server.tokens = {"t": Identity("me")}
    world.server.roles = {"me": list(rules)}


@pytest.fixture
def discover(world: World, tmp_path: Path, monkeypatch: Patch, capsys: Capture) -> Discover:
    path = str(world.kubeconfig(tmp_path / "kubeconfig", token="t"))

    async def run(*args: str) -> End:
        end = await asyncio.to_thread(ends, monkeypatch, capsys, "discover", "--kubeconfig", path, *args)
        assert SECRET not in end.out + end.err
        return end

    return run


def test_the_sandbox(monkeypatch: Patch, capsys: Capture) -> None:
    end = ends(monkeypatch, capsys, "discover", "--sandbox")
    assert (end.status, end.err) == (0, "")
    head, _, command = end.out.partition("\n\n")
    assert head.startswith(f"ContainerSSH: {ARTICLE}\n  because its image is containerssh/containerssh:")
    assert "\n  sessions: 8 Pods in namespace ssh-sessions, labels that all have beside ContainerSSH's own: " in head
    settings = run_settings(command)
    assert (settings.session_namespace, str(settings.owner)) == (
        "ssh-sessions",
        "deployment containerssh/containerssh",
    )
    assert settings.session_selector == "containerssh_connection_id"
    end = ends(monkeypatch, capsys, "discover", "--sandbox", "-o", "values")
    assert chart_config(end.out)["sessionSelector"] == "containerssh_connection_id"  # as by default


def test_bad_usage(monkeypatch: Patch, capsys: Capture) -> None:
    assert ends(monkeypatch, capsys, "discover", "--sandbox", "--context", "x").status == 2
    assert ends(monkeypatch, capsys, "discover", "--namespace", "../x").status == 2
    assert ends(monkeypatch, capsys, "discover", "-o", "json").status == 2


async def test_the_quick_start(world: World, discover: Discover) -> None:
    guests = "containerssh-guests"
    config = configuration(metadata={"namespace": guests})
    install(world, "containerssh", "containerssh", config, guests=guests)
    end = await discover("-o", "values")
    assert (end.status, end.err) == (0, "")
    assert (
        f"#   sessions: 1 Pod in namespace {guests}, labels that all have beside ContainerSSH's own: none\n"
        in end.out
    )
    assert "!" not in end.out
    values = chart_config(end.out)
    assert (values["sessionNamespace"], values["owner"]) == (guests, "deployment/containerssh/containerssh")
    end = await discover("-o", "env")
    assert [line for line in end.out.splitlines() if not line.startswith("#")] == [
        f"SSH_SESSION_GC_SESSION_NAMESPACE={guests}",
        "SSH_SESSION_GC_SESSION_SELECTOR=containerssh_connection_id",
        "SSH_SESSION_GC_OWNER=deployment/containerssh/containerssh",
    ]


async def test_nothing_is_written_and_only_its_own_configuration_is_read(world: World, discover: Discover) -> None:
    install(world, "ssh", "containerssh", configuration(), guests="default")
    world.store.create(SECRETS, "containerssh", {"metadata": {"name": "keys"}, "data": {"config.yaml": "eA=="}})
    other = workload("web", "containerssh", image="web", secret={"secretName": "keys"})
    world.store.create(DEPLOYMENTS, "containerssh", other)
    assert (await discover()).status == 0
    asked = {(each.verb, each.resource.rpartition("/")[2]) for each in world.server.requests}
    assert {verb for verb, _ in asked} <= {"get", "list"}
    assert ("get", "configmaps") in asked
    assert ("get", "secrets") not in asked


async def test_a_persistent_one_that_is_named_after_its_release(world: World, discover: Discover) -> None:
    config = configuration(mode="persistent", createMissingPods=True, metadata={"namespace": "homes"})
    install(world, "blue-gateway", "blue", config, guests="homes")
    end = await discover()
    assert "ContainerSSH: deployment blue/blue-gateway, container ssh\n" in end.out
    assert "\n  mode persistent, Pods named containerssh-… in namespace homes, made where missing" in end.out
    assert "\n  ! its mode is persistent: it keeps its Pods on purpose" in end.out


async def test_two_of_them(world: World, discover: Discover) -> None:
    install(world, "a", "one", configuration(metadata={"namespace": "shells"}), guests="shells")
    install(world, "b", "two", configuration(metadata={"namespace": "shells"}), guests="shells", kind=STATEFULSETS)
    end = await discover("-o", "values")
    assert end.status == 0
    assert end.err == "note: 2 were found: each needs a collector of its own, so take one of them\n"
    documents = end.out.split("---\n")
    assert [chart_config(each)["owner"] for each in documents] == ["deployment/one/a", "statefulset/two/b"]
    assert "! statefulset two/b makes its sessions in namespace shells, too" in documents[0]
    assert "! deployment one/a makes its sessions in namespace shells, too" in documents[1]
    end = await discover("--namespace", "two")
    assert "deployment one/a" not in end.out
    assert str(run_settings(end.out.partition("\n\n")[2]).owner) == "statefulset two/b"


async def test_one_that_only_its_configuration_tells(world: World, discover: Discover) -> None:
    install(world, "gateway", "ssh", configuration(metadata={"namespace": "shells"}), guests="shells")
    world.store.delete(DEPLOYMENTS, "ssh", "gateway")
    made = workload("gateway", "ssh", image="ours/gateway", configMap={"name": "gateway-config"})
    world.store.create(DEPLOYMENTS, "ssh", made)
    other = workload("containerssh", "ssh", image="ours/web", configMap={"name": "absent"})
    world.store.create(STATEFULSETS, "ssh", other)
    end = await discover()
    assert "\n  because config.yaml in ConfigMap gateway-config is a configuration of ContainerSSH\n" in end.out
    assert end.out.count("ContainerSSH:") == 1


async def test_a_configuration_in_a_secret(world: World, discover: Discover) -> None:
    config = configuration(metadata={"namespace": "shells"}, mode="session")
    data = {"config.yaml": base64.b64encode(config.encode()).decode()}
    world.store.create(SECRETS, "containerssh", {"metadata": {"name": "config"}, "data": data})
    world.store.create(DEPLOYMENTS, "containerssh", workload("a", "containerssh", secret={"secretName": "config"}))
    end = await discover()
    assert "\n  configuration: config.yaml in Secret config\n  mode session, " in end.out
    restrict(world, WORKLOADS, LIST_PODS)
    end = await discover()
    assert "config.yaml in Secret config may not be read (grant get on secrets/config in namespace" in end.out


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"config.yaml": f"ssh: {SECRET}: {SECRET}"}, "is no YAML (line 1)"),
        ({"config.yaml": SECRET}, "is no configuration of ContainerSSH: it has none of its keys"),
        ({"config.yaml": 7}, "is not there"),
        ({"other.yaml": SECRET}, "is not there"),
        ({"config.yaml": None}, "is not there"),
    ],
)
async def test_a_configuration_that_is_none(world: World, discover: Discover, data: Object, why: str) -> None:
    install(world, "ssh", "containerssh", None, guests="shells")
    world.store.create(CONFIGMAPS, "containerssh", {"metadata": {"name": "ssh-config"}, "data": data})
    end = await discover()
    known = "not known, ContainerSSH's defaults are assumed"
    assert f"\n  configuration: {known}: config.yaml in ConfigMap ssh-config {why}\n" in end.out
    assert run_settings(end.out.partition("\n\n")[2]).session_namespace == "shells"  # by the Pods


async def test_without_permission_to_read_it(world: World, discover: Discover) -> None:
    install(world, "ssh", "containerssh", configuration(metadata={"namespace": "shells"}), guests="shells")
    restrict(world, WORKLOADS, LIST_PODS)
    end = await discover()
    assert end.status == 0
    assert "may not be read (grant get on configmaps/ssh-config in namespace containerssh)\n" in end.out
    assert "--session-namespace shells" in end.out
    restrict(world, WORKLOADS)
    end = await discover("-o", "env")
    assert end.err.startswith("note: pods may not be listed: 403 Forbidden: ")
    assert "#   ! the namespace of its sessions cannot be told: name it with --session-namespace\n" in end.out
    assert "SSH_SESSION_GC_SESSION_NAMESPACE" not in end.out


async def test_one_namespace_alone(world: World, discover: Discover) -> None:
    install(world, "ssh", "containerssh", configuration(metadata={"namespace": "shells"}), guests="shells")
    here = {"namespace": "containerssh"}
    rules = (
        PolicyRule(("list",), ("deployments",), ("apps",), **here),  # type: ignore[arg-type]
        PolicyRule(("list", "get"), ("pods", "configmaps"), **here),  # type: ignore[arg-type]
    )
    restrict(world, *rules)
    end = await discover()
    assert end.status == 1
    assert "no ContainerSSH found in any namespace: deployments may not be listed: 403" in end.err
    assert end.err.endswith("grant that, or name ContainerSSH's namespace with --namespace\n")
    end = await discover("--namespace", "containerssh")
    assert end.status == 0
    assert "\nstatefulsets may not be listed in containerssh\n" in f"\n{end.out}"
    assert "pods may not be listed in 1 of 2 namespaces\n" in end.out
    assert "--session-namespace shells" in end.out
    # Who may see which namespaces there are needs to name none.
    restrict(world, *rules, LIST_NAMESPACES)
    end = await discover()
    assert end.status == 0
    assert "--owner deployment/containerssh/ssh" in end.out


async def test_nothing_is_there(world: World, discover: Discover) -> None:
    world.store.create(DEPLOYMENTS, "default", workload("containerssh", "default", image="web", emptyDir={}))
    end = await discover()
    assert (end.status, end.out) == (1, "")
    assert end.err == (
        "ssh-session-gc: no ContainerSSH found in any namespace: none of 1 Deployments, StatefulSets and DaemonSets "
        "has its image, command or configuration; name the workload yourself with --owner kind/namespace/name\n"
    )
    assert "found in namespace default: " in (await discover("--namespace", "default")).err


async def test_no_cluster_is_there(world: World, discover: Discover) -> None:
    world.server.tokens = {"other": Identity("x")}
    end = await discover()
    assert (end.status, end.err.count("\n")) == (1, 1)
    assert end.err.endswith("check the address and the credentials (--kubeconfig, --context)\n")
    await world.server.stop()
    end = await discover()
    assert (end.status, end.err.count("\n")) == (1, 1)
    assert " is unreachable: " in end.err


async def test_workloads_that_cannot_be_read_are_left_out(world: World, discover: Discover) -> None:
    install(world, "ssh", "containerssh", configuration(), guests="default")
    broken = workload("a", "containerssh", emptyDir={})
    broken["spec"]["template"]["spec"]["containers"] = "x"
    world.store._objects[STATEFULSETS].put("containerssh/a", {**broken})
    end = await discover()
    assert end.status == 0
    assert end.out.startswith("1 of the statefulsets cannot be read and are left out\nContainerSSH: deployment ")

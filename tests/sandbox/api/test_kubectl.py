"""The real kubectl works against the simulated API server."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from ssh_session_gc.sandbox.api.authorization import Identity, PolicyRule
from ssh_session_gc.sandbox.api.objects import DEPLOYMENTS, EVENTS, LEASES, NODES, PODS, Change, Object, timestamp
from ssh_session_gc.sandbox.api.storage import Store
from tests.sandbox.api.serving import NAMESPACE, NOW, Clock, add, pod, serving
from tests.sandbox.kubectl import Kubectl

SPEC: Object = {
    "selector": {"matchLabels": {"app": "ssh"}},
    "template": {
        "metadata": {"labels": {"app": "ssh"}},
        "spec": {"containers": [{"name": "containerssh", "image": "containerssh:1"}]},
    },
}


@pytest.fixture
async def kubectl(tmp_path: Path) -> AsyncIterator[Kubectl]:
    async with serving(Store(Clock())) as client:
        yield Kubectl(client, tmp_path)


def _state(store: Store, name: str, phase: str, **state: Object) -> None:
    """Puts the Pod's only container into this state."""
    container = {"name": "shell", "ready": "running" in state, "restartCount": 0, "state": state}
    store.update(PODS, NAMESPACE, name, lambda obj: obj["status"].update(phase=phase, containerStatuses=[container]))


def _rows(printed: str) -> list[list[str]]:
    return [line.split() for line in printed.splitlines()]


async def test_get(kubectl: Kubectl) -> None:
    store = kubectl.store
    add(store, "bad", "done", "failed", "going", "live", "new", "oom", node="n1")
    _state(store, "bad", "Pending", waiting={"reason": "ImagePullBackOff"})
    _state(store, "done", "Succeeded", terminated={"exitCode": 0, "reason": "Completed"})
    _state(store, "failed", "Failed", terminated={"exitCode": 3, "reason": "Error"})
    _state(store, "live", "Running", running={"startedAt": timestamp(NOW)})
    _state(store, "oom", "Failed", terminated={"exitCode": 137, "reason": "OOMKilled"})
    store.delete(PODS, NAMESPACE, "going")
    store.create(DEPLOYMENTS, NAMESPACE, {"metadata": {"name": "containerssh"}, "spec": SPEC})
    clock = store.now
    assert isinstance(clock, Clock)
    clock.now += 90 * 60

    rows = _rows(await kubectl("get", "pods,deployments", "-A"))
    assert rows[0] == ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert {row[1].removeprefix("pod/"): row[2:] for row in rows[1:8]} == {
        "bad": ["0/1", "ImagePullBackOff", "0", "90m"],
        "done": ["0/1", "Completed", "0", "90m"],
        "failed": ["0/1", "Error", "0", "90m"],
        "going": ["0/1", "Terminating", "0", "90m"],
        "live": ["1/1", "Running", "0", "90m"],
        "new": ["0/1", "Pending", "0", "90m"],
        "oom": ["0/1", "OOMKilled", "0", "90m"],
    }
    assert rows[-1] == [NAMESPACE, "deployment.apps/containerssh", "0/1", "0", "0", "90m"]
    wide = _rows(await kubectl("get", "pods", "live", "-o", "wide"))
    assert wide[1][:7] == ["live", "1/1", "Running", "0", "90m", "<none>", "n1"]
    assert (await kubectl("get", "po", "-o", "name")).splitlines()[0] == "pod/bad"
    assert json.loads(await kubectl("get", "pod", "live", "-o", "json")) == store.get(PODS, NAMESPACE, "live")
    assert "phase: Running" in await kubectl("get", "pod", "live", "-o", "yaml")
    assert 'pods "nope" not found' in await kubectl("get", "pod", "nope", status=1)


async def test_get_of_other_resources(kubectl: Kubectl) -> None:
    store = kubectl.store
    store.create(NODES, None, {"metadata": {"name": "n1"}})
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.36.2"}}
    store.update(NODES, None, "n1", lambda obj: obj.update(status=ready))
    store.create(LEASES, NAMESPACE, {"metadata": {"name": "gc"}, "spec": {"holderIdentity": "me"}})
    store.create(EVENTS, NAMESPACE, _event("live"))
    printed = _rows(await kubectl("get", "nodes,namespaces,leases,events"))
    assert ["node/n1", "Ready", "<none>", "0s", "v1.36.2"] in printed
    assert [f"namespace/{NAMESPACE}", "Active", "0s"] in printed
    assert ["lease.coordination.k8s.io/gc", "me", "0s"] in printed
    assert ["0s", "Normal", "SessionCollected", "pod/live", "its", "owner", "is", "gone"] in printed


def _event(name: str, uid: str = "") -> Object:
    return {
        "metadata": {"generateName": "gc-"},
        "involvedObject": {"kind": "Pod", "namespace": NAMESPACE, "name": name, "uid": uid},
        "reason": "SessionCollected",
        "message": "its owner is gone",
        "type": "Normal",
        "firstTimestamp": timestamp(NOW),
        "lastTimestamp": timestamp(NOW),
        "count": 1,
    }


async def test_get_and_watch(kubectl: Kubectl) -> None:
    add(kubectl.store, "a", node="n1")
    async with kubectl.running("get", "pods", "--watch") as printed:

        async def row() -> list[str]:
            return (await printed.readline()).decode().split()

        assert (await row())[0] == "NAME"
        assert (await row())[:3] == ["a", "0/1", "Pending"]
        _state(kubectl.store, "a", "Running", running={"startedAt": timestamp(NOW)})
        assert (await row())[:3] == ["a", "1/1", "Running"]
        kubectl.store.delete(PODS, NAMESPACE, "a")
        assert (await row())[:3] == ["a", "1/1", "Terminating"]


async def test_describe(kubectl: Kubectl) -> None:
    add(kubectl.store, "a", node="n1")
    uid = kubectl.store.get(PODS, NAMESPACE, "a")["metadata"]["uid"]
    kubectl.store.create(EVENTS, NAMESPACE, _event("a", uid))
    kubectl.store.create(EVENTS, NAMESPACE, _event("a", "of a Pod of that name before it"))
    printed = await kubectl("describe", "pod", "a")
    assert "Status:           Pending" in printed
    assert printed.count("SessionCollected") == 1
    kubectl.store.create(DEPLOYMENTS, NAMESPACE, {"metadata": {"name": "containerssh"}, "spec": SPEC})
    assert "1 desired | 0 updated" in await kubectl("describe", "deployment", "containerssh")


async def test_create_annotate_label_and_edit_by_patch(kubectl: Kubectl) -> None:
    manifest = {"apiVersion": "v1", "kind": "Pod"} | pod("a")
    assert await kubectl("create", "-f", "-", stdin=manifest) == "pod/a created\n"
    assert "AlreadyExists" in await kubectl("create", "-f", "-", stdin=manifest, status=1)
    assert await kubectl("annotate", "pod", "a", "ssh-session-gc/keep=true") == "pod/a annotated\n"
    assert await kubectl("label", "pod", "a", "x=y") == "pod/a labeled\n"
    metadata = kubectl.store.get(PODS, NAMESPACE, "a")["metadata"]
    assert metadata["annotations"] == {"ssh-session-gc/keep": "true"}
    assert metadata["labels"] == {"x": "y"}
    assert await kubectl("annotate", "pod", "a", "ssh-session-gc/keep-") == "pod/a annotated\n"
    assert not kubectl.store.get(PODS, NAMESPACE, "a")["metadata"].get("annotations")


async def test_apply_and_scale(kubectl: Kubectl) -> None:
    manifest: Object = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": SPEC}
    assert await kubectl("apply", "-f", "-", stdin=manifest) == "deployment.apps/d created\n"
    assert await kubectl("apply", "-f", "-", stdin=manifest) == "deployment.apps/d unchanged\n"
    containers = [{"name": "containerssh", "image": "containerssh:2"}, {"name": "sidecar", "image": "sidecar:1"}]
    template = SPEC["template"] | {"spec": {"containers": containers}}
    changed = manifest | {"spec": SPEC | {"template": template}}
    assert await kubectl("apply", "-f", "-", stdin=changed) == "deployment.apps/d configured\n"
    assert await kubectl("scale", "deployment", "d", "--replicas=3") == "deployment.apps/d scaled\n"
    await kubectl("rollout", "restart", "deployment/d")
    spec = kubectl.store.get(DEPLOYMENTS, NAMESPACE, "d")["spec"]
    assert spec["replicas"] == 3
    assert "kubectl.kubernetes.io/restartedAt" in spec["template"]["metadata"]["annotations"]
    assert [each["image"] for each in spec["template"]["spec"]["containers"]] == ["containerssh:2", "sidecar:1"]


async def test_delete_waits_until_the_pod_is_gone(kubectl: Kubectl) -> None:
    loop, seen = asyncio.get_running_loop(), []

    def kubelet(change: Change) -> None:
        metadata = change.object["metadata"]
        if change.type == "MODIFIED" and metadata.get("deletionGracePeriodSeconds"):
            seen.append(metadata["deletionGracePeriodSeconds"])
            loop.call_later(0.2, lambda: kubectl.store.delete(PODS, NAMESPACE, metadata["name"], grace=0))

    kubectl.store.subscribe(kubelet)
    add(kubectl.store, "a", "b", node="n1")
    assert "deleted" in await kubectl("delete", "pod", "a", "--grace-period=7")
    assert [obj["metadata"]["name"] for obj in kubectl.store.list(PODS)] == ["b"]
    assert "deleted" in await kubectl("delete", "pod", "b", "--dry-run=server")
    assert len(kubectl.store.list(PODS)) == 1
    await kubectl("delete", "pods", "--all")
    assert (kubectl.store.list(PODS), seen) == ([], [7, 30])


async def test_auth_can_i(tmp_path: Path) -> None:
    roles = {"gc": [PolicyRule(("list",), ("pods",), namespace=NAMESPACE)]}
    # kubectl sends a token over TLS only.
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with serving(tokens={"secret": Identity("gc")}, roles=roles, tls=tls) as client:
        kubectl = Kubectl(client, tmp_path, "--token=secret", f"--certificate-authority={tmp_path}/ca.pem")
        assert await kubectl("auth", "can-i", "list", "pods") == "yes\n"
        assert await kubectl("auth", "can-i", "delete", "pods", status=1) == "no\n"
        assert 'cannot list resource "pods"' in await kubectl("get", "pods", "-A", status=1)

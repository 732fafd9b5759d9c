"""The collector as the chart installs it: its account, its permissions and its settings, on either server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.chart import charts
from tests.conformance.clusters import Cluster, Object, pod
from tests.harness import Running, running

QUICK = {"ownerGrace": "1s", "startTimeout": "4s", "finishedGrace": "1s", "leaderElect": False}
"""Limits that a test can wait for where time cannot be skipped."""
SESSION = {"containerssh.io/session": "true"}


def documents(cluster: Cluster, **config: Any) -> list[Object]:
    """The objects of the chart for this cluster's two namespaces."""
    named = {"sessionNamespace": cluster.sessions, "owner": f"deployment/{cluster.owners}/containerssh"}
    return charts.render({"config": named | QUICK | config, "replicas": 1})


async def install(cluster: Cluster, **config: Any) -> str:
    """Puts the chart's permissions in force. Returns a token of the collector's account."""
    await cluster.grant(documents(cluster, **config))
    return await cluster.token(charts.NAMESPACE, charts.RELEASE)


@asynccontextmanager
async def collecting(cluster: Cluster, tmp_path: Path, name: str = "gc", **config: Any) -> AsyncIterator[Running]:
    """Runs the daemon with these settings and no other permission than the chart grants."""
    token = await install(cluster, **config)
    settings = charts.settings(charts.container(documents(cluster, **config)))
    kubeconfig = cluster.kubeconfig(tmp_path / name, token)
    async with running(cluster.url, tmp_path, settings, kubeconfig=kubeconfig) as gc:
        await cluster.until(lambda: not any(source.out_of_sync for source in gc.daemon.cluster.sources), "in step")
        await cluster.until(lambda: gc.api.time.sure, "sure of the time")
        yield gc


async def deploy(cluster: Cluster) -> str:
    """Creates ContainerSSH's Deployment and one running Pod of it. Returns the Pod's path."""
    labels, container = {"app": "containerssh"}, {"name": "containerssh", "image": "containerssh:1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    path = f"/apis/apps/v1/namespaces/{cluster.owners}/deployments"
    await cluster.do("POST", path, {"metadata": {"name": "containerssh"}, "spec": spec})
    return await owner(cluster, "containerssh-0")


async def owner(cluster: Cluster, name: str) -> str:
    """Creates another running Pod of the Deployment. Returns its path."""
    made = pod(name, node="n", labels={"app": "containerssh"})
    made["spec"]["containers"][0]["name"] = "containerssh"
    await cluster.do("POST", cluster.owner_pods, made)
    await cluster.start(f"{cluster.owner_pods}/{name}")
    return f"{cluster.owner_pods}/{name}"


async def session(cluster: Cluster, user: str, *, start: bool = True, **annotations: str) -> str:
    """Creates a session of this user. Returns its path. Underscores in annotations stand for dashes."""
    notes = {f"ssh-session-gc/{key.replace('_', '-')}": value for key, value in annotations.items()}
    labels = SESSION | {"containerssh_username": user}
    await cluster.add(user, node="n", labels=labels, annotations=notes)
    path = f"{cluster.pods}/{user}"
    if start:
        await cluster.start(path)
    return path

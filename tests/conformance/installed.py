"""The collector as the chart installs it: its account, its permissions and its settings, on either server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tests.builders import new_pod
from tests.chart import charts
from tests.conformance.clusters import AnyCluster, Object
from tests.harness import Running, running

QUICK = {"ownerGrace": "1s", "startTimeout": "4s", "finishedGrace": "1s", "leaderElect": False}
"""Limits that a test can wait for where time cannot be skipped."""
_CONNECTIONS = count(1)


def documents(cluster: AnyCluster, **config: Any) -> list[Object]:
    """What is installed for this cluster's two namespaces."""
    named = {"sessionNamespace": cluster.sessions, "owner": f"deployment/{cluster.owners}/containerssh"}
    return charts.render({"config": named | QUICK | config, "replicas": 1})


async def install(cluster: AnyCluster, **config: Any) -> str:
    """Puts the chart's permissions in force; the token of the collector's account."""
    await cluster.grant(documents(cluster, **config))
    return await cluster.token(charts.NAMESPACE, charts.RELEASE)


@asynccontextmanager
async def collecting(cluster: AnyCluster, tmp_path: Path, name: str = "gc", **config: Any) -> AsyncIterator[Running]:
    """Runs the daemon with these settings and no other permission than the chart grants."""
    token = await install(cluster, **config)
    settings = charts.settings(charts.container(documents(cluster, **config)))
    kubeconfig = cluster.kubeconfig(tmp_path / name, token)
    async with running(cluster.url, tmp_path, settings, kubeconfig=kubeconfig) as gc:
        await cluster.until(lambda: not any(source.out_of_sync for source in gc.daemon.cluster.sources), "in step")
        await cluster.until(lambda: gc.api.time.sure, "sure of the time")
        yield gc


async def deploy(cluster: AnyCluster) -> str:
    """ContainerSSH's Deployment and one running Pod of it, whose path this gives."""
    labels, container = {"app": "containerssh"}, {"name": "containerssh", "image": "containerssh:1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    path = f"/apis/apps/v1/namespaces/{cluster.owners}/deployments"
    await cluster.do("POST", path, {"metadata": {"name": "containerssh"}, "spec": spec})
    return await owner(cluster, "containerssh-0")


async def owner(cluster: AnyCluster, name: str) -> str:
    """Another running Pod of the Deployment."""
    made = new_pod(name, node="n", labels={"app": "containerssh"})
    made["spec"]["containers"][0]["name"] = "containerssh"
    await cluster.do("POST", cluster.owner_pods, made)
    await cluster.start(f"{cluster.owner_pods}/{name}")
    return f"{cluster.owner_pods}/{name}"


async def session(cluster: AnyCluster, user: str, *, start: bool = True, **annotations: str) -> str:
    """A session of this user's, whose path this gives. Underscores in annotations stand for dashes."""
    notes = {f"ssh-session-gc/{key.replace('_', '-')}": value for key, value in annotations.items()}
    labels = {"containerssh_connection_id": f"{next(_CONNECTIONS):032x}", "containerssh_username": user}
    # A name that Kubernetes did not make would be a persistent session's.
    name = f"{user}-bcdfg"
    await cluster.add(name, node="n", labels=labels, annotations=notes, generateName=f"{user}-")
    path = f"{cluster.pods}/{name}"
    if start:
        await cluster.start(path)
    return path

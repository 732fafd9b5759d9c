"""Deployments: scaled, rolled out, repaired and deleted, over the API where kubectl would be."""

import json
from typing import Any

import aiohttp

from ssh_session_gc.sandbox import World
from ssh_session_gc.sandbox.api.objects import DEPLOYMENTS, PODS, Object
from tests.sandbox.worlds import owner_pods, ready
from tests.support import advance

DEPLOYMENT = "/apis/apps/v1/namespaces/containerssh/deployments/containerssh"


async def patched(http: aiohttp.ClientSession, path: str, change: object) -> None:
    """Patches an object as kubectl does."""
    kind = {"Content-Type": "application/strategic-merge-patch+json"}
    async with http.patch(path, data=json.dumps(change), headers=kind) as response:
        assert response.status == 200, await response.text()


def counts(world: World) -> dict[str, Any]:
    """The numbers in the Deployment's status."""
    status = world.store.get(DEPLOYMENTS, "containerssh", "containerssh")["status"]
    return {name: value for name, value in status.items() if name != "conditions"}


def names(pods: list[Object]) -> set[str]:
    return {pod["metadata"]["name"] for pod in pods}


async def test_a_deployment_can_be_scaled_over_the_api() -> None:
    async with World() as world, aiohttp.ClientSession(world.url) as http:
        world.deploy(1)
        await ready(world, 1)
        await patched(http, f"{DEPLOYMENT}/scale", {"spec": {"replicas": 3}})
        await ready(world, 3)
        assert counts(world) == {
            "observedGeneration": 2,
            "replicas": 3,
            "updatedReplicas": 3,
            "readyReplicas": 3,
            "availableReplicas": 3,
            "terminatingReplicas": 0,
        }
        await patched(http, f"{DEPLOYMENT}/scale", {"spec": {"replicas": 0}})
        await advance(0.1)
        assert counts(world) == {"observedGeneration": 3, "terminatingReplicas": 3}
        await advance(3)
        assert owner_pods(world) == []


async def test_a_rollout_starts_the_new_before_it_ends_the_old() -> None:
    async with World() as world, aiohttp.ClientSession(world.url) as http:
        world.deploy(2, drain=5)
        await ready(world, 2)
        old = names(owner_pods(world))
        served = []
        world.store.subscribe(lambda _: served.append(counts(world).get("readyReplicas", 0)))
        restarted = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-23T03:00:00Z"}}}
        await patched(http, DEPLOYMENT, {"spec": {"template": restarted}})
        await advance(0.1)
        assert len(owner_pods(world)) == 3
        await advance(12)
        assert min(served) == 2
        assert len(owner_pods(world)) == 2
        assert not old & names(owner_pods(world))


async def test_a_pod_that_is_deleted_or_ends_is_replaced() -> None:
    async with World() as world:
        world.deploy(2)
        await ready(world, 2)
        first, second = owner_pods(world)
        world.store.delete(PODS, "containerssh", first["metadata"]["name"])
        await advance(5)
        assert len(owner_pods(world)) == 2
        assert second["metadata"]["name"] in names(owner_pods(world))
        assert first["metadata"]["name"] not in names(owner_pods(world))


async def test_a_deployment_takes_its_pods_along_and_its_namesake_owns_none_of_them() -> None:
    async with World() as world:
        world.deploy(1, drain=10)
        await ready(world)
        old = owner_pods(world)[0]["metadata"]
        world.delete_deployment()
        world.deploy(1)
        await advance(3)
        new = next(pod["metadata"] for pod in owner_pods(world) if pod["metadata"]["name"] != old["name"])
        assert new["ownerReferences"][0]["uid"] != old["ownerReferences"][0]["uid"]
        assert new["labels"]["app"] == old["labels"]["app"] == "containerssh"
        await advance(10)
        assert len(owner_pods(world)) == 1

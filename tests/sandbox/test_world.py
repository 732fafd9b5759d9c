"""The simulated cluster as a whole: driven over its API, repeatable, and gone without a trace."""

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from ssh_session_gc.sandbox import Identity, World
from ssh_session_gc.sandbox.api.objects import DEPLOYMENTS, PODS, Change, Object
from tests.sandbox.worlds import owner_pods, ready
from tests.support import advance, eventually

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


async def story(seed: int) -> list[tuple[str, ...]]:
    """What was made in a little story, in order."""
    made: list[tuple[str, ...]] = []

    def heard(change: Change) -> None:
        # How many changes follow depends on which timers fire in the same turn, so on real time.
        if change.type == "ADDED":
            metadata = change.object["metadata"]
            told = metadata["uid"], metadata["name"], metadata.get("labels"), metadata.get("annotations")
            made.append(tuple(map(str, told)))

    async with World(seed=seed, nodes=2, stamp=True) as world:
        world.store.subscribe(heard)
        world.deploy(2)
        await ready(world, 2)
        for user in ("ann", "bob", "cyd"):
            world.open(user)
            await advance(5)
        world.crash()
        await advance(5)
        world.scale(3)
        await advance(5)
        world.open("dan")
    return made


async def test_one_seed_makes_one_cluster() -> None:
    first, second, other = await story(7), await story(7), await story(8)
    assert len(first) == 8
    assert first == second
    assert not {each[0] for each in first} & {each[0] for each in other}


async def test_the_clock_can_be_set() -> None:
    async with World(began=1_800_000_000.0) as world:
        assert world.store.now() == pytest.approx(1_800_000_000.0, abs=0.5)
        await advance(3600)
        world.clock_offset = -1800.0
        assert world.store.now() == pytest.approx(1_800_001_800.0, abs=0.5)


async def test_nothing_is_left_running() -> None:
    before = asyncio.all_tasks()
    async with World(nodes=2) as world:
        world.deploy(2)
        await ready(world, 2)
        for user in ("ann", "bob"):
            world.open(user)
        world.open("cyd", image="example/shell:missing")
        await advance(2)
        world.cut_off("node1")
        world.scale(1)
        async with aiohttp.ClientSession(world.url) as http:
            response = await http.get("/api/v1/pods?watch=1")
            await eventually(lambda: world.server.watches == 1, "a watch")
            response.close()
            await eventually(lambda: world.server.watches == 0, "its end")
    assert asyncio.all_tasks() == before


async def test_it_speaks_tls_and_asks_for_a_token(tmp_path: Path) -> None:
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with World(tls=server, tokens={"secret": Identity("ann", ("system:masters",))}) as world:
        path = world.kubeconfig(
            tmp_path / "kubeconfig", token="secret", certificate_authority=str(tmp_path / "ca.pem")
        )
        written = json.loads(path.read_text())
        assert written["clusters"][0]["cluster"]["server"].startswith("https://127.0.0.1:")
        assert path.stat().st_mode & 0o777 == 0o600
        async with aiohttp.ClientSession(world.url, connector=aiohttp.TCPConnector(ssl=client)) as http:
            for token, status in (("secret", 200), ("wrong", 401)):
                async with http.get("/api/v1/pods", headers={"Authorization": f"Bearer {token}"}) as response:
                    assert response.status == status
            await asyncio.sleep(0)

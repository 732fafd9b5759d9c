"""ContainerSSH's metrics: what a process counts, and when its port answers. Held to the recordings."""

import asyncio
import json

import aiohttp
import pytest

from ssh_session_gc.sandbox import World
from ssh_session_gc.sandbox.api.objects import NAMESPACES, PODS
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.containerssh.metrics import OPEN_METRICS, Counts, Page
from tests.sandbox.containerssh.stories import REAL, codes
from tests.sandbox.worlds import owner_pods, ready
from tests.support import advance, eventually


def test_every_text_is_one_of_the_recordings() -> None:
    lines = [json.loads(line) for line in (REAL / "real-life.jsonl").read_text().splitlines()]
    recorded = [line["text"] for line in lines if line.get("stream") == "owner-metrics"]
    counts = Counts()
    texts = [counts.text()]
    for come, gone in ((2, 0), (1, 0), (0, 1), (1, 0), (0, 1), (0, 1)):
        for _ in range(come):
            counts.came()
        for _ in range(gone):
            counts.went()
        texts.append(counts.text())
    # The recorder has cut off the end, with what else ContainerSSH counts.
    assert texts == [f"{text}\n# EOF\n" for text in recorded]


async def test_a_connection_counts_from_before_its_pod_until_before_its_deletion() -> None:
    async with World(metrics_port=0) as world:
        world.deploy()
        await ready(world)
        assert await gauge(world) is None
        session = world.open("ann", image="example/shell:missing")
        assert await gauge(world) == 1
        world.close(session)
        assert await gauge(world) == 0
        late = world.open("bob", image="example/shell:missing")
        await advance(59)
        assert await gauge(world) == 1
        await advance(2)
        assert await gauge(world) == 0
        assert late.given_up
        world.store.delete(NAMESPACES, None, "ssh-sessions")
        with pytest.raises(Refusal):
            world.open("carol")
        assert await gauge(world) == 0


async def test_who_only_opens_the_port_counts_as_a_connection() -> None:
    async with World(metrics_port=0) as world:
        world.deploy()
        await ready(world)
        world.probe()
        assert 'connections_total{country="XX"} 1.000000' in (await scrape(world))[2]
        assert await gauge(world) == 0
        assert world.containerssh.sessions == {}


async def test_who_is_thrown_out_of_a_pod_counts_no_longer() -> None:
    async with World(metrics_port=0) as world:
        world.deploy()
        await ready(world)
        taken, pending = world.open("ann"), world.open("bob", image="example/shell:missing")
        await advance(3)
        for session in (taken, pending):
            world.store.delete(PODS, "ssh-sessions", session.name)
        await advance(5)
        assert (taken.gone, pending.gone, await gauge(world)) == (True, True, 1)
        assert codes(taken)[-4:-2] == ["SSH_EXIT", "SSH_DISCONNECTED"]
        # ContainerSSH waits for a Pod even when it is gone.
        await advance(60)
        assert await gauge(world) == 0
        assert codes(pending)[-1] == "SSH_DISCONNECTED"


async def test_every_pod_of_containerssh_has_an_address_of_its_own() -> None:
    async with World(metrics_port=0, nodes=2) as world, World(metrics_port=0) as other:
        assert world.metrics_port != other.metrics_port
        world.deploy(3, sidecar=True)
        await ready(world, 3)
        world.open("ann", replica=1)
        found = [pod["status"]["podIP"] for pod in owner_pods(world)]
        assert len(set(found)) == 3
        assert all(address.startswith("127.1.") for address in found)
        told = [await gauge(world, n) for n in range(3)]
        assert sorted(told, key=str) == [1, None, None]


async def test_a_port_that_somebody_else_has_is_refused() -> None:
    async with World(metrics_port=0) as world:
        with pytest.raises(OSError, match="in use"):
            async with World(metrics_port=world.metrics_port):
                pass


async def test_without_a_port_nothing_is_served() -> None:
    async with World() as world:
        world.deploy()
        await ready(world)
        assert world.metrics_port is None
        assert owner_pods(world)[0]["status"]["podIP"].startswith("10.")


async def test_a_process_counts_anew_and_its_port_is_closed_while_none_runs() -> None:
    async with World(metrics_port=0) as world:
        world.deploy(drain=5)
        await ready(world)
        world.open("ann")
        await advance(3)
        address = owner_pods(world)[0]["status"]["podIP"]
        for _ in range(2):
            world.crash()
            await advance(0.05)
        await advance(2)
        with pytest.raises(aiohttp.ClientConnectorError):
            await gauge(world)
        await advance(10)
        assert owner_pods(world)[0]["status"]["podIP"] == address
        assert await gauge(world) is None
        world.scale(0)
        await advance(1)
        assert len(world.containerssh.replicas) == 1
        with pytest.raises(aiohttp.ClientConnectorError):
            await gauge(world)


async def test_nothing_comes_from_a_node_that_is_cut_off() -> None:
    async with World(metrics_port=0) as world:
        world.deploy()
        await ready(world)
        world.open("ann")
        world.cut_off()
        asked = asyncio.create_task(gauge(world))
        await advance(5)
        assert not asked.done()
        world.heal()
        assert await asked == 1
        world.kill_node()
        asked = asyncio.create_task(gauge(world))
        await advance(5)
        assert not asked.done()
        asked.cancel()


async def test_a_process_that_restarts_unseen_has_the_port_once_its_node_is_back() -> None:
    async with World(metrics_port=0) as world:
        world.deploy()
        await ready(world)
        world.open("ann")
        world.cut_off()
        for _ in range(3):
            world.crash()
            await advance(30)
        world.heal()
        await advance(5)
        assert await gauge(world) is None


async def test_a_port_says_what_it_is_told_to_say() -> None:
    async with World(metrics_port=0) as world:
        world.deploy()
        await ready(world)
        process = world.containerssh.replicas[0].process
        world.gauge_says(process, Page("<html>", 502, "text/html"))
        assert await scrape(world) == (502, "text/html", "<html>")
        world.gauge_says(process, Page(status=302, location="http://example.com/"))
        assert (await scrape(world))[0] == 302
        world.gauge_says(process, "reset")
        with pytest.raises(aiohttp.ClientConnectionError):
            await scrape(world)
        world.gauge_says(process, "hang")
        asked = asyncio.create_task(scrape(world))
        await advance(60)
        assert not asked.done()
        asked.cancel()
        world.gauge_says(process, None)
        assert await scrape(world) == (200, OPEN_METRICS, Counts().text())
        world.crash()
        with pytest.raises(LookupError):
            world.gauge_says(process, None)
        await eventually(lambda: len(world.containerssh.replicas) == 1, "a restart")


async def scrape(world: World, pod: int = 0) -> tuple[int, str, str]:
    """What a Pod's port answers: status, type and text."""
    url = f"http://{owner_pods(world)[pod]['status']['podIP']}:{world.metrics_port}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url, allow_redirects=False) as response:
        return response.status, response.headers["Content-Type"], await response.text()


async def gauge(world: World, pod: int = 0) -> float | None:
    """How many connections a Pod's port tells of; None where it has no sample."""
    lines = (await scrape(world, pod))[2].splitlines()
    told = [line.split()[1] for line in lines if line.startswith("containerssh_ssh_current_connections{")]
    return float(told[0]) if told else None

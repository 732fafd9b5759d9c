"""The simulated cluster as a whole: repeatable, with a clock that can be set, and gone without a trace."""

import asyncio
import json
import ssl
from pathlib import Path

import aiohttp
import pytest
import trustme

from ssh_session_gc.sandbox import Identity, World
from ssh_session_gc.sandbox.api.objects import Change
from tests.sandbox.worlds import ready
from tests.support import advance, eventually


async def story(seed: int) -> list[tuple[str, ...]]:
    """The objects made in a little story, in order."""
    made: list[tuple[str, ...]] = []

    def heard(change: Change) -> None:
        # The number of later changes depends on which timers fire in one turn, and so on real time.
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

"""A recording served again: the same objects and events, each at its time."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ssh_session_gc.sandbox import Replay
from ssh_session_gc.sandbox.api.objects import PODS
from tests.sandbox.api.serving import Lines
from tests.support import advance, eventually

RECORDINGS = sorted((Path(__file__).parents[1] / "data" / "recordings").glob("*.jsonl"))
PATHS = {
    "deployment": "/apis/apps/v1/namespaces/containerssh/deployments",
    "owner-pods": "/api/v1/namespaces/containerssh/pods",
    "session-pods": "/api/v1/namespaces/ssh-sessions/pods",
}
SESSIONS = PATHS["session-pods"]
REAL = Path(__file__).parents[1] / "data" / "recordings" / "real"
CRASH = next(path for path in RECORDINGS if path.stem == "crash")


def recorded(path: Path) -> list[dict[str, Any]]:
    """The lines of a recording."""
    return [json.loads(line) for line in path.read_text().splitlines()]


async def listed(http: aiohttp.ClientSession, path: str) -> dict[str, Any]:
    """The answer to a list."""
    async with http.get(path) as response:
        answer: dict[str, Any] = await response.json()
        return answer


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
async def test_lists_and_watches_are_what_was_recorded(path: Path) -> None:
    lines = recorded(path)
    async with Replay(path) as replay, aiohttp.ClientSession(replay.server.url) as http:
        for stream, where in PATHS.items():
            told = next(line["list"] for line in lines if line.get("stream") == stream and "list" in line)
            served = await listed(http, where)
            assert served["items"] == told["items"]
            assert served["metadata"]["resourceVersion"] == told["metadata"]["resourceVersion"]
        await advance(replay.length + 1)
        for stream, where in PATHS.items():
            start = next(line["list"] for line in lines if line.get("stream") == stream and "list" in line)
            events = [line["event"] for line in lines if line.get("stream") == stream and "event" in line]
            since = f"watch=1&timeoutSeconds=5&resourceVersion={start['metadata']['resourceVersion']}"
            async with http.get(f"{where}?{since}") as response:
                watch = Lines(response)
                for event in events:
                    if event["type"] != "BOOKMARK":
                        assert await watch.next() == event
        versions = [int(line["event"]["object"]["metadata"]["resourceVersion"]) for line in lines if "event" in line]
        assert (await listed(http, SESSIONS))["metadata"]["resourceVersion"] == str(max(versions))


async def test_an_event_comes_at_its_time() -> None:
    async with Replay(CRASH) as replay:
        await advance(0.5)
        assert replay.sessions() == []
        await advance(0.5)
        assert [pod["metadata"]["labels"]["containerssh_username"] for pod in replay.sessions()] == ["alice"]
        assert replay.store.now() == pytest.approx(replay.began + 1, abs=0.3)


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
async def test_the_stamp_can_be_left_out(path: Path) -> None:
    async with Replay(path, strip_stamp=True) as replay:
        await advance(replay.length + 1)
        annotations = [pod["metadata"].get("annotations", {}) for pod in replay.sessions()]
    assert all("containerssh_ip" in each for each in annotations)
    assert not any(key.startswith("ssh-session-gc/") for each in annotations for key in each)


async def test_what_is_deleted_stays_terminating_and_the_recording_says_no_more_of_it() -> None:
    async with Replay(CRASH) as replay, aiohttp.ClientSession(replay.server.url) as http:
        await advance(1.4)
        alice = replay.sessions()[0]["metadata"]
        async with http.patch(
            f"{SESSIONS}/{alice['name']}",
            data='{"metadata": {"annotations": {"a": "b"}}}',
            headers={"Content-Type": "application/merge-patch+json"},
        ) as response:
            assert response.status == 200
        assert replay.deleted == {}
        async with http.delete(f"{SESSIONS}/{alice['name']}") as response:
            assert response.status == 200
        at = replay.store.now()
        await advance(20)
        kept = {pod["metadata"]["uid"]: pod for pod in replay.sessions()}
        assert replay.deleted == {alice["uid"]: pytest.approx(at, abs=0.3)}
        assert "deletionTimestamp" in kept[alice["uid"]]["metadata"]
        # Her Pod was still being created; in the recording it runs a moment later.
        assert kept[alice["uid"]]["status"]["phase"] == "Pending"
        assert len(kept) == 4
        versions = [int(pod["metadata"]["resourceVersion"]) for pod in kept.values()]
        assert len(set(versions)) == len(versions)
        assert max(versions) <= replay.store.rv


@pytest.mark.parametrize(
    ("text", "complaint"), [("", "no recording"), ("nonsense\n", "Expecting value"), ('{"t": 0}\n', "no recording")]
)
async def test_what_is_no_recording_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "none.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        Replay(path)


async def test_nothing_is_left_running() -> None:
    replay = Replay(CRASH)
    async with replay, aiohttp.ClientSession(replay.server.url) as http:
        response = await http.get(f"{SESSIONS}?watch=1")
        await eventually(lambda: replay.server.watches == 1, "a watch")
        response.close()
    assert replay.server.watches == 0


async def test_logs_and_metrics_are_served_as_recorded() -> None:
    lines = [line for line in recorded(REAL / "real-crash.jsonl") if line.get("stream") == "owner-log"]
    async with Replay(REAL / "real-crash.jsonl", metrics_port=0) as replay:
        owners = _owners(replay)
        crashed, other = sorted(owners)
        assert owners[crashed] != owners[other]
        assert all(ip.startswith("127.1.") for ip in owners.values())
        async with aiohttp.ClientSession(replay.server.url) as http:

            async def log(query: str = "") -> tuple[int, list[str]]:
                where = f"{PATHS['owner-pods']}/{crashed}/log?container=containerssh&timestamps=true&{query}"
                async with http.get(where) as response:
                    return response.status, (await response.text()).splitlines()

            def told(count: int, until: float) -> list[str]:
                return [
                    line["line"]
                    for line in lines
                    if (line["pod"], line["restartCount"]) == (crashed, count)
                    and "line" in line
                    and line["t"] <= until
                ]

            follower = asyncio.create_task(log("follow=true"))
            await advance(5)
            assert await log() == (200, told(0, 5))
            assert (await log("previous=true"))[0] == 400
            for pod in owners:
                kind, text = await _scraped(replay, owners[pod])
                assert kind.startswith("text/plain")
                connections = {crashed: 2, other: 1}[pod]
                assert f'containerssh_ssh_current_connections{{country="XX"}} {connections}.000000\n' in text
            await advance(7)
            assert await follower == (200, told(0, 12))
            assert await log() == (200, told(1, 12))
            assert await log("previous=true") == (200, told(0, 12))
            with pytest.raises(aiohttp.ClientConnectionError):
                await _scraped(replay, owners[crashed])
            assert "connections_total" in (await _scraped(replay, owners[other]))[1]
        assert _owners(replay) == owners


def _owners(replay: Replay) -> dict[str, str]:
    """The owner Pods' addresses."""
    pods = replay.store.list(PODS, "containerssh")
    assert all(pod["status"]["podIPs"] == [{"ip": pod["status"]["podIP"]}] for pod in pods)
    return {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in pods}


async def _scraped(replay: Replay, address: str) -> tuple[str, str]:
    """The type and the text of a Pod's metrics."""
    url = f"http://{address}:{replay.metrics_port}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        return response.headers["Content-Type"], await response.text()


@pytest.mark.parametrize("path", sorted(REAL.glob("*.jsonl")), ids=lambda path: path.stem)
async def test_every_recording_with_logs_can_be_served(path: Path) -> None:
    lines = recorded(path)
    async with Replay(path, metrics_port=0) as replay, aiohttp.ClientSession(replay.server.url) as http:
        await advance(replay.length + 1)
        for name in _owners(replay):
            last = max(line["restartCount"] for line in lines if line.get("pod") == name)
            told = [
                line["line"].partition(" ")[2]
                for line in lines
                if (line.get("pod"), line.get("restartCount")) == (name, last) and "line" in line
            ]
            async with http.get(f"{PATHS['owner-pods']}/{name}/log?container=containerssh") as response:
                assert (await response.text()).splitlines() == told

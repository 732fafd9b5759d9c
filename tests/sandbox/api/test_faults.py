"""Faults strike what they are for, as they are told, and nothing else."""

import asyncio
import json

import aiohttp
import pytest

from ssh_session_gc.sandbox import World
from ssh_session_gc.sandbox.api.faults import Fault
from ssh_session_gc.sandbox.api.objects import PODS
from tests.sandbox.api.serving import NAMESPACE, Client, add, pod, serving
from tests.support import advance, eventually, settle

PODS_PATH = f"/api/v1/namespaces/{NAMESPACE}/pods"


async def _status(client: Client, method: str = "GET", path: str = PODS_PATH) -> int:
    return (await client(method, path)).status


@pytest.mark.parametrize(
    ("code", "reason"),
    [(403, "Forbidden"), (429, "TooManyRequests"), (500, "InternalError"), (503, "ServiceUnavailable")],
)
async def test_a_status_with_retry_after(code: int, reason: str) -> None:
    async with serving() as client:
        client.server.faults.add(Fault("status", code=code, retry_after=7, verb="list", resource="pods", times=1))
        answer = await client("GET", PODS_PATH)
        assert (answer.status, answer.headers["Retry-After"], answer.body["reason"]) == (code, "7", reason)
        assert answer.body["details"] == {"retryAfterSeconds": 7}
        assert await _status(client) == 200


async def test_faults_strike_what_they_are_for_until_they_are_used_up_or_lifted() -> None:
    async with serving() as client:
        add(client.store, "a")
        faults = client.server.faults
        twice = faults.add(Fault("status", verb="delete", resource="pods", namespace=NAMESPACE, times=2))
        assert await _status(client, "DELETE", "/api/v1/namespaces/other/pods/a") == 404
        assert [await _status(client), await _status(client, "DELETE", f"{PODS_PATH}/a")] == [200, 500]
        faults.lift(twice)
        always = faults.add(Fault("status", code=503))
        assert [await _status(client, path=path) for path in (PODS_PATH, "/version", PODS_PATH)] == [503, 503, 503]
        faults.lift(always)
        assert await _status(client) == 200
        faults.add(Fault("status"))
        faults.clock_offset = 90.0
        assert (await client("GET", PODS_PATH)).headers["Date"] == "Fri, 15 Jan 2027 08:01:30 GMT"
        faults.clear()
        assert (await client("GET", PODS_PATH)).headers["Date"] == "Fri, 15 Jan 2027 08:00:00 GMT"


async def test_answers_that_break_off() -> None:
    async with serving() as client:
        for fault in (Fault("cut", after_bytes=10), Fault("truncate")):
            client.server.faults.add(fault)
            async with client.session.get(client.server.url + PODS_PATH) as response:
                assert response.status == 200
                with pytest.raises(aiohttp.ClientPayloadError):
                    await response.read()
            client.server.faults.clear()


async def test_an_answer_that_is_no_json() -> None:
    async with serving() as client:
        client.server.faults.add(Fault("malformed", times=1))
        with pytest.raises(json.JSONDecodeError):
            await client("GET", PODS_PATH)


async def test_a_connection_that_is_reset() -> None:
    async with serving() as client:
        client.server.faults.add(Fault("reset"))
        with pytest.raises(aiohttp.ClientConnectionError):
            await client("GET", PODS_PATH)
        # After a lost connection, the client repeats idempotent requests by itself.
        assert [request.code for request in client.server.requests] == [0, 0]


async def test_a_slow_answer() -> None:
    async with serving() as client:
        client.server.faults.add(Fault("slow", seconds=30, times=1))
        asked = asyncio.create_task(_status(client))
        await advance(29)
        assert not asked.done()
        await advance(2)
        assert await asked == 200


async def test_an_answer_that_never_comes() -> None:
    async with serving() as client:
        client.server.faults.add(Fault("stall", verb="list"))
        asked = asyncio.create_task(_status(client))
        await advance(3600)
        assert not asked.done()
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)


async def test_410_as_status_and_as_event() -> None:
    async with serving() as client:
        client.server.faults.add(Fault("gone"))
        assert await _status(client) == 410
        async with client.watch("resourceVersion=2") as lines:
            event = await lines.next()
            assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
            assert await lines.next() is None


async def test_new_watches() -> None:
    async with serving() as client:
        faults = client.server.faults
        add(client.store, "a")
        faults.add(Fault("status", verb="watch", code=500, times=1))
        assert await _status(client, path=f"{PODS_PATH}?watch=1") == 500
        faults.add(Fault("end", verb="watch", times=1))
        async with client.watch(f"resourceVersion={client.store.rv}") as lines:
            assert await lines.next() is None
        for fault in (Fault("cut", after_bytes=50, times=1), Fault("truncate", times=1)):
            faults.add(fault)
            async with client.watch() as lines:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await lines.next()
        faults.add(Fault("malformed", verb="watch", times=1))
        async with client.watch(f"resourceVersion={client.store.rv}") as lines:
            with pytest.raises(json.JSONDecodeError):
                await lines.next()
            add(client.store, "b")
            assert await lines.brief() == ("ADDED", "b")


async def test_running_watches() -> None:
    async with serving() as client:
        faults = client.server.faults
        assert faults.end_watches() == 0
        since = f"resourceVersion={client.store.rv}"
        async with client.watch(since) as lines:
            assert faults.end_watches(resource="deployments") == faults.end_watches(namespace="other") == 0
            assert faults.end_watches(resource="pods", namespace=NAMESPACE) == 1
            assert await lines.next() is None
        async with client.watch(since) as lines:
            faults.expire_watches()
            assert (await lines.next())["object"]["code"] == 410
            assert await lines.next() is None
        async with client.watch(since) as lines:
            faults.garble_watches()
            with pytest.raises(json.JSONDecodeError):
                await lines.next()


@pytest.mark.parametrize("after_bytes", [0, 100])
async def test_a_running_watch_that_is_cut_within_a_line(after_bytes: int) -> None:
    async with serving() as client, client.watch() as lines:
        client.server.faults.cut_watches(resource="pods", after_bytes=after_bytes)
        await settle()
        add(client.store, "a")
        with pytest.raises(aiohttp.ClientPayloadError):
            await lines.next()
        assert lines.response.content.total_bytes == after_bytes
        await eventually(lambda: client.server.watches == 0)


async def test_a_running_watch_that_falls_silent() -> None:
    async with serving() as client, client.watch("allowWatchBookmarks=true&timeoutSeconds=60") as lines:
        assert client.server.faults.stall_watches() == 1
        add(client.store, "a")
        waiting = asyncio.create_task(lines.next())
        await advance(7200)
        assert not waiting.done()  # no event, no bookmark, and no end either
        assert client.server.watches == 1
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_watch_that_lags_tells_everything_late_and_in_order() -> None:
    async with serving() as client:
        since = f"resourceVersion={client.store.rv}&allowWatchBookmarks=true&timeoutSeconds=3600"
        add(client.store, "before")
        client.server.faults.add(Fault("delay", verb="watch", seconds=20, times=1))
        async with client.watch(since) as lagging, client.watch(since) as prompt:
            await eventually(lambda: client.server.watches == 2)
            add(client.store, "after")
            assert [await prompt.brief(), await prompt.brief()] == [("ADDED", "before"), ("ADDED", "after")]
            waiting = asyncio.create_task(lagging.brief())
            await advance(19)
            assert not waiting.done()
            await advance(2)
            assert [await waiting, await lagging.brief()] == [("ADDED", "before"), ("ADDED", "after")]
            # A bookmark must not overtake what happened before it.
            assert client.server.faults.delay_watches(30) == 2
            await advance(30)
            add(client.store, "last")
            await advance(90)
            assert await lagging.brief() == ("ADDED", "last")
            assert (await lagging.next())["type"] == "BOOKMARK"


async def test_a_lagging_watch_that_ends_leaves_out_what_is_late() -> None:
    async with serving() as client:
        since = f"resourceVersion={client.store.rv}"
        async with client.watch(since) as lines:
            await eventually(lambda: client.server.watches == 1)
            client.server.faults.delay_watches(20)
            add(client.store, "a")
            client.server.faults.end_watches()
            add(client.store, "b")
            assert await lines.next() is None
        async with client.watch(since) as lines:
            assert [await lines.brief(), await lines.brief()] == [("ADDED", "a"), ("ADDED", "b")]


async def test_events_that_come_twice() -> None:
    async with serving() as client, client.watch(f"resourceVersion={client.store.rv}") as lines:
        add(client.store, "a")
        client.store.delete(PODS, NAMESPACE, "a")
        seen = [await lines.brief(), await lines.brief(), await lines.brief()]
        assert client.server.faults.repeat_watches() == 1
        assert [await lines.brief(), await lines.brief(), await lines.brief()] == seen
        add(client.store, "b")
        assert await lines.brief() == ("ADDED", "b")


async def test_an_api_server_that_restarts() -> None:
    async with World() as world, aiohttp.ClientSession() as session:
        client = Client(world.server, session)
        path = "/api/v1/namespaces/ssh-sessions/pods"
        before = world.store.rv
        world.store.create(PODS, "ssh-sessions", pod("a"))
        async with client.watch(f"resourceVersion={world.store.rv}&labelSelector=none", path) as lines:
            restarting = asyncio.create_task(world.restart_api(down=10))
            with pytest.raises(aiohttp.ClientPayloadError):
                await lines.next()
        await advance(9)
        with pytest.raises(aiohttp.ClientConnectionError):
            await client("GET", path)
        await advance(3)
        await restarting
        answer = await client("GET", path)
        assert [item["metadata"]["name"] for item in answer.body["items"]] == ["a"]
        async with client.watch(f"resourceVersion={before}", path) as lines:
            assert (await lines.next())["object"]["code"] == 410


async def test_a_kubelet_that_reports_late() -> None:
    async with World() as world:
        world.kubelets["node1"].lag = 20.0
        world.deploy()

        def phase() -> str:
            return str(world.store.list(PODS, "containerssh")[0]["status"]["phase"])

        await advance(15)
        assert (len(world.containerssh.replicas), phase()) == (1, "Pending")
        await advance(7)
        assert phase() == "Running"
        # A Pod that goes before its status is written is no error, and one that ends late is removed late.
        world.store.delete(PODS, "containerssh", world.containerssh.replicas[0].process.pod)
        await advance(15)
        assert [replica.process.terminating.is_set() for replica in world.containerssh.replicas] == [False]
        assert len(world.store.list(PODS, "containerssh")) == 2
        await advance(15)
        assert len(world.store.list(PODS, "containerssh")) == 1

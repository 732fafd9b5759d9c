"""GET, LIST and WATCH where time passes or the past is forgotten: what cannot be done to a real API server."""

import asyncio

import pytest

from tests.sandbox.api.serving import NAMESPACE, add, serving
from tests.support import advance, eventually

PODS_PATH = f"/api/v1/namespaces/{NAMESPACE}/pods"


async def test_a_page_after_compaction_is_gone_and_says_how_to_go_on() -> None:
    async with serving() as client:
        add(client.store, *"abc")
        first = (await client("GET", f"{PODS_PATH}?limit=1")).body
        then = client.store.rv
        add(client.store, "d")
        client.store.compact()
        old = await client("GET", f"{PODS_PATH}?resourceVersion={then}&resourceVersionMatch=Exact")
        assert (old.status, old.body["reason"]) == (410, "Expired")
        gone = await client("GET", f"{PODS_PATH}?limit=1&continue={first['metadata']['continue']}")
        assert (gone.status, gone.body["reason"]) == (410, "Expired")
        rest = (await client("GET", f"{PODS_PATH}?continue={gone.body['metadata']['continue']}")).body
        assert [item["metadata"]["name"] for item in rest["items"]] == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/namespaces/sessions/nonsense", 404),
        ("/apis/apps/v1beta1/deployments", 404),
        ("/api/v1/namespaces/sessions/pods/a/log", 404),
        ("/nonsense", 404),
        ("/openapi/v2", 404),
        ("/healthz", 200),
        ("/readyz", 200),
        ("/api", 200),
        ("/apis", 200),
        ("/apis/apps", 200),
        ("/apis/apps/v1", 200),
        ("/apis/authorization.k8s.io/v1", 200),
        ("/openapi/v3", 200),
        ("/api/v1/namespaces/sessions", 200),
        ("/api/v1/nodes", 200),
    ],
)
async def test_paths(path: str, status: int) -> None:
    async with serving() as client:
        answer = await client("GET", path)
        assert answer.status == status
        assert status == 200 or answer.body["kind"] == "Status"


async def test_bookmarks_come_once_a_minute_to_those_who_ask() -> None:
    async with serving() as client:
        rv = client.store.rv
        async with (
            client.watch(f"resourceVersion={rv}&allowWatchBookmarks=true") as asked,
            client.watch(f"resourceVersion={rv}&timeoutSeconds=130") as unasked,
        ):
            client.store.advance_rv(900)
            await advance(60)
            pod_shape = {"spec": {"containers": None}, "status": {}}
            metadata = {"resourceVersion": "900"}
            bookmark = {"kind": "Pod", "apiVersion": "v1", "metadata": metadata} | pod_shape
            assert await asked.next() == {"type": "BOOKMARK", "object": bookmark}
            await advance(60)
            assert (await asked.next())["type"] == "BOOKMARK"
            await advance(10)
            assert await unasked.next() is None


async def test_a_watch_ends_by_itself_some_time() -> None:
    async with serving() as client, client.watch(f"resourceVersion={client.store.rv}") as lines:
        await advance(1800)
        assert client.server.watches == 1
        await advance(1800)
        assert await lines.next() is None
        assert client.server.watches == 0


async def test_clients_that_leave_are_forgotten() -> None:
    async with serving() as client:
        for _ in range(3):
            async with client.watch():
                assert client.server.watches == 1
            await eventually(lambda: client.server.watches == 0)


async def test_stopping_is_prompt_whoever_watches_and_the_server_can_start_again() -> None:
    loop = asyncio.get_running_loop()
    async with serving() as client, client.watch() as lines, client.watch():
        began = loop.time()
        await client.server.stop()
        assert loop.time() - began < 1
        with pytest.raises(Exception, match="payload is not completed"):
            await lines.next()
        assert client.server.watches == 0
        await client.server.start()
        assert (await client("GET", "/healthz")).body == "ok"


async def test_what_was_asked_is_kept() -> None:
    async with serving() as client:
        await client("GET", f"{PODS_PATH}/a")
        async with client.watch("resourceVersion=2"):
            pass
        asked = [(request.verb, request.resource, request.code) for request in client.server.requests]
        assert asked == [("get", "pods", 404), ("watch", "pods", 200)]

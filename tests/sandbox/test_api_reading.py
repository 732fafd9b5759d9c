"""GET, LIST in pages, and WATCH, over HTTP."""

import asyncio
import json

import pytest

from ssh_session_gc.sandbox.store import DEPLOYMENTS, NAMESPACES, PODS, Store
from tests.sandbox.api import NAMESPACE, Client, Clock, add, pod, serving
from tests.support import advance, eventually

PODS_PATH = f"/api/v1/namespaces/{NAMESPACE}/pods"


async def _names(client: Client, query: str) -> list[str]:
    answer = await client("GET", f"{PODS_PATH}?{query}")
    assert answer.status == 200, answer.body
    return [item["metadata"]["name"] for item in answer.body["items"]]


async def test_pages_are_of_one_moment() -> None:
    async with serving() as client:
        add(client.store, *"abcde")
        first = (await client("GET", f"{PODS_PATH}?limit=2")).body
        assert first["metadata"]["remainingItemCount"] == 3
        client.store.delete(PODS, NAMESPACE, "c")
        add(client.store, "f")
        second = (await client("GET", f"{PODS_PATH}?limit=2&continue={first['metadata']['continue']}")).body
        assert [item["metadata"]["name"] for item in second["items"]] == ["c", "d"]
        assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        last = (await client("GET", f"{PODS_PATH}?limit=2&continue={second['metadata']['continue']}")).body
        assert [item["metadata"]["name"] for item in last["items"]] == ["e"]
        assert "continue" not in last["metadata"]


async def test_a_page_after_compaction_is_gone_and_says_how_to_go_on() -> None:
    async with serving() as client:
        add(client.store, *"abc")
        first = (await client("GET", f"{PODS_PATH}?limit=1")).body
        add(client.store, "d")
        client.store.compact()
        gone = await client("GET", f"{PODS_PATH}?limit=1&continue={first['metadata']['continue']}")
        assert (gone.status, gone.body["reason"]) == (410, "Expired")
        rest = (await client("GET", f"{PODS_PATH}?continue={gone.body['metadata']['continue']}")).body
        assert [item["metadata"]["name"] for item in rest["items"]] == ["b", "c", "d"]


async def test_selectors_choose_what_is_listed() -> None:
    async with serving() as client:
        add(client.store, "a", labels={"x": "1"}, node="n1")
        add(client.store, "b", labels={"x": "2"}, node="n2")
        client.store.create(NAMESPACES, None, {"metadata": {"name": "other"}})
        client.store.create(PODS, "other", pod("c"))
        assert await _names(client, "labelSelector=x in (2,3)") == ["b"]
        assert await _names(client, "fieldSelector=spec.nodeName%3Dn1") == ["a"]
        everywhere = (await client("GET", "/api/v1/pods?fieldSelector=metadata.namespace!=sessions")).body
        assert [item["metadata"]["name"] for item in everywhere["items"]] == ["c"]
        assert "kind" not in everywhere["items"][0]
        bad = await client("GET", f"{PODS_PATH}?fieldSelector=spec.foo%3Dx")
        assert (bad.status, bad.body["message"]) == (400, "field label not supported: spec.foo")


async def test_versions_that_a_list_may_ask_for() -> None:
    async with serving() as client:
        add(client.store, "a")
        then = client.store.rv
        add(client.store, "b")
        assert await _names(client, f"resourceVersion={then}&resourceVersionMatch=Exact") == ["a"]
        assert await _names(client, f"resourceVersion={then}&resourceVersionMatch=NotOlderThan") == ["a", "b"]
        assert await _names(client, f"resourceVersion={then}&limit=5") == ["a"]
        assert await _names(client, "resourceVersion=0") == ["a", "b"]
        for query, status in (
            (f"resourceVersion={then + 100}", 504),
            ("resourceVersion=x", 400),
            ("resourceVersionMatch=Exact", 400),
            ("limit=-1", 400),
            ("continue=eyJ2IjoieCIsInJ2IjoxLCJzdGFydCI6ImEifQ", 400),
            ("continue=%21", 400),
        ):
            assert (await client("GET", f"{PODS_PATH}?{query}")).status == status, query
        client.store.compact()
        assert (await client("GET", f"{PODS_PATH}?resourceVersion={then}&resourceVersionMatch=Exact")).status == 410


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


async def test_the_form_is_negotiated() -> None:
    async with serving() as client:
        add(client.store, "a", node="n")
        table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
        body = (await client("GET", PODS_PATH, headers=table)).body
        assert body["rows"][0]["cells"][:3] == ["a", "0/1", "Pending"]
        assert body["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
        assert body["metadata"]["resourceVersion"] == str(client.store.rv)
        whole = (await client("GET", f"{PODS_PATH}/a?includeObject=Object", headers=table)).body
        assert whole["rows"][0]["object"]["spec"]["nodeName"] == "n"
        partial = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
        assert (await client("GET", PODS_PATH, headers=partial)).body["kind"] == "PartialObjectMetadataList"
        assert (await client("GET", PODS_PATH, headers={"Accept": "text/html"})).status == 406
        async with client.session.get(f"{client.server.url}{PODS_PATH}?watch=1", headers=table) as response:
            event = json.loads(await response.content.readline())
        assert (event["type"], event["object"]["kind"]) == ("ADDED", "Table")


async def test_a_watch_from_nowhere_begins_with_the_present() -> None:
    async with serving() as client:
        add(client.store, "a", "b")
        for query in ("", "resourceVersion=0"):
            async with client.watch(query) as lines:
                assert [await lines.brief(), await lines.brief()] == [("ADDED", "a"), ("ADDED", "b")]
                client.store.delete(PODS, NAMESPACE, "a")
                assert [await lines.brief(), await lines.brief()] == [("MODIFIED", "a"), ("DELETED", "a")]
                add(client.store, "a")
                assert await lines.brief() == ("ADDED", "a")


async def test_a_watch_from_a_version_misses_nothing() -> None:
    async with serving() as client:
        add(client.store, "a")
        async with client.watch(f"resourceVersion={client.store.rv}&timeoutSeconds=9") as lines:
            assert lines.response.headers["Transfer-Encoding"] == "chunked"
            assert lines.response.headers["Date"] == "Fri, 15 Jan 2027 08:00:00 GMT"
            add(client.store, "b")
            assert await lines.brief() == ("ADDED", "b")
        since = client.store.rv
        client.store.delete(PODS, NAMESPACE, "a")
        client.store.create(DEPLOYMENTS, NAMESPACE, {"metadata": {"name": "a"}})
        async with client.watch(f"resourceVersion={since}") as lines:
            event = [await lines.next(), await lines.next()][1]
            assert (event["type"], event["object"]["kind"]) == ("DELETED", "Pod")
            assert event["object"]["metadata"]["resourceVersion"] == str(since + 2)


async def test_what_stops_matching_a_selector_is_deleted_for_the_watch() -> None:
    def label(name: str, value: str) -> None:
        client.store.update(PODS, NAMESPACE, name, lambda obj: obj["metadata"].update(labels={"x": value}))

    async with serving() as client:
        add(client.store, "a", labels={"x": "1"})
        async with client.watch("labelSelector=x%3D1&resourceVersion=0") as lines:
            assert await lines.brief() == ("ADDED", "a")
            label("a", "2")
            left = await lines.next()
            assert left["type"] == "DELETED"
            # What it was, under the version of what it has become.
            assert left["object"]["metadata"]["labels"] == {"x": "1"}
            assert left["object"]["metadata"]["resourceVersion"] == str(client.store.rv)
            label("a", "3")
            client.store.delete(PODS, NAMESPACE, "a")
            add(client.store, "b", labels={"x": "2"})
            label("b", "1")
            assert await lines.brief() == ("ADDED", "b")


async def test_watches_of_other_namespaces_and_fields_see_nothing() -> None:
    async with serving() as client:
        client.store.create(NAMESPACES, None, {"metadata": {"name": "other"}})
        rv = client.store.rv
        async with (
            client.watch(f"resourceVersion={rv}&timeoutSeconds=5", "/api/v1/namespaces/other/pods") as other,
            client.watch(f"resourceVersion={rv}&fieldSelector=metadata.name%3Db", "/api/v1/pods") as field,
        ):
            add(client.store, "a", "b")
            assert await field.brief() == ("ADDED", "b")
            await advance(5)
            assert await other.next() is None


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


async def test_an_object_of_hundreds_of_kilobytes_is_one_line() -> None:
    async with serving(Store(Clock())) as client, client.watch() as lines:
        add(client.store, "a", annotations={"big": "x" * 250_000})
        assert await lines.response.content.readuntil(b"\n") is not None
        assert len(client.store.get(PODS, NAMESPACE, "a")["metadata"]["annotations"]["big"]) == 250_000


async def test_what_was_asked_is_kept() -> None:
    async with serving() as client:
        await client("GET", f"{PODS_PATH}/a")
        async with client.watch("resourceVersion=2"):
            pass
        asked = [(request.verb, request.resource, request.code) for request in client.server.requests]
        assert asked == [("get", "pods", 404), ("watch", "pods", 200)]

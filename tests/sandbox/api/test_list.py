"""Lists where the past is forgotten, which cannot be done to a real API server."""

from tests.sandbox.api.serving import NAMESPACE, add, serving

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

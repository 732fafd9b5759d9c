"""GET, LIST in pages, and WATCH, on which a reflector rests."""

import json
from typing import Any

from tests.builders import new_pod
from tests.conformance.clusters import AnyCluster

POD_LIST = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


async def listed(cluster: AnyCluster, query: str) -> list[str]:
    """The names that a list has."""
    found = await cluster.do("GET", f"{cluster.pods}?{query}")
    return [item["metadata"]["name"] for item in found["items"]]


async def label(cluster: AnyCluster, name: str, value: str) -> None:
    headers = {"Content-Type": "application/merge-patch+json"}
    await cluster.do("PATCH", f"{cluster.pods}/{name}", {"metadata": {"labels": {"x": value}}}, headers=headers)


async def test_pages_are_of_one_moment(cluster: AnyCluster) -> None:
    await cluster.add(*"abcde")
    first = await cluster.do("GET", f"{cluster.pods}?limit=2")
    assert first["metadata"]["remainingItemCount"] == 3
    await cluster.do("DELETE", f"{cluster.pods}/c")
    await cluster.add("f")
    second = await cluster.do("GET", f"{cluster.pods}?limit=2&continue={first['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in second["items"]] == ["c", "d"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    last = await cluster.do("GET", f"{cluster.pods}?limit=2&continue={second['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in last["items"]] == ["e"]
    assert "continue" not in last["metadata"]


async def test_selectors_choose_what_is_listed(cluster: AnyCluster) -> None:
    await cluster.add("a", labels={"x": "1"}, node="n1")
    await cluster.add("b", labels={"x": "2"}, node="n2")
    await cluster.do("POST", cluster.owner_pods, new_pod("c"))
    assert await listed(cluster, "labelSelector=x in (2,3)") == ["b"]
    assert await listed(cluster, "labelSelector=!x") == []
    assert await listed(cluster, "fieldSelector=spec.nodeName%3Dn1") == ["a"]
    everywhere = await cluster.do("GET", f"/api/v1/pods?fieldSelector=metadata.namespace%3D{cluster.owners}")
    assert [item["metadata"]["name"] for item in everywhere["items"]] == ["c"]
    assert "kind" not in everywhere["items"][0]
    bad = await cluster("GET", f"{cluster.pods}?fieldSelector=spec.foo%3Dx")
    assert bad.status == 400
    assert "field label not supported: spec.foo" in bad.body["message"]


async def test_versions_that_a_list_may_ask_for(cluster: AnyCluster) -> None:
    await cluster.add("a")
    then = await cluster.version()
    await cluster.add("b")
    assert await listed(cluster, f"resourceVersion={then}&resourceVersionMatch=Exact") == ["a"]
    assert await listed(cluster, f"resourceVersion={then}&resourceVersionMatch=NotOlderThan") == ["a", "b"]
    assert await listed(cluster, f"resourceVersion={then}&limit=5") == ["a"]
    assert await listed(cluster, "") == ["a", "b"]
    for query, status in (
        ("resourceVersion=x", 400),
        ("resourceVersionMatch=Exact", 422),
        ("continue=eyJ2IjoieCIsInJ2IjoxLCJzdGFydCI6ImEifQ", 400),
        ("continue=%21", 400),
    ):
        answer = await cluster("GET", f"{cluster.pods}?{query}")
        assert answer.status == status, (query, answer.body)


async def test_a_version_that_is_not_yet_is_waited_for_in_vain(cluster: AnyCluster) -> None:
    later = int(await cluster.version()) + 100_000
    for query in (f"resourceVersion={later}", f"resourceVersion={later}&resourceVersionMatch=NotOlderThan"):
        answer = await cluster("GET", f"{cluster.pods}?{query}")
        assert (answer.status, answer.body["reason"]) == (504, "Timeout"), answer.body


async def test_the_form_is_negotiated(cluster: AnyCluster) -> None:
    await cluster.add("a", node="n")
    body = await cluster.do("GET", cluster.pods, headers=TABLE)
    assert body["rows"][0]["cells"][:3] == ["a", "0/1", "Pending"]
    assert body["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    whole = await cluster.do("GET", f"{cluster.pods}/a?includeObject=Object", headers=TABLE)
    assert whole["rows"][0]["object"]["spec"]["nodeName"] == "n"
    assert (await cluster.do("GET", cluster.pods, headers=POD_LIST))["kind"] == "PartialObjectMetadataList"
    assert (await cluster("GET", cluster.pods, headers={"Accept": "text/html"})).status == 406


async def test_a_watch_from_nowhere_begins_with_the_present(cluster: AnyCluster) -> None:
    await cluster.add("a", "b")
    for query in ("", "resourceVersion=0"):
        async with cluster.watch(query) as lines:
            assert [await lines.brief(), await lines.brief()] == [("ADDED", "a"), ("ADDED", "b")]
            await cluster.do("DELETE", f"{cluster.pods}/a")
            assert [await lines.brief(), await lines.brief()] == [("MODIFIED", "a"), ("DELETED", "a")]
            await cluster.add("a")
            assert await lines.brief() == ("ADDED", "a")


async def test_a_watch_from_a_version_misses_nothing(cluster: AnyCluster) -> None:
    await cluster.add("a", node="n")
    async with cluster.watch(f"resourceVersion={await cluster.version()}") as lines:
        assert lines.response.headers["Transfer-Encoding"] == "chunked"
        assert lines.response.headers["Content-Type"] == "application/json"
        assert "Date" in lines.response.headers
        await cluster.add("b")
        assert await lines.brief() == ("ADDED", "b")
    since = await cluster.version()
    await cluster.gone(f"{cluster.pods}/a")
    async with cluster.watch(f"resourceVersion={since}") as lines:
        event: Any = {"type": "MODIFIED"}
        while event["type"] == "MODIFIED":
            event = await lines.next()
        assert (event["type"], event["object"]["kind"]) == ("DELETED", "Pod")
        # The last event has a version of its own, from which a watch can resume.
        assert int(event["object"]["metadata"]["resourceVersion"]) > int(since)


async def test_what_stops_matching_a_selector_is_deleted_for_the_watch(cluster: AnyCluster) -> None:
    await cluster.add("a", labels={"x": "1"})
    async with cluster.watch("labelSelector=x%3D1&resourceVersion=0") as lines:
        assert await lines.brief() == ("ADDED", "a")
        await label(cluster, "a", "2")
        left = await lines.next()
        assert left["type"] == "DELETED"
        # The event has the Pod as it was, under the version of what it has become.
        assert left["object"]["metadata"]["labels"] == {"x": "1"}
        became = await cluster.do("GET", f"{cluster.pods}/a")
        assert left["object"]["metadata"]["resourceVersion"] == became["metadata"]["resourceVersion"]
        await label(cluster, "a", "3")
        await cluster.do("DELETE", f"{cluster.pods}/a")
        await cluster.add("b", labels={"x": "2"})
        await label(cluster, "b", "1")
        assert await lines.brief() == ("ADDED", "b")


async def test_watches_of_other_namespaces_and_fields_see_nothing(cluster: AnyCluster) -> None:
    rv = await cluster.version()
    async with (
        cluster.watch(f"resourceVersion={rv}&timeoutSeconds=2", cluster.owner_pods) as other,
        cluster.watch(f"resourceVersion={rv}&fieldSelector=metadata.name%3Db") as field,
    ):
        await cluster.add("a", "b")
        assert await field.brief() == ("ADDED", "b")
        await cluster.passing(2)
        assert await other.next() is None


async def test_an_object_of_hundreds_of_kilobytes_is_one_line(cluster: AnyCluster) -> None:
    async with cluster.watch(f"resourceVersion={await cluster.version()}") as lines:
        await cluster.add("a", annotations={"big": "x" * 250_000})
        line = json.dumps(await lines.next())
        assert len(line) > 250_000

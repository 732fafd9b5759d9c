"""POST, PUT, PATCH and DELETE, on which a deletion, a lease and an Event rest."""

from typing import Any

import pytest

from tests.builders import new_pod
from tests.conformance.clusters import AnyCluster, Object, Reply

DEPLOYMENT: Object = {
    "metadata": {"name": "d"},
    "spec": {
        "selector": {"matchLabels": {"app": "ssh"}},
        "template": {
            "metadata": {"labels": {"app": "ssh"}},
            "spec": {"containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b"}]},
        },
    },
}


def deployments(cluster: AnyCluster) -> str:
    return f"/apis/apps/v1/namespaces/{cluster.sessions}/deployments"


def leases(cluster: AnyCluster) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{cluster.sessions}/leases"


async def patched(cluster: AnyCluster, kind: str, path: str, patch: Any) -> Reply:
    return await cluster("PATCH", path, patch, headers={"Content-Type": f"application/{kind}+json"})


async def test_who_creates_gets_the_defaults_and_writes_no_status(cluster: AnyCluster) -> None:
    made = await cluster("POST", cluster.pods, new_pod("a") | {"status": {"phase": "Running"}})
    assert (made.status, made.body["status"]) == (201, {"phase": "Pending", "qosClass": "BestEffort"})
    assert made.body["spec"]["restartPolicy"] == "Always"
    deployment = await cluster.do("POST", deployments(cluster), DEPLOYMENT)
    assert (deployment["spec"]["replicas"], deployment["status"]) == (1, {})
    pulls = [each["imagePullPolicy"] for each in deployment["spec"]["template"]["spec"]["containers"]]
    assert pulls == ["IfNotPresent", "Always"]


async def test_bad_bodies_are_refused(cluster: AnyCluster) -> None:
    pods = cluster.pods
    await cluster.add("a")
    for method, path, body, status in (
        ("POST", pods, {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1"}, 400),
        ("POST", pods, ["no object"], 400),
        ("POST", pods, {"metadata": []}, 400),
        ("POST", pods, new_pod("a"), 409),
        ("POST", "/api/v1/namespaces/nowhere/pods", new_pod("a"), 404),
        ("POST", "/api/v1/pods", new_pod("b"), 405),
        ("POST", f"{pods}/a", new_pod("a"), 405),
        ("POST", f"{pods}?dryRun=Some", new_pod("b"), 422),
        ("PUT", f"{pods}/a", new_pod("b"), 400),
        ("DELETE", f"{pods}/a", {"gracePeriodSeconds": "30"}, 400),
        ("OPTIONS", f"{pods}/a", None, 405),
        ("POST", pods, b"{", 400),
    ):
        answer = await cluster(method, path, body)
        assert answer.status == status, (method, path, body, answer.body)
        assert answer.body["code"] == status


async def test_a_put_replaces_all_but_the_status(cluster: AnyCluster) -> None:
    path = f"{cluster.pods}/a"
    await cluster.add("a")
    body = await cluster.do("GET", path)
    body["metadata"]["labels"] = {"x": "y"}
    body["status"] = {"phase": "Failed"}
    put = await cluster.do("PUT", path, body)
    assert (put["metadata"]["labels"], put["status"]["phase"]) == ({"x": "y"}, "Pending")
    stale = await cluster("PUT", path, body)
    assert (stale.status, stale.body["reason"]) == (409, "Conflict")
    body["metadata"]["resourceVersion"] = put["metadata"]["resourceVersion"]
    body["spec"]["nodeName"] = "n"
    status = await cluster.do("PUT", f"{path}/status", body)
    assert (status["status"]["phase"], status["spec"].get("nodeName")) == ("Failed", None)


async def test_merge_patch(cluster: AnyCluster) -> None:
    path = f"{cluster.pods}/a"
    await cluster.add("a", labels={"x": "1", "y": "2"}, finalizers=["example.com/hold"])
    patch = {"metadata": {"labels": {"x": None, "z": "3"}, "annotations": {"k": "v"}, "finalizers": None}}
    body = (await patched(cluster, "merge-patch", path, patch)).body
    assert body["metadata"]["labels"] == {"y": "2", "z": "3"}
    assert body["metadata"]["annotations"] == {"k": "v"}
    assert "finalizers" not in body["metadata"]
    stale = {"metadata": {"resourceVersion": "1", "labels": {"q": "q"}}}
    assert (await patched(cluster, "merge-patch", path, stale)).status == 409
    assert (await patched(cluster, "merge-patch", path, [])).status == 400


async def test_strategic_merge_patch_knows_what_lists_are_keyed_by(cluster: AnyCluster) -> None:
    path = f"{deployments(cluster)}/d"
    await cluster.do("POST", deployments(cluster), DEPLOYMENT)

    async def containers(*patch: Object) -> list[Object]:
        spec = {"template": {"spec": {"containers": list(patch)}}}
        answer = await patched(cluster, "strategic-merge-patch", path, {"spec": spec})
        found: list[Object] = answer.body["spec"]["template"]["spec"]["containers"]
        return [{key: each[key] for key in ("name", "image", "env") if key in each} for each in found]

    a, b = {"name": "a", "image": "a:1"}, {"name": "b", "image": "b"}
    env = [{"name": "K", "value": "1"}]
    assert await containers({"name": "b", "env": env}) == [a, b | {"env": env}]
    more = [{"name": "L", "value": "2"}]
    # Entries that a patch names come first.
    assert await containers({"name": "b", "env": more}) == [a, b | {"env": more + env}]
    assert await containers({"name": "b", "$patch": "delete"}) == [a]
    assert await containers({"$patch": "replace"}, {"name": "c", "image": "c"}) == [{"name": "c", "image": "c"}]

    async def finalizers(**patch: Any) -> Any:
        answer = await patched(cluster, "strategic-merge-patch", path, {"metadata": patch})
        return answer.body["metadata"].get("finalizers")

    assert await finalizers(finalizers=["a/b"]) == ["a/b"]
    both = await finalizers(finalizers=["c/d"], **{"$setElementOrder/finalizers": ["c/d", "a/b"]})
    assert both == ["c/d", "a/b"]
    assert await finalizers(**{"$deleteFromPrimitiveList/finalizers": ["a/b"]}) == ["c/d"]
    assert await finalizers(**{"$deleteFromPrimitiveList/finalizers": ["c/d"]}) is None


@pytest.mark.parametrize(
    ("operations", "labels"),
    [
        ([{"op": "add", "path": "/metadata/labels/x~1y", "value": "1"}], {"a": "b", "x/y": "1"}),
        ([{"op": "remove", "path": "/metadata/labels/a"}], None),
        ([{"op": "test", "path": "/metadata/labels/a", "value": "b"}], {"a": "b"}),
        ([{"op": "move", "from": "/metadata/labels/a", "path": "/metadata/labels/c"}], {"c": "b"}),
        ([{"op": "copy", "from": "/metadata/labels/a", "path": "/metadata/labels/c"}], {"a": "b", "c": "b"}),
        ([{"op": "replace", "path": "/metadata/labels/a", "value": "z"}], {"a": "z"}),
        ([{"op": "replace", "path": "/metadata/labels/c", "value": "z"}], {"a": "b", "c": "z"}),
        ([{"op": "replace", "path": "/metadata/annotations/c", "value": "z"}], 422),
        ([{"path": "/metadata"}], 422),
        ([{"op": "test", "path": "/metadata/labels/a", "value": "c"}], 422),
        ([{"op": "remove", "path": "/spec/containers/7"}], 422),
    ],
)
async def test_json_patch(cluster: AnyCluster, operations: Any, labels: dict[str, str] | int | None) -> None:
    await cluster.add("a", labels={"a": "b"})
    answer = await patched(cluster, "json-patch", f"{cluster.pods}/a", operations)
    if isinstance(labels, int):
        assert answer.status == labels, answer.body
    else:
        assert answer.status == 200, answer.body
        assert answer.body["metadata"].get("labels") == labels


async def test_json_patch_of_lists(cluster: AnyCluster) -> None:
    await cluster.add("a", finalizers=["a/b"])
    operations = [
        {"op": "add", "path": "/metadata/finalizers/-", "value": "c/d"},
        {"op": "add", "path": "/metadata/finalizers/0", "value": "e/f"},
    ]
    answer = await patched(cluster, "json-patch", f"{cluster.pods}/a", operations)
    assert answer.body["metadata"]["finalizers"] == ["e/f", "a/b", "c/d"]


async def test_scale(cluster: AnyCluster) -> None:
    path = f"{deployments(cluster)}/d/scale"
    await cluster.do("POST", deployments(cluster), DEPLOYMENT)
    scale = await cluster.do("GET", path)
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 1}, "app=ssh")
    scale["spec"]["replicas"] = 3
    assert (await cluster.do("PUT", path, scale))["spec"] == {"replicas": 3}
    zero = await patched(cluster, "merge-patch", path, {"spec": {"replicas": 0}})
    assert zero.body["spec"].get("replicas", 0) == 0
    assert (await cluster.do("GET", f"{deployments(cluster)}/d"))["metadata"]["generation"] == 3


# Deleting


async def test_a_pod_on_a_node_gets_its_grace_and_another_goes_at_once(cluster: AnyCluster) -> None:
    await cluster.add("here", node="n")
    await cluster.add("nowhere")
    left = await cluster.do("DELETE", f"{cluster.pods}/here", {"gracePeriodSeconds": 20})
    assert left["metadata"]["deletionGracePeriodSeconds"] == 20
    assert await cluster.find(f"{cluster.pods}/here")
    await cluster.do("DELETE", f"{cluster.pods}/nowhere")
    assert not await cluster.find(f"{cluster.pods}/nowhere")
    await cluster.gone(f"{cluster.pods}/here")
    assert not await cluster.find(f"{cluster.pods}/here")


async def test_the_options_of_a_delete_are_in_the_body_or_in_the_query(cluster: AnyCluster) -> None:
    path = f"{cluster.pods}/a"
    await cluster.add("a", node="n")

    async def grace(query: str, options: Object | None = None) -> int:
        found = await cluster.do("DELETE", f"{path}?{query}", options)
        seconds: int = found["metadata"]["deletionGracePeriodSeconds"]
        return seconds

    assert await grace("gracePeriodSeconds=20&dryRun=All") == 20
    assert "deletionTimestamp" not in (await cluster.do("GET", path))["metadata"]
    assert await grace("gracePeriodSeconds=20", {"gracePeriodSeconds": 9}) == 9
    assert await grace("gracePeriodSeconds=4") == 4
    # A later DELETE shortens the grace, and never lengthens it.
    assert await grace("gracePeriodSeconds=40") == 4


async def test_a_uid_or_version_that_is_not_meant_is_refused(cluster: AnyCluster) -> None:
    path = f"{cluster.pods}/a"
    await cluster.add("a", node="n")
    metadata = (await cluster.do("GET", path))["metadata"]
    uid, version = metadata["uid"], metadata["resourceVersion"]
    await cluster.start(path)
    for preconditions, word in (
        ({"uid": "0c9f8f0a-0000-4000-8000-000000000000"}, "UID"),
        ({"uid": uid, "resourceVersion": version}, "ResourceVersion"),
    ):
        for query in ("", "?dryRun=All"):
            refused = await cluster("DELETE", path + query, {"preconditions": preconditions})
            assert (refused.status, refused.body["reason"]) == (409, "Conflict")
            assert f"the {word} in the precondition" in refused.body["message"]
    version = (await cluster.do("GET", path))["metadata"]["resourceVersion"]
    await cluster.do("DELETE", path, {"preconditions": {"uid": uid, "resourceVersion": version}})
    await cluster.gone(path)
    absent = await cluster("DELETE", path, {"preconditions": {"uid": uid}})
    assert (absent.status, absent.body["reason"]) == (404, "NotFound")


async def test_a_finalizer_holds_a_pod(cluster: AnyCluster) -> None:
    path = f"{cluster.pods}/a"
    await cluster.add("a", finalizers=["example.com/hold"])
    held = await cluster.do("DELETE", path, {"gracePeriodSeconds": 0})
    assert held["metadata"]["deletionTimestamp"]
    assert await cluster.find(path)
    await patched(cluster, "merge-patch", path, {"metadata": {"finalizers": None}})
    assert not await cluster.find(path)


async def test_what_is_no_pod_is_deleted_with_a_status(cluster: AnyCluster) -> None:
    await cluster.do("POST", leases(cluster), {"metadata": {"name": "l"}})
    answer = await cluster.do("DELETE", f"{leases(cluster)}/l")
    details = answer["details"]
    assert (answer["status"], details["kind"], details["group"]) == ("Success", "leases", "coordination.k8s.io")


async def test_namespaces_and_dry_runs(cluster: AnyCluster) -> None:
    name = f"{cluster.sessions}-x"
    made = await cluster("POST", "/api/v1/namespaces?dryRun=All", {"metadata": {"name": name}})
    assert (made.status, made.body["status"]["phase"]) == (201, "Active")
    assert not await cluster.find(f"/api/v1/namespaces/{name}")
    made = await cluster("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert made.body["metadata"]["labels"] == {"kubernetes.io/metadata.name": name}


# What else the program writes


async def test_a_lease_is_had_by_whoever_writes_first(cluster: AnyCluster) -> None:
    path = f"{leases(cluster)}/l"
    made = await cluster.do("POST", leases(cluster), {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}})
    again = await cluster("POST", leases(cluster), {"metadata": {"name": "l"}, "spec": {"holderIdentity": "b"}})
    assert (again.status, again.body["reason"]) == (409, "AlreadyExists")
    mine = made | {"spec": {"holderIdentity": "a", "renewTime": "2026-11-23T03:00:00.123456Z"}}
    renewed = await cluster.do("PUT", path, mine)
    assert renewed["spec"]["renewTime"] == "2026-11-23T03:00:00.123456Z"
    theirs = made | {"spec": {"holderIdentity": "b"}}
    late = await cluster("PUT", path, theirs)
    assert (late.status, late.body["reason"]) == (409, "Conflict")
    assert (await cluster.do("GET", path))["spec"]["holderIdentity"] == "a"


async def test_an_event_is_of_the_namespace_of_its_pod(cluster: AnyCluster) -> None:
    def event(namespace: str) -> Object:
        about = {"kind": "Pod", "namespace": namespace, "name": "a", "uid": "u", "apiVersion": "v1"}
        said = {"reason": "SessionCollected", "message": "m", "type": "Normal"}
        return {"metadata": {"generateName": "a."}, "involvedObject": about, **said}

    path = f"/api/v1/namespaces/{cluster.sessions}/events"
    made = await cluster.do("POST", path, event(cluster.sessions))
    assert made["metadata"]["name"].startswith("a.")
    refused = await cluster("POST", path, event(cluster.owners))
    assert refused.status == 422

"""POST, PUT, PATCH and DELETE, over HTTP: subresources, patches, defaults, dry runs and refusals."""

from typing import Any

import pytest

from ssh_session_gc.sandbox.store import DEPLOYMENTS, LEASES, NAMESPACES, PODS, RESOURCEQUOTAS, Object
from tests.sandbox.api import NAMESPACE, Answer, Client, add, pod, serving

PODS_PATH = f"/api/v1/namespaces/{NAMESPACE}/pods"
DEPLOYMENTS_PATH = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
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


async def _patch(client: Client, kind: str, path: str, patch: Any) -> Answer:
    return await client("PATCH", path, patch, headers={"Content-Type": f"application/{kind}+json"})


async def test_who_creates_gets_the_defaults_and_writes_no_status() -> None:
    async with serving() as client:
        made = await client("POST", PODS_PATH, pod("a") | {"status": {"phase": "Running"}})
        assert (made.status, made.body["status"]) == (201, {"phase": "Pending", "qosClass": "BestEffort"})
        assert made.body["spec"]["restartPolicy"] == "Always"
        deployment = (await client("POST", DEPLOYMENTS_PATH, DEPLOYMENT)).body
        assert (deployment["spec"]["replicas"], deployment["status"]) == (1, {})
        pulls = [each["imagePullPolicy"] for each in deployment["spec"]["template"]["spec"]["containers"]]
        assert pulls == ["IfNotPresent", "Always"]


async def test_bad_bodies_are_refused() -> None:
    async with serving() as client:
        add(client.store, "a")
        for method, path, body, status in (
            ("POST", PODS_PATH, {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1"}, 400),
            ("POST", PODS_PATH, ["no object"], 400),
            ("POST", PODS_PATH, {"metadata": []}, 400),
            ("POST", PODS_PATH, pod("a"), 409),
            ("POST", "/api/v1/namespaces/nowhere/pods", pod("a"), 404),
            ("POST", "/api/v1/pods", pod("b"), 405),
            ("POST", f"{PODS_PATH}/a", pod("a"), 405),
            ("POST", f"{PODS_PATH}?dryRun=Some", pod("b"), 422),
            ("PUT", f"{PODS_PATH}/a", pod("b"), 400),
            ("DELETE", PODS_PATH, None, 405),
            ("DELETE", f"{PODS_PATH}/a", {"gracePeriodSeconds": "30"}, 400),
            ("OPTIONS", f"{PODS_PATH}/a", None, 405),
        ):
            answer = await client(method, path, body)
            assert (answer.status, answer.body["code"]) == (status, status), (method, path, body, answer.body)
        async with client.session.post(client.server.url + PODS_PATH, data=b"{") as response:
            assert response.status == 400
        protobuf = {"Content-Type": "application/vnd.kubernetes.protobuf"}
        assert (await client("POST", PODS_PATH, pod("b"), headers=protobuf)).status == 415
        assert (await _patch(client, "apply-patch", f"{PODS_PATH}/a", {})).status == 415


async def test_a_put_replaces_all_but_the_status() -> None:
    async with serving() as client:
        add(client.store, "a")
        body = (await client("GET", f"{PODS_PATH}/a")).body
        body["metadata"]["labels"] = {"x": "y"}
        body["status"] = {"phase": "Failed"}
        put = (await client("PUT", f"{PODS_PATH}/a", body)).body
        assert (put["metadata"]["labels"], put["status"]["phase"]) == ({"x": "y"}, "Pending")
        assert (await client("PUT", f"{PODS_PATH}/a", body)).status == 409  # from a stale copy
        body["metadata"]["resourceVersion"] = put["metadata"]["resourceVersion"]
        body["spec"]["nodeName"] = "n"
        status = (await client("PUT", f"{PODS_PATH}/a/status", body)).body
        assert (status["status"], status["spec"].get("nodeName")) == ({"phase": "Failed"}, None)


async def test_merge_patch() -> None:
    async with serving() as client:
        add(client.store, "a", labels={"x": "1", "y": "2"}, finalizers=["example.com/hold"])
        patch = {"metadata": {"labels": {"x": None, "z": "3"}, "annotations": {"k": "v"}, "finalizers": None}}
        body = (await _patch(client, "merge-patch", f"{PODS_PATH}/a", patch)).body
        assert body["metadata"]["labels"] == {"y": "2", "z": "3"}
        assert body["metadata"]["annotations"] == {"k": "v"}
        assert "finalizers" not in body["metadata"]
        stale = {"metadata": {"resourceVersion": "1", "labels": {"q": "q"}}}
        assert (await _patch(client, "merge-patch", f"{PODS_PATH}/a", stale)).status == 409
        assert (await _patch(client, "merge-patch", f"{PODS_PATH}/a", [])).status == 400


async def test_strategic_merge_patch_knows_what_lists_are_keyed_by() -> None:
    async with serving() as client:
        client.store.create(DEPLOYMENTS, NAMESPACE, DEPLOYMENT)

        async def containers(*patch: Object) -> list[Object]:
            spec = {"template": {"spec": {"containers": list(patch)}}}
            answer = await _patch(client, "strategic-merge-patch", f"{DEPLOYMENTS_PATH}/d", {"spec": spec})
            found: list[Object] = answer.body["spec"]["template"]["spec"]["containers"]
            return [{key: each[key] for key in ("name", "image", "env") if key in each} for each in found]

        a, b = {"name": "a", "image": "a:1"}, {"name": "b", "image": "b"}
        env = [{"name": "K", "value": "1"}]
        assert await containers({"name": "b", "env": env}) == [a, b | {"env": env}]
        more = [{"name": "L", "value": "2"}]
        assert await containers({"name": "b", "env": more}) == [a, b | {"env": env + more}]
        assert await containers({"name": "b", "$patch": "delete"}) == [a]
        assert await containers({"$patch": "replace"}, {"name": "c", "image": "c"}) == [{"name": "c", "image": "c"}]

        async def finalizers(**patch: Any) -> Any:
            answer = await _patch(client, "strategic-merge-patch", f"{DEPLOYMENTS_PATH}/d", {"metadata": patch})
            return answer.body["metadata"].get("finalizers")

        assert await finalizers(finalizers=["a/b"]) == ["a/b"]
        assert await finalizers(finalizers=["c/d"], **{"$setElementOrder/finalizers": ["c/d", "a/b"]}) == [
            "a/b",
            "c/d",
        ]
        assert await finalizers(**{"$deleteFromPrimitiveList/finalizers": ["a/b"]}) == ["c/d"]
        assert await finalizers(**{"$deleteFromPrimitiveList/finalizers": ["c/d"]}) is None


@pytest.mark.parametrize(
    ("operations", "labels"),
    [
        ([{"op": "add", "path": "/metadata/labels/x~1y", "value": "1"}], {"a": "b", "x/y": "1"}),
        ([{"op": "remove", "path": "/metadata/labels/a"}], {}),
        ([{"op": "test", "path": "/metadata/labels/a", "value": "b"}], {"a": "b"}),
        ([{"op": "move", "from": "/metadata/labels/a", "path": "/metadata/labels/c"}], {"c": "b"}),
        ([{"op": "copy", "from": "/metadata/labels/a", "path": "/metadata/labels/c"}], {"a": "b", "c": "b"}),
        ([{"op": "replace", "path": "/metadata/labels/a", "value": "z"}], {"a": "z"}),
        ([{"op": "replace", "path": "/metadata/labels/c", "value": "z"}], None),
        ([{"op": "test", "path": "/metadata/labels/a", "value": "c"}], None),
        ([{"op": "remove", "path": "/spec/containers/7"}], None),
        ([{"path": "/metadata"}], None),
    ],
)
async def test_json_patch(operations: Any, labels: dict[str, str] | None) -> None:
    async with serving() as client:
        add(client.store, "a", labels={"a": "b"})
        answer = await _patch(client, "json-patch", f"{PODS_PATH}/a", operations)
        assert answer.status == (422 if labels is None else 200)
        assert labels is None or answer.body["metadata"]["labels"] == labels


async def test_json_patch_of_lists() -> None:
    async with serving() as client:
        add(client.store, "a", finalizers=["a/b"])
        operations = [
            {"op": "add", "path": "/metadata/finalizers/-", "value": "c/d"},
            {"op": "add", "path": "/metadata/finalizers/0", "value": "e/f"},
        ]
        answer = await _patch(client, "json-patch", f"{PODS_PATH}/a", operations)
        assert answer.body["metadata"]["finalizers"] == ["e/f", "a/b", "c/d"]


async def test_scale() -> None:
    async with serving() as client:
        client.store.create(DEPLOYMENTS, NAMESPACE, DEPLOYMENT)
        scale = (await client("GET", f"{DEPLOYMENTS_PATH}/d/scale")).body
        assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 1}, "app=ssh")
        scale["spec"]["replicas"] = 3
        assert (await client("PUT", f"{DEPLOYMENTS_PATH}/d/scale", scale)).body["spec"] == {"replicas": 3}
        patched = await _patch(client, "merge-patch", f"{DEPLOYMENTS_PATH}/d/scale", {"spec": {"replicas": 0}})
        assert patched.body["spec"] == {"replicas": 0}
        assert client.store.get(DEPLOYMENTS, NAMESPACE, "d")["metadata"]["generation"] == 3


async def test_the_options_of_a_delete_are_in_the_body_or_in_the_query() -> None:
    async with serving() as client:
        add(client.store, "a", node="n")

        async def grace(query: str, options: Object | None = None) -> int:
            answer = await client("DELETE", f"{PODS_PATH}/a?{query}", options)
            found: int = answer.body["metadata"]["deletionGracePeriodSeconds"]
            return found

        assert await grace("gracePeriodSeconds=20&dryRun=All") == 20
        assert "deletionTimestamp" not in client.store.get(PODS, NAMESPACE, "a")["metadata"]
        assert await grace("gracePeriodSeconds=20", {"gracePeriodSeconds": 9}) == 9
        assert await grace("gracePeriodSeconds=4") == 4


async def test_what_is_no_pod_is_deleted_with_a_status() -> None:
    async with serving() as client:
        client.store.create(LEASES, NAMESPACE, {"metadata": {"name": "l"}})
        path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/l"
        answer = (await client("DELETE", path)).body
        assert (answer["status"], answer["details"]["kind"], answer["details"]["group"]) == (
            "Success",
            "leases",
            "coordination.k8s.io",
        )


async def test_namespaces_and_dry_runs() -> None:
    async with serving() as client:
        made = await client("POST", "/api/v1/namespaces?dryRun=All", {"metadata": {"name": "x"}})
        assert (made.status, made.body["status"]["phase"]) == (201, "Active")
        assert (await client("GET", "/api/v1/namespaces/x")).status == 404
        await client("POST", "/api/v1/namespaces", {"metadata": {"name": "x"}})
        assert (await client("GET", "/api/v1/namespaces/x/status")).body["metadata"]["name"] == "x"
        assert client.store.get(NAMESPACES, None, "x")["metadata"]["labels"] == {"kubernetes.io/metadata.name": "x"}


async def test_quota_counts_what_is_not_over() -> None:
    async with serving() as client:
        client.store.create(RESOURCEQUOTAS, NAMESPACE, {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}})
        add(client.store, "a")
        assert (await client("POST", PODS_PATH, pod("b"))).status == 403
        client.store.update(PODS, NAMESPACE, "a", lambda obj: obj["status"].update(phase="Succeeded"))
        assert (await client("POST", PODS_PATH, pod("b"))).status == 201

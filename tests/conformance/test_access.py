"""Access: the chart grants what the program needs, and nothing beyond it."""

from typing import Any

from tests.builders import new_pod
from tests.chart import charts
from tests.conformance.clusters import AnyCluster, Reply
from tests.conformance.installed import install

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
USER = f"system:serviceaccount:{charts.NAMESPACE}:{charts.RELEASE}"


async def test_a_token_is_wanted_but_for_what_anybody_may_know(cluster: AnyCluster) -> None:
    for token, path, status in (
        ("nobody's", cluster.pods, 401),
        ("nobody's", "/version", 401),
        ("", "/version", 200),
        ("", "/readyz", 200),
        # A request without a token is anonymous, and may do nothing else.
        ("", cluster.pods, 403),
        ("", "/api", 403),
    ):
        answer = await cluster("GET", path, token=token)
        assert answer.status == status, (token, path, answer.body)


async def test_the_chart_grants_what_is_needed_and_nothing_else(cluster: AnyCluster) -> None:
    token = await install(cluster, leaderElect=True)
    await cluster.add("a", node="n")
    await cluster.do("POST", cluster.owner_pods, new_pod("b"))
    deployments = f"/apis/apps/v1/namespaces/{cluster.owners}/deployments"
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{charts.NAMESPACE}/leases/{charts.RELEASE}"

    async def ask(method: str, path: str, body: Any = None) -> Reply:
        return await cluster(method, path, body, token=token)

    for method, path, status in (
        ("GET", cluster.pods, 200),
        ("GET", f"{cluster.pods}/a", 200),
        ("GET", cluster.owner_pods, 200),
        ("GET", f"{deployments}?fieldSelector=metadata.name%3Dcontainerssh", 200),
        ("GET", f"{deployments}/containerssh", 404),
        ("GET", lease, 404),
        # Nothing of other namespaces or names, and nothing inside of a Pod, is granted.
        ("GET", "/api/v1/pods", 403),
        ("GET", deployments, 403),
        ("GET", f"{deployments}?fieldSelector=metadata.name%3Dother", 403),
        ("GET", f"{cluster.pods}/a/log", 403),
        ("GET", "/api/v1/nodes", 403),
        ("POST", f"{cluster.pods}/a/exec?command=id", 403),
        ("DELETE", f"{cluster.owner_pods}/b", 403),
        ("DELETE", cluster.pods, 403),
        ("POST", cluster.pods, 403),
        ("PUT", f"{cluster.pods}/a", 403),
        ("DELETE", lease, 403),
        ("DELETE", f"{cluster.pods}/a", 200),
    ):
        body = new_pod("a") if method in ("POST", "PUT") else None
        answer = await ask(method, path, body)
        assert answer.status == status, (method, path, answer.body)
    refused = (await ask("DELETE", f"{cluster.owner_pods}/b")).body
    assert refused["message"] == (
        f'pods "b" is forbidden: User "{USER}" cannot delete resource "pods" in API group "" '
        f'in the namespace "{cluster.owners}"'
    )


async def test_a_review_answers_from_the_same_rules(cluster: AnyCluster) -> None:
    token = await install(cluster)
    sessions, owners = cluster.sessions, cluster.owners
    for attributes, permitted in (
        ({"verb": "delete", "resource": "pods", "namespace": sessions}, True),
        ({"verb": "delete", "resource": "pods", "namespace": owners}, False),
        ({"verb": "list", "resource": "pods"}, False),
        ({"verb": "create", "resource": "pods", "subresource": "exec", "namespace": sessions}, False),
        ({"verb": "get", "resource": "deployments", "group": "apps", "namespace": owners}, False),
        (
            {
                "verb": "get",
                "resource": "deployments",
                "group": "apps",
                "namespace": owners,
                "name": "containerssh",
            },
            True,
        ),
    ):
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        answer = await cluster("POST", REVIEWS, review | {"spec": {"resourceAttributes": attributes}}, token=token)
        assert (answer.status, answer.body["status"]["allowed"]) == (201, permitted), attributes
    assert (await cluster("POST", REVIEWS, {"spec": {}}, token=token)).status == 422


async def test_who_one_is(cluster: AnyCluster) -> None:
    token = await install(cluster)
    answer = await cluster("POST", WHO_AM_I, {}, token=token)
    assert answer.status == 201, answer.body
    assert answer.body["status"]["userInfo"]["username"] == USER

"""Authorization: rules of any kind, reviews in protobuf, and TLS."""

import ssl
from typing import Any

import aiohttp
import pytest
import trustme

from ssh_session_gc.sandbox.api import protobuf
from ssh_session_gc.sandbox.api.authorization import ADMIN, Identity, PolicyRule
from tests.sandbox.api.serving import NAMESPACE, Answer, Client, add, serving

PODS_PATH = f"/api/v1/namespaces/{NAMESPACE}/pods"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
USER = "system:serviceaccount:gc:gc"
TOKENS = {"admin": ADMIN, "gc": Identity(USER)}


def _as(who: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {who}"}


async def _ask(client: Client, method: str, path: str, body: Any = None) -> Answer:
    return await client(method, path, body, headers=_as("gc"))


async def test_rules_say_what_a_user_may_do() -> None:
    rules = [
        PolicyRule(("get", "list", "watch"), ("pods",), namespace=NAMESPACE),
        PolicyRule(("delete",), ("pods",), resource_names=("a",), namespace=NAMESPACE),
        PolicyRule(("get",), ("deployments",), ("apps",)),
    ]
    async with serving(tokens=TOKENS, roles={USER: rules}) as client:
        add(client.store, "a", "b")
        for method, path, status in (
            ("GET", PODS_PATH, 200),
            ("GET", "/api/v1/pods", 403),
            ("GET", "/api/v1/namespaces/other/pods", 403),
            ("GET", "/apis/apps/v1/namespaces/other/deployments/d", 404),
            ("GET", "/apis/apps/v1/namespaces/other/deployments", 403),
            ("GET", f"{PODS_PATH}/a/status", 403),
            ("DELETE", f"{PODS_PATH}/b", 403),
            ("DELETE", f"{PODS_PATH}/a", 200),
            ("DELETE", PODS_PATH, 403),
        ):
            assert (await _ask(client, method, path)).status == status, (method, path)
        refused = (await _ask(client, "GET", "/api/v1/nodes")).body
        assert refused["message"] == (
            f'nodes is forbidden: User "{USER}" cannot list resource "nodes" in API group "" at the cluster scope'
        )
        assert (await client("GET", "/api/v1/nodes", headers=_as("admin"))).status == 200


async def test_rules_with_names_let_one_list_only_that_name() -> None:
    rules = [PolicyRule(("list", "watch"), ("deployments",), ("apps",), ("d",), NAMESPACE)]
    async with serving(tokens=TOKENS, roles={USER: rules}) as client:
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
        assert (await _ask(client, "GET", path)).status == 403
        assert (await _ask(client, "GET", f"{path}?fieldSelector=metadata.name%3Dd")).status == 200
        assert (await _ask(client, "GET", f"{path}?fieldSelector=metadata.name%3Dother")).status == 403
        watch = f"{path}?watch=1&timeoutSeconds=0&fieldSelector=metadata.name"
        assert (await _ask(client, "GET", f"{watch}%3Dother")).status == 403


async def test_permission_may_come_while_the_server_runs() -> None:
    async with serving(tokens=TOKENS, roles={}) as client:
        assert (await _ask(client, "GET", PODS_PATH)).status == 403
        client.server.roles = {USER: [PolicyRule(("*",), ("*",), ("*",))]}
        assert (await _ask(client, "GET", PODS_PATH)).status == 200


async def test_a_review_of_nothing_is_refused() -> None:
    async with serving() as client:
        assert (await client("POST", REVIEWS, {"spec": {}})).status == 422
        path = {"path": "/version", "verb": "get"}
        answer = await client("POST", REVIEWS, {"spec": {"nonResourceAttributes": path}})
        assert answer.body["status"] == {"allowed": True}


@pytest.mark.parametrize("data", [b"", b"{}", b"k8s\x00\x12\x05\x01", b"k8s\x00\x12", b"k8s\x00\x15\x01"])
def test_what_is_no_protobuf_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"protobuf|message"):
        protobuf.access_review(data)


def test_a_review_in_protobuf() -> None:
    def field(number: int, value: bytes) -> bytes:
        return bytes([number << 3 | 2, len(value)]) + value

    attributes = field(1, b"ns") + field(2, b"get") + field(3, b"apps") + field(5, b"deployments")
    kind = field(1, field(1, b"authorization.k8s.io/v1"))
    metadata = field(1, b"") + b"\x38\x00"  # and a number, to be passed over
    envelope = b"k8s\x00" + kind + field(2, metadata + field(2, field(1, attributes)))
    wanted = {"namespace": "ns", "verb": "get", "group": "apps", "resource": "deployments"}
    assert protobuf.access_review(envelope) == {"spec": {"resourceAttributes": wanted}}
    other = b"k8s\x00" + field(2, field(2, field(2, field(1, b"/version") + field(2, b"get"))))
    assert protobuf.access_review(other) == {"spec": {"nonResourceAttributes": {"path": "/version", "verb": "get"}}}


async def test_tls() -> None:
    authority = trustme.CA()
    server, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client_side)
    async with serving(tls=server) as client:
        assert client.server.url.startswith("https://")
        async with client.session.get(client.server.url + "/version", ssl=client_side) as response:
            assert response.status == 200
        async with client.session.get(client.server.url + PODS_PATH + "?watch=1", ssl=client_side) as response:
            add(client.store, "a")
            assert b'"ADDED"' in await response.content.readline()
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await client("GET", "/version")

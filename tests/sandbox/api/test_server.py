"""The server: its paths, its log of requests, and its end."""

import asyncio

import pytest

from tests.sandbox.api.serving import NAMESPACE, serving

PODS_PATH = f"/api/v1/namespaces/{NAMESPACE}/pods"


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

"""Requests that the sandbox refuses where a real API server takes them, and its quota."""

import pytest

from ssh_session_gc.sandbox.api.objects import PODS, RESOURCEQUOTAS
from tests.sandbox.api.serving import NAMESPACE, add, pod, serving

PODS_PATH = f"/api/v1/namespaces/{NAMESPACE}/pods"


@pytest.mark.parametrize(
    ("method", "path", "media", "status"),
    [
        ("DELETE", PODS_PATH, "application/json", 405),
        ("POST", PODS_PATH, "application/vnd.kubernetes.protobuf", 415),
        ("PATCH", f"{PODS_PATH}/a", "application/apply-patch+yaml", 415),
    ],
)
async def test_what_is_left_out_is_refused(method: str, path: str, media: str, status: int) -> None:
    async with serving() as client:
        add(client.store, "a")
        body = None if method == "DELETE" else pod("b")
        assert (await client(method, path, body, headers={"Content-Type": media})).status == status


async def test_quota_counts_what_is_not_over() -> None:
    async with serving() as client:
        client.store.create(RESOURCEQUOTAS, NAMESPACE, {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}})
        add(client.store, "a")
        assert (await client("POST", PODS_PATH, pod("b"))).status == 403
        client.store.update(PODS, NAMESPACE, "a", lambda obj: obj["status"].update(phase="Succeeded"))
        assert (await client("POST", PODS_PATH, pod("b"))).status == 201

"""Bytes that are broken, and what is read around them."""

import json

import pytest

from ssh_session_gc.kube import decoder
from ssh_session_gc.kube.errors import Malformed
from tests.builders import PODS, pod


def test_one_unreadable_pod_does_not_hide_the_others() -> None:
    bad = pod(metadata={"creationTimestamp": "yesterday"})
    body = {"metadata": {"resourceVersion": "9"}, "items": [pod(), bad, pod()]}
    page = PODS.page(json.dumps(body).encode())
    assert (len(page.items), len(page.broken)) == (2, 1)
    event = PODS.event(json.dumps({"type": "MODIFIED", "object": bad}).encode())
    assert (event.object, event.resource_version) == (None, "7")
    assert "RFC3339" in event.broken


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"null", b"[]", b'{"type":"ADDED"}', b'{"type":"ADDED","object":{}}', b'{"type":1,"object":{}}',
     b'{"type":"ADDED","object":{"metadata":{}}}', b"\xff\xfe", b'{"type":"BOOKMARK","object":{"metadata":{}}}'],
)  # fmt: skip
def test_what_is_no_event(line: bytes) -> None:
    with pytest.raises(Malformed):
        PODS.event(line)
    with pytest.raises(Malformed):
        PODS.page(line)


def test_error_events_and_statuses() -> None:
    expired = {"kind": "Status", "metadata": {}, "message": "too old", "reason": "Expired", "code": 410}
    event = PODS.event(json.dumps({"type": "ERROR", "object": expired}).encode())
    assert event.status is not None
    assert (event.status.code, event.status.reason) == (410, "Expired")
    assert decoder.status(b"<html>502 Bad Gateway</html>") is None

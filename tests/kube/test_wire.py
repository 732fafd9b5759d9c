"""The wire format: what real Pods turn into, and what broken ones do."""

import json
from pathlib import Path
from typing import Any

import pytest

from ssh_session_gc.core.model import KEEP, OWNER_POD_NAME, OWNER_POD_UID, TTL
from ssh_session_gc.core.owners import OwnerPod
from ssh_session_gc.kube import decoder
from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.errors import Malformed
from ssh_session_gc.kube.pods import owner_pod, session_of
from ssh_session_gc.kube.wire import Pod, Workload
from ssh_session_gc.kube.workloads import selector_of

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings"
CREATED = "2026-11-23T03:00:00Z"
AT = 1_795_402_800.0

PODS, WORKLOADS = Decoder(Pod), Decoder(Workload)


def pod(**fields: Any) -> dict[str, Any]:
    """A Pod as JSON. ``metadata`` and ``status`` are merged into those of a plain running one."""
    metadata = {"name": "containerssh-abcde", "uid": "u", "resourceVersion": "7", "creationTimestamp": CREATED}
    running = [{"name": "shell", "restartCount": 0, "state": {"running": {"startedAt": "2026-11-23T03:00:01Z"}}}]
    return {
        "kind": "Pod",
        "metadata": metadata | fields.pop("metadata", {}),
        "spec": {"containers": [{"name": "shell"}], **fields.pop("spec", {})},
        "status": {"phase": "Running", "containerStatuses": running, **fields.pop("status", {})},
        **fields,
    }


def decoded(**fields: Any) -> Pod:
    return PODS.object(json.dumps(pod(**fields)).encode())


def annotated(**annotations: str) -> Pod:
    return decoded(metadata={"annotations": annotations})


@pytest.mark.parametrize("recording", sorted(RECORDINGS.glob("*.jsonl")), ids=lambda p: p.stem)
def test_everything_recorded_can_be_read(recording: Path) -> None:
    for line in recording.read_text().splitlines():
        entry = json.loads(line)
        decoder: Decoder[Any] = WORKLOADS if entry.get("stream") == "deployment" else PODS
        if "list" in entry:
            page = decoder.page(json.dumps(entry["list"]).encode())
            assert page.resource_version == entry["list"]["metadata"]["resourceVersion"]
            assert (len(page.items), page.broken) == (len(entry["list"]["items"]), [])
        elif "event" in entry:
            event = decoder.event(json.dumps(entry["event"]).encode())
            assert event.resource_version == entry["event"]["object"]["metadata"]["resourceVersion"]
            assert (event.object is None) == (event.type == "BOOKMARK")
            assert not event.broken


def test_a_session_is_what_its_pod_says() -> None:
    labels = {"containerssh_username": "alice", "containerssh_connection_id": "c0ffee"}
    annotations = {
        "containerssh_ip": "10.1.2.3",
        OWNER_POD_UID: "1571-ff",
        OWNER_POD_NAME: "containerssh-x",
        TTL: "90m",
    }
    session = session_of(decoded(metadata={"labels": labels, "annotations": annotations}))
    assert (session.uid, session.resource_version, session.created, session.started) == ("u", "7", AT, AT + 1)
    assert (session.user, session.connection_id, session.client_ip) == ("alice", "c0ffee", "10.1.2.3")
    assert (session.stamp_uid, session.stamp_name, session.ttl) == ("1571-ff", "containerssh-x", 5400)
    assert (session.keep, session.deletion, session.finished, session.invalid) == (False, None, None, ())


@pytest.mark.parametrize("text", ["1", "t", "true", "True", "TRUE"])
def test_keep(text: str) -> None:
    assert session_of(annotated(**{KEEP: text})).keep


@pytest.mark.parametrize(("text", "invalid"), [("false", ()), ("", ()), ("yes", (KEEP,)), ("truе", (KEEP,))])
def test_what_does_not_keep(text: str, invalid: tuple[str, ...]) -> None:
    session = session_of(annotated(**{KEEP: text}))
    assert (session.keep, session.invalid) == (False, invalid)


@pytest.mark.parametrize("text", ["", "0", "-1h", "1 hour", "1d", "x" * 262_144])
def test_a_ttl_that_cannot_be_read_is_ignored_and_named(text: str) -> None:
    session = session_of(annotated(**{TTL: text}))
    assert (session.ttl, session.invalid) == (None, (TTL,))


@pytest.mark.parametrize("name", ["../../secrets/x", "a/b", "A", "-a", "a" * 254, "a\n", "a?b", "%2e"])
def test_a_stamp_that_is_no_name_is_ignored(name: str) -> None:
    session = session_of(annotated(**{OWNER_POD_NAME: name, OWNER_POD_UID: "uid-1"}))
    assert (session.stamp_name, session.stamp_uid, session.invalid) == ("", "uid-1", (OWNER_POD_NAME,))


def test_texts_of_strangers_come_out_short_and_printable() -> None:
    session = session_of(annotated(containerssh_ip="\x1b]0;owned\x07\u202e" + "9" * 100_000))
    assert session.client_ip.isprintable()
    assert len(session.client_ip) <= 128


def status(state: dict[str, Any] | None, last: dict[str, Any] | None = None, restarts: int = 0) -> dict[str, Any]:
    entry = {"name": "shell", "restartCount": restarts, "state": state, "lastState": last or {}}
    return {"containerStatuses": [{"name": "a-sidecar", "restartCount": 0, "state": {"waiting": {}}}, entry]}


RUNNING = {"running": {"startedAt": "2026-11-23T03:00:09Z"}}
ENDED = {"terminated": {"exitCode": 1, "startedAt": "2026-11-23T03:00:03Z", "finishedAt": "2026-11-23T03:00:08Z"}}


@pytest.mark.parametrize(
    ("told", "started"),
    [
        (status({"waiting": {"reason": "ImagePullBackOff"}}), None),
        (status(None), None),
        ({"containerStatuses": None}, None),
        (status(RUNNING), AT + 9),
        (status(ENDED), AT + 3),
        (status(RUNNING, ENDED, 1), AT + 3),
        (status({"waiting": {"reason": "CrashLoopBackOff"}}, ENDED, 1), AT + 3),
        # Its first start is forgotten: it gets the benefit of the doubt.
        (status(RUNNING, ENDED, 5), AT),
        (status(RUNNING, {}, 1), AT),
        (status({"running": {"startedAt": None}}), AT),
    ],
)
def test_when_a_session_first_started(told: dict[str, Any], started: float | None) -> None:
    assert session_of(decoded(status=told)).started == started


def test_when_a_session_finished() -> None:
    assert session_of(decoded(status={"phase": "Failed", **status(ENDED)})).finished == AT + 8
    condition = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-23T03:00:30Z"}
    evicted = {"phase": "Failed", "containerStatuses": None, "conditions": [condition]}
    assert session_of(decoded(status=evicted)).finished == AT + 30
    assert session_of(decoded(status={"phase": "Failed", "containerStatuses": []})).finished == AT
    assert session_of(decoded(status=status(ENDED))).finished is None


def owner(containers: list[str], wanted: str = "", **told: Any) -> OwnerPod:
    statuses = [{"name": n, "restartCount": 0, "state": RUNNING} for n in sorted(containers)]
    return owner_pod(
        decoded(
            spec={"containers": [{"name": n} for n in containers]}, status={"containerStatuses": statuses, **told}
        ),
        wanted,
    )


def test_which_container_is_the_owner() -> None:
    assert owner(["proxy", "containerssh"]).container == "containerssh"
    assert owner(["server", "proxy"]).container == "server"
    assert owner(["proxy", "containerssh"], "proxy").container == "proxy"
    # One that is not there counts as not started, which keeps what the Pod may own.
    missing = owner(["proxy"], "containerssh")
    assert (missing.container, missing.running, missing.terminated) == ("containerssh", None, None)


def conditions(ready: str, containers_ready: str, reason: str = "") -> list[dict[str, str]]:
    return [
        {"type": "Ready", "status": ready, "reason": reason},
        {"type": "ContainersReady", "status": containers_ready},
    ]


@pytest.mark.parametrize(
    ("told", "cut_off"),
    [
        ({"conditions": conditions("True", "True")}, False),
        ({"conditions": conditions("False", "True")}, True),
        ({"conditions": conditions("Unknown", "True")}, True),
        ({"conditions": conditions("False", "False")}, False),
        ({"conditions": conditions("False", "True", "ReadinessGatesNotReady")}, False),
        ({"conditions": None}, False),
        ({"phase": "Unknown"}, True),
    ],
)
def test_a_node_that_does_not_report(told: dict[str, Any], cut_off: bool) -> None:
    assert owner(["containerssh"], **told).unreachable is cut_off


def test_the_selector_of_a_workload() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "env", "operator": "NotIn", "values": ["dev"]},
        {"key": "ssh", "operator": "Exists"},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    spec = {"selector": {"matchLabels": {"b": "2", "a": "1"}, "matchExpressions": expressions}}
    workload = WORKLOADS.object(json.dumps({"metadata": pod()["metadata"], "spec": spec}).encode())
    assert selector_of(workload) == "a=1,b=2,tier in (a,b),env notin (dev),ssh,!old"
    spec = {"selector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}
    with pytest.raises(Malformed, match="Near"):
        selector_of(WORKLOADS.object(json.dumps({"metadata": pod()["metadata"], "spec": spec}).encode()))


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

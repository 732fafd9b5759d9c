"""What a Pod on the wire says, field by field: a session, or a Pod of the owner's."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.core.model import KEEP, OWNER_POD_NAME, OWNER_POD_UID, TTL
from ssh_session_gc.core.owners import OwnerPod, Span
from ssh_session_gc.kube import pods
from ssh_session_gc.kube.pods import owner_pod, session_of
from ssh_session_gc.kube.wire import Pod
from tests.builders import T, pod, wire_pod


def annotated(**annotations: str) -> Pod:
    return wire_pod(metadata={"annotations": annotations})


def status(state: dict[str, Any] | None, last: dict[str, Any] | None = None, restarts: int = 0) -> dict[str, Any]:
    entry = {"name": "shell", "restartCount": restarts, "state": state, "lastState": last or {}}
    return {"containerStatuses": [{"name": "a-sidecar", "restartCount": 0, "state": {"waiting": {}}}, entry]}


RUNNING = {"running": {"startedAt": "2026-11-23T03:00:09Z"}}
ENDED = {"terminated": {"exitCode": 1, "startedAt": "2026-11-23T03:00:03Z", "finishedAt": "2026-11-23T03:00:08Z"}}

FAILED = {
    "terminated": {
        "exitCode": 128,
        "reason": "StartError",
        "startedAt": "1970-01-01T00:00:00Z",
        "finishedAt": "2026-11-23T03:00:08Z",
    }
}
LOST = {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": None, "finishedAt": None}}


def kubelet(at: str, **more: str) -> dict[str, Any]:
    """The API server's note of when the kubelet wrote the status."""
    return {"managedFields": [{"manager": "kubelet", "subresource": "status", "time": at, **more}]}


def test_a_session_is_what_its_pod_says() -> None:
    labels = {"containerssh_username": "alice", "containerssh_connection_id": "c0ffee"}
    annotations = {
        "containerssh_ip": "10.1.2.3",
        OWNER_POD_UID: "1571-ff",
        OWNER_POD_NAME: "containerssh-x",
        TTL: "90m",
    }
    session = session_of(wire_pod(metadata={"labels": labels, "annotations": annotations}))
    assert (session.uid, session.resource_version, session.created, session.started) == ("u", "7", T, T + 1)
    assert (session.user, session.connection_id, session.client_ip) == ("alice", "c0ffee", "10.1.2.3")
    assert (session.stamp_uid, session.stamp_name, session.ttl) == ("1571-ff", "containerssh-x", 5400)
    assert (session.keep, session.deletion, session.finished, session.invalid) == (False, None, None, ())


def test_a_session_is_the_whole_of_what_its_pod_says() -> None:
    waiting = status({"waiting": {"reason": "ErrImagePull"}})
    told = pods.session_of(
        wire_pod(metadata={"deletionTimestamp": "2026-11-23T03:01:00Z"}, status={"phase": "Pending", **waiting})
    )
    assert (told.name, told.phase, told.waiting) == ("containerssh-abcde", "Pending", "ErrImagePull")
    assert (told.deletion, told.stamp_uid, told.stamp_name) == (T + 60, "", "")
    assert pods.session_of(wire_pod()).waiting == ""
    assert pods.session_of(wire_pod(status={"phase": "P" * 100})).phase == "P" * 31 + "…"


PREFIX = "containerssh-"


@pytest.mark.parametrize(
    ("name", "prefix", "connection", "persistent"),
    [
        ("containerssh-xzzck", PREFIX, "c0ffee", False),
        (f"{'p' * 58}xzzck", "p" * 60, "c0ffee", False),
        # Named on purpose, as the template says or beside it.
        ("containerssh-xzzck", "", "c0ffee", True),
        ("containerssh-alice", PREFIX, "c0ffee", True),
        ("containerssh-xzzckk", PREFIX, "c0ffee", True),
        ("ours-by-alice-xzzck", "ours-by-carol-", "c0ffee", True),
        ("containerssh-alice", PREFIX, "", False),
    ],
)
def test_what_is_named_on_purpose_is_persistent(name: str, prefix: str, connection: str, persistent: bool) -> None:
    labels = {"containerssh_connection_id": connection}
    told = session_of(wire_pod(metadata={"name": name, "generateName": prefix, "labels": labels}))
    assert told.persistent is persistent


def test_a_program_that_is_the_container_itself_reads_once() -> None:
    def attached(*once: bool) -> bool:
        containers = [{"name": f"c{number}", "stdinOnce": each} for number, each in enumerate(once)]
        return session_of(wire_pod(spec={"containers": containers})).attached

    assert [attached(), attached(False), attached(True), attached(False, True)] == [False, False, True, True]


def test_a_pod_that_says_neither_has_no_limit_and_is_not_kept() -> None:
    session = session_of(wire_pod())
    assert (session.keep, session.spared, session.ttl, session.invalid) == (False, False, None, ())


KEPT = ["1", "t", "T", "TRUE", "true", "True", "tRUE", "y", "yes", "Yes", "on", "ON"]


@pytest.mark.parametrize("text", [*KEPT, "true ", " yes\n"])
def test_keep(text: str) -> None:
    session = session_of(annotated(**{KEEP: text}))
    assert (session.keep, session.spared, session.invalid) == (True, False, ())


@pytest.mark.parametrize("text", ["", " ", "0", "f", "F", "FALSE", "false", "n", "no", "Off"])
def test_what_does_not_keep(text: str) -> None:
    session = session_of(annotated(**{KEEP: text}))
    assert (session.keep, session.spared, session.invalid) == (False, False, ())


@pytest.mark.parametrize("text", ["truе", "please", "2", "true true", "x" * 262_144])
def test_a_keep_that_cannot_be_read_was_meant(text: str) -> None:
    session = session_of(annotated(**{KEEP: text}))
    assert (session.keep, session.spared, session.invalid) == (False, True, (KEEP,))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("2d", 172_800), ("1d12h", 129_600), ("1w", 604_800), ("7200", 7200), (" 2h", 7200), ("2H", 7200)],
)
def test_a_ttl(text: str, seconds: float) -> None:
    session = session_of(annotated(**{TTL: text}))
    assert (session.ttl, session.invalid) == (seconds, ())


@pytest.mark.parametrize("text", ["", "0", "-1h", "1 hour", "forever", "٣h", "x" * 262_144])
def test_a_ttl_that_cannot_be_read_was_meant(text: str) -> None:
    session = session_of(annotated(**{TTL: text}))
    assert (session.ttl, session.invalid) == (math.inf, (TTL,))


@pytest.mark.parametrize("name", ["../../secrets/x", "a/b", "A", "-a", "a" * 254, "a\n", "a?b", "%2e"])
def test_a_stamp_that_is_no_name_is_ignored(name: str) -> None:
    session = session_of(annotated(**{OWNER_POD_NAME: name, OWNER_POD_UID: "uid-1"}))
    assert (session.stamp_name, session.stamp_uid, session.invalid) == ("", "uid-1", (OWNER_POD_NAME,))


@pytest.mark.parametrize("uid", ["a/b", "../x", "a" * 65, "-a", "a\n"])
def test_a_stamp_that_is_no_uid_is_ignored_and_named(uid: str) -> None:
    told = pods.session_of(annotated(**{OWNER_POD_UID: uid}))
    assert (told.stamp_uid, told.invalid) == ("", (OWNER_POD_UID,))


def test_texts_of_strangers_come_out_short_and_printable() -> None:
    session = session_of(annotated(containerssh_ip="\x1b]0;owned\x07\u202e" + "9" * 100_000))
    assert session.client_ip.isprintable()
    assert len(session.client_ip) <= 128


@pytest.mark.parametrize(
    ("told", "started"),
    [
        (status({"waiting": {"reason": "ImagePullBackOff"}}), None),
        (status({"waiting": {"reason": "RunContainerError"}}, FAILED, 1), None),
        (status({"waiting": {"reason": "CrashLoopBackOff"}}, FAILED, 4), None),
        (status(FAILED), None),
        # Nothing says that it has not.
        (status(None), T),
        (status({}), T),
        ({"containerStatuses": None}, T),
        ({"containerStatuses": []}, T),
        ({"phase": "Unknown", "containerStatuses": []}, T),
        ({"phase": "Failed"} | status(LOST), T),
        # It waits.
        ({"phase": "Pending", "containerStatuses": []}, None),
        ({"phase": "Pending"} | status({}), None),
        # It runs at last.
        (status(RUNNING, FAILED, 1), T + 9),
        (status(RUNNING), T + 9),
        (status(ENDED), T + 3),
        (status(RUNNING, ENDED, 1), T + 3),
        (status({"waiting": {"reason": "CrashLoopBackOff"}}, ENDED, 1), T + 3),
        # Its first start is forgotten: it gets the benefit of the doubt.
        (status(RUNNING, ENDED, 5), T),
        (status(RUNNING, {}, 1), T),
        (status({"running": {"startedAt": None}}), T),
    ],
)
def test_when_a_session_first_started(told: dict[str, Any], started: float | None) -> None:
    assert session_of(wire_pod(status=told)).started == started


def test_of_a_pod_without_containers_nothing_is_known() -> None:
    told = pods.session_of(wire_pod(spec={"containers": []}))
    assert (told.started, told.waiting, told.finished, told.never_ready) == (T, "", None, False)


def test_the_second_restart_hides_the_first_start() -> None:
    assert pods.session_of(wire_pod(status=status(RUNNING, ENDED, 2))).started == T


def test_a_start_by_a_clock_that_is_ahead() -> None:
    # It says nine seconds past, and was written at four past: the clock is five ahead, and a second may be lost.
    ahead = wire_pod(metadata=kubelet("2026-11-23T03:00:04Z"), status=status(RUNNING))
    assert pods.session_of(ahead).started == T + 3


def test_a_session_s_start_is_no_earlier_than_its_pod() -> None:
    far = wire_pod(metadata=kubelet("2026-11-23T03:00:00Z"), status=status(RUNNING))
    assert pods.session_of(far).started == T


def test_when_a_session_finished() -> None:
    assert session_of(wire_pod(status={"phase": "Failed", **status(ENDED)})).finished == T + 8
    condition = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-23T03:00:30Z"}
    evicted = {"phase": "Failed", "containerStatuses": None, "conditions": [condition]}
    assert session_of(wire_pod(status=evicted)).finished == T + 30
    assert session_of(wire_pod(status={"phase": "Failed", "containerStatuses": []})).finished == T
    assert session_of(wire_pod(status=status(ENDED))).finished is None


def test_a_session_ended_with_the_last_of_its_containers() -> None:
    def ended(name: str, at: str | None) -> dict[str, Any]:
        return {"name": name, "restartCount": 0, "state": {"terminated": {"exitCode": 0, "finishedAt": at}}}

    def finished(*ends: str | None, **more: Any) -> float | None:
        statuses = [ended(f"c{n}", at) for n, at in enumerate(ends)]
        return pods.session_of(
            wire_pod(status={"phase": "Succeeded", "containerStatuses": statuses, **more})
        ).finished

    assert finished("2026-11-23T03:00:07Z", "2026-11-23T03:00:20Z", None) == T + 20
    conditions = [
        {"type": "Ready", "status": "False", "lastTransitionTime": at}
        for at in ("2026-11-23T03:00:30Z", "2026-11-23T03:00:40Z", None)
    ]
    assert finished(None, conditions=conditions) == T + 40


def owner(containers: list[str], wanted: str = "", **told: Any) -> OwnerPod:
    statuses = [{"name": n, "restartCount": 0, "state": RUNNING} for n in sorted(containers)]
    return owner_pod(
        wire_pod(
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


def owner_of(
    state: dict[str, Any] | None, last: dict[str, Any] | None = None, restarts: int = 0, **more: Any
) -> OwnerPod:
    """The owner that a Pod with this status is; its container is called as ``status`` calls it."""
    metadata = more.pop("metadata", {})
    told = {"status": status(state, last, restarts) | more, "metadata": metadata}
    return pods.owner_pod(wire_pod(**told), "shell")


def test_an_owner_is_the_whole_of_what_its_pod_says() -> None:
    told = owner_of(RUNNING)
    assert (told.name, told.uid, told.created, told.container) == ("containerssh-abcde", "u", T, "shell")
    assert (told.running, told.terminated, told.last, told.first) == (T + 9, None, None, True)
    assert (told.final, told.terminating, told.unreachable, told.clock_ahead) == (False, False, False, 0.0)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("fd00:0::1", "fd00::1"),
        ("", ""),
        ("fe80::1%eth0", ""),
        ("10.1.2.3:80/x?", ""),
        (None, ""),
    ],
)
def test_an_address_is_one(text: str | None, address: str) -> None:
    assert owner_pod(wire_pod(status={"podIP": text}), "shell").address == address


def test_an_owner_that_was_restarted() -> None:
    told = owner_of(RUNNING, ENDED, 1)
    assert (told.running, told.last, told.first) == (T + 9, Span(T + 3, T + 8, "exit 1"), False)
    # Either alone says that there was one before.
    assert not owner_of(RUNNING, ENDED).first
    assert not owner_of(RUNNING, restarts=1).first
    assert not owner_of(None, containerStatuses=[]).first


def test_an_owner_that_ended() -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "E" * 100, "finishedAt": None}}
    told = owner_of(ended, phase="Failed", metadata={"deletionTimestamp": "2026-11-23T03:01:00Z"})
    assert (told.running, told.final, told.terminating) == (None, True, True)
    assert told.terminated == Span(None, None, "exit 137, " + "E" * 31 + "…")
    assert owner_of(ENDED, phase="Succeeded").final


def test_without_a_container_the_owner_has_its_usual_name() -> None:
    assert owner([]).container == "containerssh"


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


@pytest.mark.parametrize(
    "told",
    [
        [{"type": "Ready", "status": "False"}],
        [{"type": "ContainersReady", "status": "True"}],
        [{"type": "Ready", "status": "Unknown"}, {"type": "ContainersReady", "status": "Unknown"}],
    ],
)
def test_what_does_not_show_that_a_node_is_cut_off(told: list[dict[str, str]]) -> None:
    assert not owner(["containerssh"], conditions=told).unreachable
    assert owner(["containerssh"], conditions=told, phase="Unknown").unreachable


def written_at(*seconds: str) -> dict[str, Any]:
    """The API server's notes of writes at these seconds."""
    return {"managedFields": [kubelet(f"2026-11-23T03:00:{at}Z")["managedFields"][0] for at in seconds]}


READY = {"type": "ContainersReady", "status": "True", "lastTransitionTime": "2026-11-23T03:00:20Z"}
UNDATED = {"type": "ContainersReady", "status": "True"}


@pytest.mark.parametrize(
    ("written", "told", "ahead"),
    [
        (kubelet("2026-11-23T03:00:04Z"), status(RUNNING), 6.0),
        (kubelet("2026-11-23T03:00:08Z"), status(RUNNING), 2.0),
        (kubelet("2026-11-23T03:00:09Z"), status(RUNNING), 0.0),
        (kubelet("2026-11-23T03:00:10Z"), status(RUNNING), 0.0),
        (kubelet("2026-11-23T03:00:04Z"), status(ENDED), 5.0),
        (kubelet("2026-11-23T03:00:02Z"), status(ENDED | {"terminated": {"startedAt": "2026-11-23T03:00:03Z"}}), 2.0),
        (kubelet("2026-11-23T03:00:04Z"), status(RUNNING, ENDED, 1), 6.0),
        (kubelet("2026-11-23T03:00:04Z"), status({"waiting": {}}, ENDED), 5.0),
        (kubelet("2026-11-23T03:00:04Z"), status({"terminated": ENDED["terminated"] | {"startedAt": None}}), 5.0),
        (kubelet("2026-11-23T03:00:04Z"), status(None, RUNNING), 6.0),
        (kubelet("2026-11-23T03:00:04Z"), status({"running": {"startedAt": None}}), 0.0),
        (kubelet("2026-11-23T03:00:04Z"), status({"waiting": {}}), 0.0),
        (kubelet("2026-11-23T03:00:04Z"), status(RUNNING) | {"conditions": [READY]}, 17.0),
        (kubelet("2026-11-23T03:00:04Z"), {"containerStatuses": None, "conditions": [READY]}, 17.0),
        (kubelet("2026-11-23T03:00:04Z"), {"containerStatuses": None, "conditions": None}, 0.0),
        # The node controller sets this one, by its own clock.
        (kubelet("2026-11-23T03:00:04Z"), status(RUNNING) | {"conditions": [READY | {"type": "Ready"}]}, 6.0),
        (kubelet("2026-11-23T03:00:04Z"), status(RUNNING) | {"conditions": [UNDATED]}, 6.0),
        # Nobody else's note, and none of anything else, says when the kubelet wrote its status.
        (kubelet("2026-11-23T03:00:04Z", manager="kube-controller-manager"), status(RUNNING), 0.0),
        (kubelet("2026-11-23T03:00:04Z", subresource=""), status(RUNNING), 0.0),
        ({"managedFields": [{"manager": "kubelet", "subresource": "status", "time": None}]}, status(RUNNING), 0.0),
        ({"managedFields": None}, status(RUNNING), 0.0),
        # It wrote twice: the later one counts.
        (written_at("02", "04"), status(RUNNING), 6.0),
        (written_at("04", "02"), status(RUNNING), 6.0),
    ],
)  # fmt: skip
def test_by_how_much_a_clock_is_ahead(written: dict[str, Any], told: dict[str, Any], ahead: float) -> None:
    pod = wire_pod(metadata=written, status=told)
    assert pods.owner_pod(pod, "shell").clock_ahead == ahead


UNPLACED = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]
WAITS = {"waiting": {"reason": "ImagePullBackOff"}}


@pytest.mark.parametrize(
    ("told", "until"),
    [
        ({}, T + 4 - pods.STATUS_LAG),
        ({"restarts": 1}, -math.inf),
        ({"last": LOST}, -math.inf),
        ({"last": LOST, "state": None}, -math.inf),
        ({"state": {}}, -math.inf),
        ({"state": None}, -math.inf),
        ({"state": RUNNING}, -math.inf),
        ({"state": LOST}, -math.inf),
        ({"metadata": {}}, -math.inf),  # nobody says when that was written
    ],
)
def test_until_when_a_container_has_certainly_never_run(told: dict[str, Any], until: float) -> None:
    said: dict[str, Any] = {"state": WAITS, "metadata": written_at("02", "04")} | told
    assert owner_of(**said).never_run == until


@pytest.mark.parametrize(
    ("told", "until"),
    [
        ({}, math.inf),
        ({"conditions": []}, -math.inf),  # the scheduler has not looked at it, or is none that says so
        ({"conditions": [UNPLACED[0] | {"status": "Unknown"}]}, -math.inf),
        ({"phase": "Running"}, -math.inf),
    ],
)
def test_what_has_no_node_has_never_run(told: dict[str, Any], until: float) -> None:
    said = {"phase": "Pending", "conditions": UNPLACED, "containerStatuses": None} | told
    assert owner_pod(wire_pod(status=said), "").never_run == until


def test_the_owner_container_is_the_first_of_its_names_that_the_pod_has() -> None:
    meshed = wire_pod(spec={"containers": [{"name": "mesh"}, {"name": "containerssh"}, {"name": "sshd"}]})
    assert owner_pod(meshed, "", ("old", "sshd")).container == "sshd"
    assert owner_pod(meshed, "", ("sshd", "mesh")).container == "sshd"
    assert owner_pod(meshed, "", ("old",)).container == "containerssh"
    assert owner_pod(meshed, "mesh", ("sshd",)).container == "mesh"


def test_of_a_pod_that_cannot_be_read_what_can_be_is() -> None:
    made = pod(metadata={"creationTimestamp": "never"}, spec={"containers": [{"name": "A B"}, {"name": "shell"}]})
    unread = pods.any_pod(json.dumps(made).encode())
    assert isinstance(unread, pods.Unread)
    assert (unread.name, unread.uid, unread.containers) == ("containerssh-abcde", "u", ("A B", "shell"))
    assert "containerssh-abcde: " in unread.why
    assert isinstance(pods.any_pod(json.dumps(pod()).encode()), Pod)


@pytest.mark.parametrize("spec", [7, None, {}, {"containers": None}, {"containers": []}, {"containers": [{}]}])
def test_whose_containers_cannot_be_read_may_be_anybody(spec: Any) -> None:
    unread = pods.any_pod(json.dumps(pod() | {"spec": spec, "metadata": 7}).encode())
    assert unread == pods.Unread(unread.why if isinstance(unread, pods.Unread) else "", "", None, None)


@given(st.binary() | st.text().map(lambda text: json.dumps({"metadata": text, "spec": text}).encode()))
def test_whatever_is_no_pod_is_unread(data: bytes) -> None:
    assert isinstance(pods.any_pod(data), pods.Unread)

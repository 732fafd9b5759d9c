"""What a Pod says, field by field, where tests/kube/test_wire.py has left something open."""

from typing import Any

import pytest

from ssh_session_gc.core.model import KEEP, OWNER_POD_UID
from ssh_session_gc.core.owners import OwnerPod, Span
from ssh_session_gc.kube import pods
from tests.kube.test_wire import AT, ENDED, RUNNING, annotated, decoded, owner, status


def kubelet(at: str, **more: str) -> dict[str, Any]:
    """The API server's note of when the kubelet wrote the status."""
    return {"managedFields": [{"manager": "kubelet", "subresource": "status", "time": at, **more}]}


def test_a_session_is_the_whole_of_what_its_pod_says() -> None:
    waiting = status({"waiting": {"reason": "ErrImagePull"}})
    told = pods.session_of(
        decoded(metadata={"deletionTimestamp": "2026-11-23T03:01:00Z"}, status={"phase": "Pending", **waiting})
    )
    assert (told.name, told.phase, told.waiting) == ("containerssh-abcde", "Pending", "ErrImagePull")
    assert (told.deletion, told.stamp_uid, told.stamp_name) == (AT + 60, "", "")
    assert pods.session_of(decoded()).waiting == ""
    assert pods.session_of(decoded(status={"phase": "P" * 100})).phase == "P" * 31 + "…"


@pytest.mark.parametrize("uid", ["a/b", "../x", "a" * 65, "-a", "a\n"])
def test_a_stamp_that_is_no_uid_is_ignored_and_named(uid: str) -> None:
    told = pods.session_of(annotated(**{OWNER_POD_UID: uid}))
    assert (told.stamp_uid, told.invalid) == ("", (OWNER_POD_UID,))


@pytest.mark.parametrize(("texts", "keep"), [("1 t T TRUE true True", True), ("0 f F FALSE false False", False)])
def test_keep_is_written_as_go_reads_it(texts: str, keep: bool) -> None:
    for text in texts.split():
        told = pods.session_of(annotated(**{KEEP: text}))
        assert (told.keep, told.invalid) == (keep, ())


def test_a_pod_without_containers_has_not_started() -> None:
    told = pods.session_of(decoded(spec={"containers": []}))
    assert (told.started, told.waiting) == (None, "")


def test_the_second_restart_hides_the_first_start() -> None:
    assert pods.session_of(decoded(status=status(RUNNING, ENDED, 2))).started == AT


def test_a_start_by_a_clock_that_is_ahead() -> None:
    # It says nine seconds past, and was written at four past: the clock is five ahead, and a second may be lost.
    ahead = decoded(metadata=kubelet("2026-11-23T03:00:04Z"), status=status(RUNNING))
    assert pods.session_of(ahead).started == AT + 3


def test_a_session_ended_with_the_last_of_its_containers() -> None:
    def ended(name: str, at: str | None) -> dict[str, Any]:
        return {"name": name, "restartCount": 0, "state": {"terminated": {"exitCode": 0, "finishedAt": at}}}

    def finished(*ends: str | None, **more: Any) -> float | None:
        statuses = [ended(f"c{n}", at) for n, at in enumerate(ends)]
        return pods.session_of(decoded(status={"phase": "Succeeded", "containerStatuses": statuses, **more})).finished

    assert finished("2026-11-23T03:00:07Z", "2026-11-23T03:00:20Z", None) == AT + 20
    conditions = [
        {"type": "Ready", "status": "False", "lastTransitionTime": at}
        for at in ("2026-11-23T03:00:30Z", "2026-11-23T03:00:40Z", None)
    ]
    assert finished(None, conditions=conditions) == AT + 40


def owner_of(
    state: dict[str, Any] | None, last: dict[str, Any] | None = None, restarts: int = 0, **more: Any
) -> OwnerPod:
    """The owner that a Pod with this status is; its container is called as ``status`` calls it."""
    metadata = more.pop("metadata", {})
    told = {"status": status(state, last, restarts) | more, "metadata": metadata}
    return pods.owner_pod(decoded(**told), "shell")


def test_an_owner_is_the_whole_of_what_its_pod_says() -> None:
    told = owner_of(RUNNING)
    assert (told.name, told.uid, told.created, told.container) == ("containerssh-abcde", "u", AT, "shell")
    assert (told.running, told.terminated, told.last, told.first) == (AT + 9, None, None, True)
    assert (told.final, told.terminating, told.unreachable, told.clock_ahead) == (False, False, False, 0.0)


def test_an_owner_that_was_restarted() -> None:
    told = owner_of(RUNNING, ENDED, 1)
    assert (told.running, told.last, told.first) == (AT + 9, Span(AT + 3, AT + 8, "exit 1"), False)
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
    """Several notes."""
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
    pod = decoded(metadata=written, status=told)
    assert pods.owner_pod(pod, "shell").clock_ahead == ahead


def test_a_session_s_start_is_no_earlier_than_its_pod() -> None:
    far = decoded(metadata=kubelet("2026-11-23T03:00:00Z"), status=status(RUNNING))
    assert pods.session_of(far).started == AT

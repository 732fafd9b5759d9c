"""The sessions, as the stream of their Pods tells of them."""

from typing import Any

import pytest
import structlog

from ssh_session_gc.cluster.sessions import SessionPods
from ssh_session_gc.cluster.source import Hopeless
from ssh_session_gc.kube.servertime import ServerTime
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics
from tests.builders import T, session
from tests.harness import tell_time
from tests.support import advance

AHEAD = T + 600
"""The start of what a node says runs, whose clock is ahead."""


def source(time: ServerTime | None = None) -> tuple[SessionPods, list[str | None]]:
    """One that was told nothing yet, and what it tells of changes. It is three o'clock."""
    time, heard = time or ServerTime(), list[str | None]()
    tell_time(time)
    pods = SessionPods(Settings(), Metrics(dry_run=False), time)
    pods.changes.subscribe(heard.append)
    return pods, heard


def started(pods: SessionPods, uid: str = "u") -> float:
    """When it started, as far as is known."""
    at = pods.by_uid[uid].started
    assert at is not None
    return at


async def test_a_list_replaces_all_and_names_who_is_gone() -> None:
    pods, heard = source()
    pods.listed([session(uid="a"), session(uid="b")], ())
    assert heard == [None]
    pods.listed([session(uid="b"), session(uid="c")], ())
    assert heard == [None, "a", None]
    assert pods.by_uid.keys() == {"b", "c"}


async def test_a_change_names_its_session_and_forgetting_an_unknown_one_nobody() -> None:
    pods, heard = source()
    pods.changed(session(uid="a"))
    pods.changed(session(uid="a", keep=True))
    assert pods.by_uid["a"].keep
    pods.deleted(session(uid="a"))
    pods.deleted(session(uid="a"))
    pods.drop("a")
    assert (heard, pods.by_uid) == (["a", "a", "a"], {})


async def test_what_cannot_be_read_is_said_once_until_it_can() -> None:
    pods, _ = source()
    with structlog.testing.capture_logs() as log:
        pods.listed((), ["a: odd", "b: odd"])
        pods.unreadable("a: odd")
        pods.listed((), ["a: odd"])
        assert [line["error"] for line in log] == ["a: odd", "b: odd"]
        pods.listed((), ())
        pods.listed((), ["a: odd"])
        assert [line["error"] for line in log][2:] == ["a: odd"]


async def test_annotations_that_are_ignored_are_said_once_until_they_change() -> None:
    pods, _ = source()

    def told(*invalid: str) -> None:
        pods.changed(session(invalid=invalid))

    with structlog.testing.capture_logs() as log:
        told("keep")
        told("keep")
        told("keep", "ttl")
        told()
        told("ttl")
    assert [line["annotations"] for line in log] == [["keep"], ["keep", "ttl"], ["ttl"]]


async def test_what_runs_has_started_by_now_whatever_its_node_says() -> None:
    pods, _ = source()
    pods.changed(session(started=AHEAD))
    seen = started(pods)
    assert T <= seen < T + 60
    # It stays so, however often the node says the same.
    pods.changed(session(started=AHEAD, keep=True))
    assert started(pods) == seen
    assert pods.by_uid["u"].keep


async def test_the_earliest_start_counts_that_was_said() -> None:
    pods, _ = source()
    pods.changed(session(started=T - 10))
    pods.changed(session(started=T - 20))
    assert started(pods) == T - 20
    pods.changed(session(started=T - 5))
    assert started(pods) == T - 20


async def test_where_the_clock_moved_only_what_was_dated_by_it_moves() -> None:
    pods, _ = source()
    pods.listed([session(uid="said", started=T - 10), session(uid="seen", started=AHEAD)], ())
    seen = started(pods, "seen")
    pods.clock_moved(-300.0)
    assert started(pods, "said") == T - 10
    assert started(pods, "seen") == pytest.approx(seen - 300)


async def test_what_seemed_to_start_in_the_future_is_right_where_our_clock_was_behind() -> None:
    time = ServerTime()
    pods, _ = source(time)
    pods.changed(session(started=AHEAD))
    assert started(pods) < AHEAD
    tell_time(time, T + 1000)
    await advance(6)
    tell_time(time, T + 1006)
    assert time.now() > AHEAD
    pods.clock_moved(1000.0)
    assert started(pods) == AHEAD


@pytest.mark.parametrize(
    ("cause", "synced", "hopeless"),
    [("forbidden", False, True), ("forbidden", True, False), ("refused", False, False)],
)
async def test_a_missing_permission_is_hopeless_before_the_first_list_alone(
    cause: str, synced: bool, hopeless: bool
) -> None:
    pods, _ = source()
    if synced:
        pods.sync(None)
    caught: Any = None
    try:
        pods.restarted(cause, "403 Forbidden")
    except Hopeless as error:
        caught = str(error)
    said = "403 Forbidden; grant get, list, watch and delete on pods in namespace ssh-sessions"
    assert caught == (said if hopeless else None)

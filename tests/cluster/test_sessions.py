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


async def test_what_is_over_has_ended_by_now_whatever_its_node_says() -> None:
    time = ServerTime()
    pods, _ = source(time)
    pods.changed(session(started=T, finished=AHEAD, phase="Failed"))
    pods.changed(session(uid="w", started=T, finished=AHEAD, phase="Failed"))
    # Where the first answers were wrong, it may be right.
    assert pods.by_uid["u"].finished == AHEAD
    pods.time_is_sure()
    seen = pods.by_uid["u"].finished
    assert seen == pytest.approx(T, abs=1)
    await advance(30)
    pods.changed(session(started=T, finished=AHEAD, phase="Failed", keep=True))
    assert pods.by_uid["u"].finished == seen
    pods.changed(session(uid="v", started=T, finished=T + 10, phase="Failed"))
    assert pods.by_uid["v"].finished == T + 10
    # Nobody has ended longer ago because the clock was set.
    tell_time(time, T + 3600)
    await advance(6)
    tell_time(time, T + 3606)
    pods.clock_moved(3600.0)
    assert pods.by_uid["v"].finished == pytest.approx(T + 3606, abs=6)
    pods.changed(session(uid="v", started=T, finished=T + 10, phase="Failed", keep=True))
    assert pods.by_uid["v"].finished == pytest.approx(T + 3606, abs=6)


def created(pods: SessionPods, uid: str = "u") -> float:
    return pods.by_uid[uid].created


@pytest.mark.parametrize("ago", [5.0, 3600.0, -3600.0])
async def test_the_first_list_is_dated_by_its_pods(ago: float) -> None:
    pods, _ = source()
    pods.listed([session(created=T - ago)], ())
    assert created(pods) == T - ago
    # Once the time is sure, nobody comes out of the future.
    pods.time_is_sure()
    assert created(pods) == (T - ago if ago > 0 else pytest.approx(T + 1, abs=1.5))


@pytest.mark.parametrize(("ago", "believed"), [(0.0, True), (2.5, False), (130.0, False), (-5.0, False)])
@pytest.mark.parametrize("sure", [True, False])
async def test_who_appears_under_our_eyes_is_as_old_as_that(ago: float, believed: bool, sure: bool) -> None:
    pods, _ = source()
    pods.listed((), ())
    if sure:
        pods.time_is_sure()
    pods.changed(session(created=T - ago))
    # The time is known to a second and a half: another API server may be half a second ahead.
    assert created(pods) == (T if believed else pytest.approx(T + 1.5, abs=0.5))
    at = created(pods)
    for said in (T - 3600, T + 3600):
        pods.changed(session(created=said, keep=True))
        assert created(pods) == at


async def test_who_is_new_in_a_later_list_came_after_the_last_news() -> None:
    pods, _ = source()
    pods.listed((), ())
    pods.time_is_sure()
    pods.arrived()
    await advance(100)
    pods.listed(
        [session(uid="a", created=T - 3600), session(uid="b", created=T + 60), session(uid="c", created=T + 900)], ()
    )
    for uid in ("a", "c"):
        assert created(pods, uid) == pytest.approx(T + 101.5, abs=0.5)
    assert created(pods, "b") == T + 60


@pytest.mark.parametrize("sure", [True, False])
@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
async def test_where_the_clock_is_set_all_are_as_old_as_before(sure: bool, seconds: float) -> None:
    time = ServerTime()
    pods, _ = source(time)
    pods.listed([session(uid="listed", created=T - 100, started=T - 98)], ())
    if sure:
        pods.time_is_sure()
    pods.changed(session(uid="appeared", created=T, started=T))
    tell_time(time, T + seconds)
    await advance(6)
    tell_time(time, T + seconds + 6)
    pods.clock_moved(seconds)
    moved = pytest.approx(T + seconds, abs=1.6)
    assert created(pods, "appeared") == moved
    # Of the first list, nothing is known before the time is sure but what its Pods say.
    assert created(pods, "listed") == (pytest.approx(T - 100 + seconds, abs=1.6) if sure else T - 100)
    for uid, dated in (("appeared", T), ("listed", T - 100 if sure else None)):
        now = pods.by_uid[uid]
        assert now.dated == dated
        assert now.created_by == max(now.created, T if uid == "appeared" else T - 100)
        # Whoever had started in time still has.
        assert started(pods, uid) - now.created < 3
        pods.changed(session(uid=uid, created=T + 7, started=T, keep=True))
        assert (created(pods, uid), pods.by_uid[uid].dated) == (now.created, now.dated)
        assert started(pods, uid) - now.created < 103
    # Back again: what owners say is compared with what it was at first.
    pods.clock_moved(-seconds)
    assert pods.by_uid["appeared"].dated == T


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


async def test_what_a_watch_brings_as_it_goes_on_may_have_happened_meanwhile() -> None:
    pods, _ = source()
    pods.listed((), ())
    pods.time_is_sure()
    pods.arrived()
    await advance(100)
    pods.sync(None)
    pods.changed(session(uid="a", created=T + 60))
    pods.changed(session(uid="b", created=T - 3600))
    assert created(pods, "a") == T + 60
    assert created(pods, "b") == pytest.approx(T + 101.5, abs=0.5)
    await advance(5)
    pods.changed(session(uid="c", created=T + 60))
    assert created(pods, "c") == pytest.approx(T + 106.5, abs=0.6)

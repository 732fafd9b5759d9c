"""The owners, as the stream of their Pods tells of them."""

import pytest

from ssh_session_gc.cluster.owner_pods import OwnerPods
from ssh_session_gc.core.owners import Gap, Owners, confirmed
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.kube.servertime import ServerTime
from ssh_session_gc.kube.wire import Pod
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics
from tests.builders import T, owner_pod, wire_pod
from tests.harness import tell_time

BY_LABEL = Settings(owner=None, owner_selector="app=containerssh")


def source(settings: Settings | None = None) -> OwnerPods:
    """One that was told nothing yet. It is three o'clock."""
    time = ServerTime()
    tell_time(time)
    return OwnerPods(settings or Settings(owner_container="shell"), Metrics(dry_run=False), time)


def named(name: str) -> Pod:
    """A Pod that runs since a second after three."""
    return wire_pod(metadata={"name": name, "uid": name})


def alive(owners: Owners) -> dict[str, bool]:
    """Who lives, by Pod."""
    return {owner.pod_uid: owner.alive for owner in owners.owners}


async def test_who_is_in_no_list_any_more_is_gone_and_nobody_saw_its_end() -> None:
    pods = source()
    pods.listed([named("a"), named("b")], ())
    pods.listed([named("b")], ())
    assert alive(pods.known) == {"a": False, "b": True}
    assert [owner.confirmed for owner in pods.known.owners if owner.pod_uid == "a"] == [False]


async def test_the_stretch_since_the_last_news_is_a_gap() -> None:
    pods = source()
    pods.listed([named("a")], ())
    assert pods.known.last_gap is None
    pods.arrived()
    news = pods.last_news
    pods.listed([named("a")], ())
    assert pods.known.last_gap is not None
    assert pods.known.last_gap.start == news


async def test_the_last_state_of_a_pod_that_is_gone_tells_when_it_ended() -> None:
    pods = source()
    pods.listed([named("a")], ())
    ended = {"name": "shell", "state": {"terminated": {"finishedAt": "2026-11-23T03:00:09Z"}}}
    pods.deleted(wire_pod(metadata={"name": "a", "uid": "a"}, status={"containerStatuses": [ended]}))
    assert T + 9 in {owner.finished for owner in pods.known.owners}
    assert not any(owner.alive for owner in pods.known.owners)


async def test_each_change_is_told() -> None:
    pods, heard = source(), list[str | None]()
    pods.changes.subscribe(heard.append)
    pods.listed([named("a")], ())
    pods.changed(named("b"))
    pods.deleted(named("a"))
    pods.sync(None)
    pods.confirm(pods.known)
    assert heard == [None] * 5


async def test_a_look_up_that_found_nobody_settles_it_and_one_that_found_it_does_not() -> None:
    pods = source()
    pods.listed([named("a"), named("b"), named("c")], ())
    pods.listed([named("c")], ())
    looked_up = confirmed(pods.known, "a", T + 100).saw(owner_pod("b", running=T + 1), T + 100)
    pods.confirm(looked_up)
    told = {owner.pod_uid: (owner.alive, owner.confirmed) for owner in pods.known.owners}
    assert told == {"a": (False, True), "b": (False, False), "c": (True, True)}
    assert {owner.finished for owner in pods.known.owners if owner.pod_uid == "a"} == {T + 100}


async def test_while_one_cannot_be_read_nobody_can_tell_and_each_event_is_followed_by_a_list() -> None:
    pods = source()
    pods.listed([named("a")], ())
    pods.sync(None)
    assert [pods.incomplete, pods.why_unknown()] == [None, None]
    pods.listed([named("a")], ["b: too odd", "c: odder"])
    assert pods.incomplete == "once more from the start, as an owner Pod could not be read: b: too odd"
    assert pods.why_unknown() == "an owner Pod cannot be read: b: too odd"
    pods.listed([named("a")], ())
    assert [pods.incomplete, pods.why_unknown()] == [None, None]


async def test_why_nobody_can_tell() -> None:
    assert source().why_unknown() == "the owner's Pods are not known: it has not been read yet"
    assert source(Settings(owner=None, policy=Policy(ownerless=False))).why_unknown() is None
    pods = source(BY_LABEL)
    pods.listed((), ())
    pods.sync(None)
    assert pods.why_unknown() == "no Pod that the owner selector matches was ever seen"
    pods.changed(named("a"))
    assert pods.why_unknown() is None
    pods.deleted(named("a"))
    assert pods.why_unknown() is None
    pods.sync("503: come again")
    assert pods.why_unknown() == "the owner's Pods are not known: 503: come again"


async def test_where_the_clock_moved_what_was_dated_by_it_moves_and_the_pods_are_read_anew() -> None:
    pods = source()
    pods.listed([named("a"), named("b")], ())
    pods.arrived()
    pods.listed([named("a"), named("b")], ())
    pods.arrived()
    before, news, gap = pods.known, pods.last_news, pods.known.last_gap
    assert news is not None
    assert gap is not None
    pods.clock_moved(500.0)
    assert pods.known.watched_since == pytest.approx(before.watched_since + 500)
    assert pods.known.last_gap == Gap(gap.start + 500, gap.end + 500)
    assert pods.last_news == pytest.approx(news + 500)
    # The next list is the first: who is not in it is forgotten, and there was no gap.
    pods.listed([named("b")], ())
    assert alive(pods.known) == {"b": True}
    assert pods.known.last_gap is None
    pods.listed((), ())
    assert alive(pods.known) == {"b": False}

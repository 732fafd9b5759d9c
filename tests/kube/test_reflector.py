"""The reflector under everything that an API server and the way to it can do, over HTTP.

Each test breaks something, changes something meanwhile, and asks whether the mirror shows what is there in the end.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ssh_session_gc.sandbox import Fault, Identity
from ssh_session_gc.sandbox.kubeconfig import write_kubeconfig
from tests.kube.mirror import MirrorScene, everything_changes, reflected, three
from tests.support import advance, eventually


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[MirrorScene]:
    """One that is mirrored, with three sessions and a Pod that is none."""
    async with reflected(tmp_path) as made:
        await made.mirrored()
        assert made.mirror.pods.keys() == {"a", "b", "c"}
        yield made


async def test_changes_arrive_by_the_watch(scene: MirrorScene) -> None:
    everything_changes(scene)
    await scene.mirrored()
    assert scene.mirror.pods.keys() == {"a", "new", "other"}
    assert (scene.mirror.lists, scene.mirror.causes) == (1, [])


@pytest.mark.parametrize("harm", ["end_watches", "cut_watches"])
async def test_a_watch_that_ends_is_taken_up_where_it_ended(scene: MirrorScene, harm: str) -> None:
    await advance(10)
    getattr(scene.faults, harm)()
    everything_changes(scene)
    await scene.mirrored()
    assert scene.mirror.lists == 1
    assert scene.mirror.causes


async def test_a_watch_cut_in_the_middle_of_a_line(scene: MirrorScene) -> None:
    await advance(10)
    assert scene.faults.cut_watches(after_bytes=100)
    scene.touch("a")
    await scene.mirrored()
    everything_changes(scene)
    await scene.mirrored()
    assert (scene.mirror.lists, scene.mirror.causes) == (1, ["broken"])


async def test_a_watch_ended_by_the_server_s_timeout(scene: MirrorScene) -> None:
    await advance(500)
    assert scene.mirror.causes.count("closed") >= 1
    everything_changes(scene)
    await scene.mirrored()
    assert scene.mirror.lists == 1


async def test_a_watch_that_goes_silent_with_the_connection_open(scene: MirrorScene) -> None:
    await advance(10)
    assert scene.faults.stall_watches()
    everything_changes(scene)
    await advance(60)
    assert scene.mirror.pods != scene.truth()
    await advance(40)
    await scene.mirrored()
    assert (scene.mirror.lists, scene.mirror.causes) == (1, ["broken"])


async def test_bookmarks_keep_an_idle_watch_alive_and_its_place_fresh(scene: MirrorScene) -> None:
    arrivals = scene.mirror.arrivals
    # Changes elsewhere move the version on; what is left of history then begins after our last event.
    scene.touch("other")
    await advance(130)
    assert scene.mirror.arrivals >= arrivals + 2
    scene.store.compact()
    scene.faults.cut_watches()
    everything_changes(scene)
    await scene.mirrored()
    assert scene.mirror.lists == 1


async def test_410_as_an_event_in_a_running_watch(scene: MirrorScene) -> None:
    scene.faults.expire_watches()
    everything_changes(scene)
    await scene.mirrored()
    assert (scene.mirror.lists, scene.mirror.causes) == (2, ["expired"])


async def test_410_when_a_watch_is_taken_up_after_a_compaction(scene: MirrorScene) -> None:
    await advance(10)
    scene.faults.cut_watches()
    everything_changes(scene)
    scene.store.compact()
    await scene.mirrored()
    # What was deleted while nobody watched is noticed by its absence.
    assert "b" not in scene.mirror.pods
    assert scene.mirror.lists == 2
    assert "expired" in scene.mirror.causes


async def test_410_as_the_status_of_the_answer(scene: MirrorScene) -> None:
    scene.faults.add(Fault("status", verb="watch", code=410, times=1))
    scene.faults.cut_watches()
    everything_changes(scene)
    await scene.mirrored()
    assert scene.mirror.lists == 2


async def test_a_line_that_is_no_json(scene: MirrorScene) -> None:
    assert scene.faults.garble_watches()
    everything_changes(scene)
    await scene.mirrored()
    assert scene.mirror.lists == 2
    assert "malformed" in scene.mirror.causes


async def test_an_object_of_several_hundred_kilobytes_on_one_line(scene: MirrorScene) -> None:
    scene.add("huge", annotations={"note": "x" * 700_000})
    scene.add("after")
    await scene.mirrored()
    assert {"huge", "after"} <= scene.mirror.pods.keys()
    assert (scene.mirror.lists, scene.mirror.causes) == (1, [])


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", code=429, retry_after=1, times=3),
        Fault("status", code=500, times=3),
        Fault("status", code=503, retry_after=2, times=3),
        Fault("status", code=504, times=2),
        Fault("status", code=401, times=2),
        Fault("status", code=403, times=2),
        Fault("reset", times=3),
        Fault("truncate", times=2),
        Fault("malformed", times=2),
        Fault("gone", times=2),
        Fault("cut", after_bytes=10, times=2),
        Fault("slow", seconds=5.0, times=2),
        Fault("stall", times=1),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.code}",
)
@pytest.mark.parametrize("when", ["from the start", "later"])
async def test_it_never_gives_up(tmp_path: Path, fault: Fault, when: str) -> None:
    again = Fault(
        fault.kind, times=fault.times, code=fault.code, retry_after=fault.retry_after, after_bytes=fault.after_bytes,
        seconds=fault.seconds,
    )  # fmt: skip

    def fill(new: MirrorScene) -> None:
        three(new)
        if when == "from the start":
            new.faults.add(again)

    async with reflected(tmp_path, before=fill) as scene:
        if when == "later":
            await scene.mirrored()
            scene.faults.add(again)
            scene.faults.cut_watches()
        everything_changes(scene)
        await advance(40)
        await scene.mirrored()


async def test_it_waits_as_long_as_the_server_asks(tmp_path: Path) -> None:
    def refuse(new: MirrorScene) -> None:
        new.faults.add(Fault("status", code=429, retry_after=20, times=1))

    async with reflected(tmp_path, before=refuse) as scene:
        await eventually(lambda: scene.mirror.causes == ["throttled"])
        await advance(19)
        assert scene.mirror.lists == 0
        await advance(2)
        await scene.mirrored()


async def test_it_backs_off_while_nothing_helps(scene: MirrorScene) -> None:
    scene.faults.add(Fault("status", code=500))
    scene.faults.cut_watches()
    asked = len(scene.server.requests)
    await advance(600)
    # Every half a minute once it has backed off all the way, not hundreds of times.
    streams = [request for request in list(scene.server.requests)[asked:] if request.resource == "pods"]
    assert 15 <= len(streams) <= 40
    assert "500" in (scene.mirror.out_of_sync or "")
    scene.faults.clear()
    everything_changes(scene)
    await advance(35)
    await scene.mirrored()


async def test_a_server_that_ends_every_watch_at_once_is_not_hammered(scene: MirrorScene) -> None:
    scene.faults.add(Fault("end", verb="watch"))
    scene.faults.end_watches()
    asked = scene.requests("watch")
    await advance(60)
    assert scene.requests("watch") - asked <= 130
    everything_changes(scene)
    scene.faults.clear()
    await scene.mirrored()


async def test_a_token_that_is_rotated_on_disk(tmp_path: Path) -> None:
    async with reflected(tmp_path, token="old") as scene:
        scene.add("d")
        await scene.mirrored()
        scene.server.tokens = {"new": Identity("gc")}
        write_kubeconfig(tmp_path / "kubeconfig", scene.server.url, token="new")
        scene.faults.cut_watches()
        scene.add("e")
        await scene.mirrored()
        # Whichever request was refused first had the token read again.
        assert 401 in {request.code for request in scene.server.requests}


async def test_a_server_that_is_restarted_elsewhere_in_time(scene: MirrorScene) -> None:
    await scene.server.stop()
    everything_changes(scene)
    await advance(120)
    assert "unreachable" in (scene.mirror.out_of_sync or "")
    port = int(scene.server.url.rpartition(":")[2])
    await scene.server.start(port=port)
    await advance(31)
    await scene.mirrored()

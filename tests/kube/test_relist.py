"""A reflector that is told to list anew, or whose sink says that single changes do not suffice."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from ssh_session_gc.kube.reflector import Reflector
from ssh_session_gc.kube.wire import Pod
from ssh_session_gc.sandbox import Fault
from tests.kube.mirror import EVERY_POD, MirrorScene, everything_changes, reflected, three
from tests.support import advance, eventually

AGAIN = "it is read from the start"


async def again(scene: MirrorScene, lists: int) -> None:
    """Returns when so many lists came, without the time moving on. The sink has been told why."""
    await eventually(lambda: scene.mirror.lists == lists, f"{lists} lists")
    assert AGAIN in [why for _, why in scene.mirror.said]


async def test_while_it_watches_it_lists_anew_at_once(tmp_path: Path) -> None:
    async with reflected(tmp_path) as scene:
        await scene.mirrored()
        scene.reflector.relist()
        await again(scene, 2)
        await eventually(lambda: scene.mirror.out_of_sync is None)
        everything_changes(scene)
        await scene.mirrored()
        # It is no failure of the stream, and the watch goes on from the new list.
        assert (scene.mirror.lists, scene.mirror.causes) == (2, [])


async def test_while_it_lists_it_begins_anew(tmp_path: Path) -> None:
    def stall(new: MirrorScene) -> None:
        three(new)
        new.faults.add(Fault("stall", verb="list", times=1))

    async with reflected(tmp_path, before=stall) as scene:
        await eventually(lambda: scene.requests("list") == 1)
        scene.reflector.relist()
        await again(scene, 1)
        assert scene.requests("list") == 2
        await scene.mirrored()


async def test_while_it_waits_after_a_failure_it_lists_at_once(tmp_path: Path) -> None:
    def refuse(new: MirrorScene) -> None:
        three(new)
        new.faults.add(Fault("status", verb="list", code=403, times=1))

    async with reflected(tmp_path, before=refuse) as scene:
        await eventually(lambda: scene.mirror.causes == ["forbidden"])
        scene.reflector.relist()
        await again(scene, 1)
        await scene.mirrored()


async def test_twice_in_a_row_is_once(tmp_path: Path) -> None:
    async with reflected(tmp_path) as scene:
        await scene.mirrored()
        scene.reflector.relist()
        scene.reflector.relist()
        await again(scene, 2)
        everything_changes(scene)
        await scene.mirrored()
        assert scene.mirror.lists == 2
        scene.reflector.relist()
        await again(scene, 3)
        await scene.mirrored()


def other(reflector: Reflector[Pod]) -> None:
    reflector.relist(EVERY_POD)


async def test_before_it_ran_it_begins_with_the_other_collection(tmp_path: Path) -> None:
    async with reflected(tmp_path, ready=other) as scene:
        await eventually(lambda: scene.mirror.pods.keys() == {"a", "b", "c", "other"})
        assert (scene.mirror.lists, scene.requests("list")) == (1, 1)


async def test_it_goes_over_to_another_collection(tmp_path: Path) -> None:
    async with reflected(tmp_path) as scene:
        await scene.mirrored()
        other(scene.reflector)
        await again(scene, 2)
        assert scene.mirror.pods.keys() == {"a", "b", "c", "other"}
        # And watches that one: nobody selects what appears now.
        scene.add("new", session=False)
        scene.remove("other")
        await eventually(lambda: scene.mirror.pods.keys() == {"a", "b", "c", "new"})
        assert scene.mirror.lists == 2


def ends(scene: MirrorScene) -> None:
    scene.faults.end_watches()


def expires(scene: MirrorScene) -> None:
    scene.store.compact()
    scene.faults.expire_watches()


@pytest.mark.parametrize("harm", [lambda _: None, ends, expires])
@pytest.mark.parametrize("glances", range(0, 12, 3))
async def test_no_change_is_lost_whenever_it_is_told(
    tmp_path: Path, harm: Callable[[MirrorScene], None], glances: int
) -> None:
    async with reflected(tmp_path) as scene:
        await scene.mirrored()
        for number in range(10):
            scene.add(f"new-{number}")
            scene.touch("a")
            harm(scene)
            scene.reflector.relist()
            # Each time it is at another point of what it does then.
            for _ in range(glances):
                await asyncio.sleep(0)
            scene.remove(f"new-{number}")
            scene.touch("b")
        await scene.mirrored()
        assert scene.mirror.pods.keys() == {"a", "b", "c"}


async def test_a_sink_that_single_changes_do_not_suffice_for_gets_lists_ever_more_slowly(tmp_path: Path) -> None:
    async with reflected(tmp_path) as scene:
        await scene.mirrored()
        scene.mirror.incomplete = "not all can be read"
        for number in range(4):
            said = len(scene.mirror.said)
            scene.touch("a")
            await eventually(lambda said=said: len(scene.mirror.said) > said)  # type: ignore[misc]
            at, why = scene.mirror.said[said]
            assert "not all can be read" in (why or "")
            await advance(0.5 + 0.5 * 2**number)
            await scene.mirrored()
            assert scene.mirror.lists == 2 + number
            assert scene.mirror.listed_at[-1] - at >= 0.5 * 2**number
        assert scene.mirror.causes == ["malformed"] * 4


async def test_a_bookmark_is_no_change(tmp_path: Path) -> None:
    async with reflected(tmp_path) as scene:
        await scene.mirrored()
        scene.mirror.incomplete = "not all can be read"
        arrivals = scene.mirror.arrivals
        await advance(130)
        assert scene.mirror.arrivals >= arrivals + 2
        assert scene.mirror.lists == 1


async def test_once_single_changes_suffice_again_there_are_no_more_lists(tmp_path: Path) -> None:
    async with reflected(tmp_path) as scene:
        await scene.mirrored()
        scene.mirror.incomplete = "not all can be read"
        scene.touch("a")
        await advance(1)
        await eventually(lambda: scene.mirror.lists == 2)
        scene.mirror.incomplete = None
        everything_changes(scene)
        await scene.mirrored()
        assert scene.mirror.lists == 2


async def test_after_its_end_it_does_nothing(tmp_path: Path) -> None:
    async with reflected(tmp_path) as scene:
        await scene.mirrored()
    scene.reflector.relist()
    await advance(1)
    assert scene.mirror.lists == 1

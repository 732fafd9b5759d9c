"""Lists in pages."""

from pathlib import Path

import pytest

from ssh_session_gc.kube.errors import Malformed
from ssh_session_gc.kube.listing import PAGE, Listing, list_all
from ssh_session_gc.sandbox import Fault
from tests.harness import connected
from tests.kube.mirror import EVERY_POD, SESSION_PODS, MirrorScene, reflected


async def test_many_pages(tmp_path: Path) -> None:
    def fill(new: MirrorScene) -> None:
        for n in range(PAGE + 2):
            new.add(f"pod-{n}")

    async with reflected(tmp_path, before=fill) as scene:
        await scene.mirrored()
        assert len(scene.mirror.pods) == PAGE + 2
        assert (scene.mirror.lists, scene.requests("list")) == (1, 2)


async def test_a_continue_token_that_expires_between_two_pages(tmp_path: Path) -> None:
    def fill(new: MirrorScene) -> None:
        for n in range(PAGE + 2):
            new.add(f"pod-{n}")
        # The first page is answered; the second finds its token expired.
        new.faults.add(Fault("slow", verb="list", times=1))
        new.faults.add(Fault("gone", verb="list", times=1))

    async with reflected(tmp_path, before=fill) as scene:
        await scene.mirrored()
        assert len(scene.mirror.pods) == PAGE + 2
        # The third is the first page once more: all in one piece would take many times the memory.
        assert (scene.mirror.lists, scene.requests("list")) == (1, 4)


async def test_after_each_page_it_is_told_how_many_there_are(tmp_path: Path) -> None:
    def fill(new: MirrorScene) -> None:
        for n in range(2 * PAGE + 1):
            new.add(f"pod-{n}", session=n > 0)

    async with reflected(tmp_path, before=fill) as scene, connected(scene.server.url) as api:
        told: list[int] = []
        found = await list_all(api, EVERY_POD, told.append)
        assert told == [PAGE, 2 * PAGE, 2 * PAGE + 1]
        assert (len(found.items), found.broken) == (2 * PAGE + 1, [])
        assert len((await list_all(api, SESSION_PODS)).items) == 2 * PAGE
        [one] = (await list_all(api, SESSION_PODS.named("pod-7"))).items
        assert one.metadata.name == "pod-7"
        # It is there, and not selected.
        assert (await list_all(api, SESSION_PODS.named("pod-0"))).items == []


def test_a_list_is_whole_where_all_of_it_can_be_read() -> None:
    assert Listing(["a"], [], "1").whole("a letter") == ["a"]
    with pytest.raises(Malformed, match=r"^a letter cannot be read: b: too long$"):
        Listing(["a"], ["b: too long", "c: too short"], "1").whole("a letter")

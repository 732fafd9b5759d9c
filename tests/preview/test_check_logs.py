"""The preflight on ContainerSSH's log: what recorded lines show, and each way in which a log does not come."""

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ssh_session_gc.containerssh.log import Entry, entry
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.preview.check_logs import LONGEST_READ, TAIL, check_logs, grace, judged, tried
from ssh_session_gc.preview.permissions import Finding, Mark
from ssh_session_gc.sandbox import Fault, World
from ssh_session_gc.settings import Settings
from tests.harness import connected
from tests.preview.test_check import cluster, findings, lively
from tests.support import advance, eventually

REAL = Path(__file__).parents[1] / "data/recordings/real"
DEBUG = "set log.level to debug in ContainerSSH's configuration: only then it tells when a connection ends"


def recorded(name: str) -> list[bytes]:
    """The lines of the owners' logs in a recording."""
    entries = [json.loads(line) for line in (REAL / f"real-{name}.jsonl").read_text().splitlines()]
    return [each["line"].encode() for each in entries if "line" in each]


def of_level(lines: Iterable[bytes], *levels: str) -> list[bytes]:
    """What is left of them where less than these levels is not written."""
    return [line for line in lines if (found := entry(line)) is not None and found.level in levels]


def line(code: str, second: int, pod: str = "", connection: str = "c", level: str = "debug") -> Entry:
    """A line of the first minutes of an hour."""
    at = f"2026-11-25T09:{second // 60:02}:{second % 60:02}Z"
    details = {"connectionId": connection, **({"podName": pod} if pod else {})}
    made = {"timestamp": at, "level": level, "code": code, "message": "", "details": details}
    found = entry(f"{at} {json.dumps(made)}".encode())
    assert found is not None
    return found


def judge(lines: Iterable[bytes]) -> Finding:
    return judged("the log", [entry(each) for each in lines])


# The lines


@pytest.mark.parametrize("path", sorted(REAL.glob("*.jsonl")), ids=lambda path: path.stem)
def test_every_recorded_log_is_at_debug(path: Path) -> None:
    found = judge(recorded(path.stem.removeprefix("real-")))
    assert found == (Mark.GOOD, "the log is ljson, at level debug: it tells when a connection ends", "")


def test_without_debug_it_tells_less() -> None:
    lines = recorded("late-ready")
    info, errors = of_level(lines, "info", "error"), of_level(lines, "error")
    assert (len(info), len(errors)) == (15, 3)
    less = "it tells only what ContainerSSH gives up"
    assert judge(info) == (Mark.OPEN, f"the log is ljson, at level info (no debug in 15 lines): {less}", DEBUG)
    what = f"the log is ljson, at level notice or above (no debug in 3 lines): {less}"
    assert judge(errors) == (Mark.OPEN, what, DEBUG)


def test_an_empty_log_tells_nothing_yet() -> None:
    mark, what, todo = judge([])
    assert (mark, what) == (Mark.OPEN, "the log is empty: nothing can be said of its level yet")
    assert "log.level debug and log.destination stdout" in todo


@pytest.mark.parametrize(("count", "mark"), [(1, Mark.OPEN), (19, Mark.OPEN), (20, Mark.BAD), (500, Mark.BAD)])
def test_a_log_as_text(count: int, mark: Mark) -> None:
    found = judge(
        [b"2026-11-25T09:39:45.358282284Z 2026-11-25T09:39:45Z\tdebug\tSSH_CONNECTED\tClient \x1b[2J"] * count
    )
    assert found[:2] == (mark, "the log is not in the format ljson, so that it tells nothing")
    assert found.todo.startswith("set log.format to ljson")


def test_other_words_among_the_lines_do_no_harm() -> None:
    assert judge([b"2026-11-25T09:39:45Z panic: runtime error"] * 50 + recorded("life")).mark is Mark.GOOD


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"x",
        b"x {",
        b"x []",
        b"x \xff\xfe",
        b'x {"timestamp":"2026-11-25T09:39:45Z","level":5,"code":"SSH_CONNECTED"}',
        b'x {"timestamp":"2026-11-25T09:39:45","level":"debug","code":"SSH_CONNECTED"}',
        b'x {"timestamp":"yesterday","level":"debug","code":"SSH_CONNECTED"}',
        b'x {"timestamp":"2026-11-25T09:39:45Z","level":"\xff","code":"SSH_CONNECTED"}',
        b'x {"timestamp":"2026-11-25T09:39:45Z","level":"debug","code":"A","details":' + b"[" * 5000,
    ],
)
def test_what_is_no_entry(text: bytes) -> None:
    assert entry(text) is None


# For how long a deletion is tried


def all_of(lines: Iterable[bytes]) -> list[Entry]:
    return [found for each in lines if (found := entry(each)) is not None]


def test_a_recorded_deletion_that_fails_shows_how_long_it_is_tried() -> None:
    lines = recorded("delete-fails")
    assert tried(all_of(lines)) == 60.0
    # What came before the last lines that were read is missing.
    assert tried(all_of(lines[-2:])) == 9.0
    assert tried(all_of(of_level(lines, "error"))) == 0.0


@pytest.mark.parametrize("name", ["life", "late-ready", "session-mode", "crash", "persistent"])
def test_where_deletions_succeed_it_cannot_be_seen(name: str) -> None:
    assert tried(all_of(recorded(name))) == 0.0


def test_each_session_counts_by_itself_and_the_longest_is_taken() -> None:
    failed, removes = "KUBERNETES_POD_REMOVE_FAILED", "KUBERNETES_POD_REMOVE"
    assert tried([]) == 0.0
    assert (
        tried([line(failed, 0, "a"), line(failed, 100, "b"), line(failed, 10, "a"), line(failed, 120, "b")]) == 20.0
    )
    assert tried([line(removes, 3, "a"), line(failed, 10, "a")]) == 7.0
    assert tried([line("SSH_DISCONNECTED", 1), line(removes, 3, "a"), line(failed, 10, "a")]) == 9.0
    # In session mode a Pod is deleted before its connection ends.
    assert tried([line(removes, 3, "a"), line("SSH_DISCONNECTED", 5), line(failed, 10, "a")]) == 7.0
    other = line("SSH_DISCONNECTED", 1, connection="d")
    assert tried([other, line(failed, 5, "a"), line(failed, 10, "a")]) == 5.0
    assert tried([line(failed, 0), line(failed, 10)]) == 0.0
    assert tried([line(failed, 20, "a"), line(failed, 10, "a")]) == 0.0


@pytest.mark.parametrize(
    ("abandoned", "seen", "mark"),
    [
        (90, 60, Mark.GOOD),
        (71, 60, Mark.GOOD),
        (70, 60, Mark.BAD),
        (60, 60, Mark.BAD),
        (0, 60, Mark.BAD),
        (90, 300, Mark.BAD),
        (90, 0, Mark.OPEN),
        (0, 0, Mark.OPEN),
    ],
)
def test_the_grace_is_above_what_was_seen(abandoned: float, seen: float, mark: Mark) -> None:
    found = grace(abandoned, seen)
    assert found.mark is mark
    assert ("raise --abandoned-grace" in found.todo) == (mark is Mark.BAD)


def test_the_words_about_the_grace() -> None:
    longest = "ContainerSSH was seen to try for 1m to delete a session"
    assert grace(90, 60).what == f"abandoned-grace is 1m30s, and {longest}, which is less"
    assert grace(45, 60).what == f"abandoned-grace is 45s, and {longest} (every 10s)"
    assert "it must be above ContainerSSH's timeouts.podStop (60s by default)" in grace(45, 0).what


# Over HTTP


async def said(world: World, tmp_path: Path, **settings: Any) -> list[Finding]:
    """What is said of the logs."""
    found = await findings(world, tmp_path, **settings)
    subjects = ("the log of ", "abandoned-grace", "ContainerSSH's log")
    return [each for each in found if each.what.startswith(subjects)]


async def single(world: World) -> None:
    """Has one ContainerSSH run."""
    world.deploy()
    await world.ready()
    world.open("alice")
    await advance(3)


async def test_each_log_has_a_line_and_only_its_end_is_read(tmp_path: Path) -> None:
    async with cluster() as world:
        await lively(world)
        *logs, limit = await said(world, tmp_path)
        assert [mark for mark, _, _ in logs] == [Mark.GOOD, Mark.GOOD]
        assert len({what for _, what, _ in logs}) == 2
        assert limit.mark is Mark.OPEN
        asked = [each.path for each in world.server.requests if each.resource == "pods/log"]
        assert len(asked) == 2
        assert all(f"tailLines={TAIL}" in path and "follow" not in path for path in asked)


async def test_a_containerssh_that_says_nothing(tmp_path: Path) -> None:
    async with cluster(log_level="notice") as world:
        await single(world)
        (mark, what, _), limit = await said(world, tmp_path)
        assert mark is Mark.OPEN
        assert what.endswith(" is empty: nothing can be said of its level yet")
        assert limit.mark is Mark.OPEN


async def test_a_deletion_that_fails(tmp_path: Path) -> None:
    async with cluster(node_silence=600) as world:
        world.deploy()
        await world.ready()
        alice = world.open("alice")
        await advance(3)
        world.cut_off()
        world.close(alice)
        await advance(65)
        world.heal()
        await advance(3)
        assert [mark for mark, _, _ in await said(world, tmp_path)] == [Mark.GOOD, Mark.GOOD]
        *_, limit = await said(world, tmp_path, policy=Policy(abandoned_grace=60))
        assert limit.mark is Mark.BAD
        assert limit.what.startswith("abandoned-grace is 1m, and ContainerSSH was seen to try for 1m")


async def test_logs_that_are_not_to_be_read(tmp_path: Path) -> None:
    async with cluster() as world:
        await lively(world)
        ((mark, what, todo),) = await said(world, tmp_path, owner_logs=False)
        assert (mark, todo) == (Mark.OPEN, "")
        assert what.startswith("ContainerSSH's log is not read (--no-owner-logs): Abandoned goes by newer Pods alone")
        async with connected(world.url) as api:
            settings = Settings(owner_logs=False, owner_metrics_port=9100)
            ((_, what, _),) = [each async for each in check_logs(api, settings, ())]
        assert "Abandoned goes by newer Pods and ContainerSSH's metrics, owners by the stamp" in what
        assert not [each for each in world.server.requests if each.resource == "pods/log"]


@pytest.mark.parametrize(
    ("code", "mark", "words", "todo"),
    [
        (403, Mark.BAD, "may not be read: 403 ", "grant get on pods/log in namespace containerssh"),
        (400, Mark.OPEN, "is not there at present: 400 ", "try again"),
        (404, Mark.OPEN, "is not there at present: 404 ", "try again"),
        (500, Mark.BAD, "cannot be read: 500 ", "the API server has it from the kubelet"),
    ],
)
async def test_a_log_that_is_refused(code: int, mark: Mark, words: str, todo: str, tmp_path: Path) -> None:
    async with cluster() as world:
        await single(world)
        world.faults.add(Fault("status", resource="pods/log", code=code))
        (found,) = await said(world, tmp_path)
        assert found.mark is mark
        assert words in found.what
        assert found.todo.startswith(todo)


async def test_one_log_that_is_refused_leaves_the_other(tmp_path: Path) -> None:
    async with cluster() as world:
        await lively(world)
        world.faults.add(Fault("status", resource="pods/log", code=403, times=1))
        assert sorted(mark for mark, _, _ in await said(world, tmp_path)) == [Mark.OPEN, Mark.GOOD, Mark.BAD]


@pytest.mark.parametrize(("kind", "mark"), [("cut", Mark.BAD), ("malformed", Mark.GOOD)])
async def test_a_log_that_breaks_off_or_is_garbled(kind: Any, mark: Mark, tmp_path: Path) -> None:
    async with cluster() as world:
        await single(world)
        world.faults.add(Fault(kind, resource="pods/log", after_bytes=50))
        assert (await said(world, tmp_path))[0].mark is mark


async def test_a_log_that_does_not_come(tmp_path: Path) -> None:
    async with cluster() as world:
        await single(world)
        world.faults.add(Fault("stall", resource="pods/log"))
        asked = asyncio.create_task(said(world, tmp_path))
        await eventually(lambda: any(each.resource == "pods/log" for each in world.server.requests))
        await advance(LONGEST_READ)
        ((mark, what, todo),) = await asked
        assert mark is Mark.OPEN
        assert what.endswith(" does not come within 10s")
        assert "look after that node" in todo


async def test_a_pod_on_no_node_has_an_empty_log(tmp_path: Path) -> None:
    async with cluster() as world:
        await single(world)
        world.faults.add(Fault("status", resource="pods/log", code=204))
        assert (await said(world, tmp_path))[0].what.endswith(" is empty: nothing can be said of its level yet")

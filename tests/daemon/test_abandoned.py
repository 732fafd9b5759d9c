"""Sessions that a living ContainerSSH left behind: seen in its log, collected, and nobody else."""

from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from ssh_session_gc.core.policy import Policy
from ssh_session_gc.sandbox import Fault, World
from ssh_session_gc.sandbox.api.objects import PODS
from ssh_session_gc.sandbox.node.logs import LogLine
from tests.daemon.scene import OWNERS, restricted_scene, scene
from tests.harness import running
from tests.support import advance, eventually


async def test_a_command_with_a_terminal_that_printed_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        alice, _ = await s.open("alice", "bob")
        s.world.leave(alice)
        await advance(85)
        assert s.gc.collected() == {}
        assert s.gc.evidence("alice").endswith("logged (SSH_DISCONNECTED), and it is still there")
        await advance(10)
        await s.collected(alice="Abandoned")
        await advance(300)
        assert s.gc.collected() == {"alice": "Abandoned"}
        assert s.world.lost_live() == []


async def test_a_log_is_read_from_its_beginning(tmp_path: Path) -> None:
    async with World() as world:
        world.deploy(1)
        await advance(5)
        alice, _ = world.open("alice"), world.open("bob")
        await advance(5)
        world.leave(alice)
        await advance(30)
        async with running(world.url, tmp_path) as gc:
            await gc.synced()
            await advance(95)
            await eventually(lambda: gc.collected() == {"alice": "Abandoned"}, "alice")


async def test_who_has_left_cleanly_or_stays_is_left_alone(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        alice, _ = await s.open("alice", "bob")
        s.world.close(alice)
        await advance(300)
        assert s.gc.collected() == {}


async def test_the_logs_may_not_be_read(tmp_path: Path) -> None:
    async with restricted_scene(tmp_path, f"get pods/log {OWNERS}") as s:
        await s.gc.synced()
        [alice] = await s.open("alice")
        s.world.leave(alice)
        await advance(300)
        assert s.gc.collected() == {}
        said = [line for line in s.gc.logged("stream_interrupted") if line["stream"] == "owner-logs"]
        assert len(said) == 1
        assert "grant get on pods/log in namespace containerssh" in said[0]["hint"]
        s.world.crash()
        await advance(100)
        await s.collected(alice="Ownerless")


async def test_logs_that_are_turned_off_are_not_asked_for(tmp_path: Path) -> None:
    async with scene(tmp_path, owner_logs=False) as s:
        [alice] = await s.open("alice")
        s.world.leave(alice)
        await advance(300)
        assert s.gc.collected() == {}
        assert not [r for r in s.world.server.requests if r.resource == "pods/log"]


@pytest.mark.parametrize("stamp", [True, False])
async def test_an_owner_that_ended_is_told_from_a_younger_one(tmp_path: Path, stamp: bool) -> None:
    async with scene(tmp_path, replicas=2, stamp=stamp) as s:
        await s.open("alice", replica=0)
        await s.open("bob", replica=1)
        s.world.crash()  # the oldest
        await advance(70)
        await s.collected(alice="Ownerless")
        await advance(300)
        assert s.gc.collected() == {"alice": "Ownerless"}


async def test_a_log_that_breaks_off_is_taken_up_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        alice, bob = await s.open("alice", "bob")
        s.world.faults.cut_watches(resource="pods/log")
        s.world.faults.add(Fault("status", verb="get", resource="pods/log", code=500, times=3))
        s.world.leave(alice)
        await advance(60)
        s.world.faults.end_watches(resource="pods/log")
        s.world.leave(bob)
        await advance(150)
        await s.collected(alice="Abandoned", bob="Abandoned")


async def test_a_log_in_another_time_zone_is_taken_up_where_it_was(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        log = s.world.containerssh.replicas[0].process.log
        at = datetime.fromtimestamp(log.now(), timezone(timedelta(hours=5, minutes=30))).isoformat()
        log.add(LogLine(log.now(), b"{}", at))
        await advance(2)
        s.world.faults.cut_watches(resource="pods/log")
        s.world.leave(alice)
        await advance(5)
        [*_, again] = [each.path for each in s.world.server.requests if each.resource == "pods/log"]
        assert parse_qs(urlsplit(again).query)["sinceTime"] == [at]
        await advance(100)
        await s.collected(alice="Abandoned")


async def test_a_line_of_a_strangers_does_not_spoil_where_to_go_on(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        s.world.faults.garble_watches(resource="pods/log")
        s.world.containerssh.replicas[0].process.log.write(b"tomorrowZ is no time")
        await advance(2)
        s.world.faults.cut_watches(resource="pods/log")
        s.world.leave(alice)
        await advance(100)
        await s.collected(alice="Abandoned")


async def test_an_owner_that_lost_its_label_for_a_while_is_heard_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        pod = s.world.containerssh.replicas[0].process.pod

        def labelled(value: str) -> None:
            s.world.store.update(PODS, OWNERS, pod, lambda each: each["metadata"]["labels"].update(app=value))

        labelled("quarantined")
        await advance(3)
        labelled("containerssh")
        await advance(30)
        s.world.leave(alice)
        await advance(100)
        await s.collected(alice="Abandoned")


async def test_a_log_in_another_format_is_said_once(tmp_path: Path) -> None:
    async with scene(tmp_path, world=World(log_level="notice")) as s:
        log = s.world.containerssh.replicas[0].process.log
        for number in range(50):
            log.write(f"2026-11-25T10:39:{number:02}Z\tdebug\tssh\tClient disconnected")
        await advance(5)
        s.world.faults.end_watches(resource="pods/log")
        await advance(10)
        [said] = s.gc.logged("owner_log_not_json")
        assert "log.format to ljson" in said["hint"]


async def test_a_clock_of_the_node_that_is_behind_ends_nothing_early(tmp_path: Path) -> None:
    async with scene(tmp_path, world=World(skews={"node1": -15.0})) as s:
        [alice] = await s.open("alice")
        s.world.leave(alice)
        await advance(88)
        assert s.gc.collected() == {}
        await advance(5)
        await s.collected(alice="Abandoned")


async def test_what_contains_nothing_of_ours(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=Policy(max_age=0.0)) as s:
        [alice] = await s.open("alice")
        log = s.world.containerssh.replicas[0].process.log
        for text in (b"\xff\xfe" * 5000, b"{" * 100_000, b'{"code":"SSH_DISCONNECTED"}', b"panic: SSH_DISCONNECTED"):
            log.write(text)
        await advance(5)
        s.world.leave(alice)
        await eventually(lambda: s.gc.verdict("alice").due is not None, "its end")
        await advance(95)
        await s.collected(alice="Abandoned")

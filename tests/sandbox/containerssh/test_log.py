"""ContainerSSH's log: its lines are those of the recordings, word for word."""

import json
import re
from typing import Any

import pytest

from ssh_session_gc.sandbox import Program, TrueSession, World
from ssh_session_gc.sandbox.api.objects import NAMESPACES, timestamp
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.containerssh import lines as words
from ssh_session_gc.sandbox.containerssh.log import Entry, Login
from tests.sandbox.containerssh.stories import REAL, codes, told
from tests.sandbox.worlds import ready
from tests.support import advance

LOGIN = Login("5dbe46d840824a7aa0801a0297881a6a", "10.244.0.1", "alice")
POD = "containerssh-hj7gb"
OPENED = ["SSH_CONNECTED", "SSH_AUTH_SUCCESSFUL", "KUBERNETES_POD_CREATE", "KUBERNETES_POD_WAIT"]
UP = [
    *("SSH_HANDSHAKE_SUCCESSFUL", "SSH_NEW_CHANNEL", "SSH_CHANNEL_REQUEST"),
    *("KUBERNETES_EXEC", "KUBERNETES_PID_RECEIVED", "SSH_CHANNEL_REQUEST_SUCCESSFUL"),
]
CLOSED = ["SSH_DISCONNECTED", "KUBERNETES_POD_REMOVE"]


def test_every_line_is_one_of_the_recordings() -> None:
    entries = [
        *words.start(),
        *words.stopping(),
        *words.stopped(),
        *words.connected(LOGIN),
        *words.admitted(LOGIN),
        *words.looked_up(LOGIN, POD),
        words.creates(LOGIN),
        words.waits(LOGIN, POD),
        words.executes(LOGIN, POD),
        words.attaches(LOGIN, POD),
        *words.runs(LOGIN, POD),
        words.came_too_late(LOGIN, POD),
        *words.not_created(LOGIN, words.TOO_LATE),
        words.exit_unknown(LOGIN, POD, last=False),
        words.exit_unknown(LOGIN, POD, last=True),
        words.exited(LOGIN, 0),
        words.disconnected(LOGIN),
        *words.signals(LOGIN, POD, "KILL"),
        *words.signals(LOGIN, POD, "TERM"),
        *words.signalled(LOGIN, POD, "KILL"),
        *words.signalled(LOGIN, POD, "TERM"),
        words.not_signalled(LOGIN, POD),
        words.keeps(LOGIN, POD),
        words.not_asked(LOGIN, POD),
        words.removes(LOGIN, POD),
        words.removed(LOGIN, POD),
        words.not_removed(LOGIN, POD, words.forbidden("ssh-sessions", POD), last=False),
        words.not_removed(LOGIN, POD, words.forbidden("ssh-sessions", POD), last=True),
    ]
    recorded = {
        anonymous(line["line"].partition(" ")[2])
        for path in REAL.glob("*.jsonl")
        for line in map(json.loads, path.read_text().splitlines())
        if line.get("stream") == "owner-log" and "line" in line
    }
    assert [line for line in (entry.text(0) for entry in entries) if anonymous(line) not in recorded] == []


def anonymous(line: str) -> str:
    """A line without what is another one each time."""
    for pattern, word in (
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
        (r"containerssh-\w{5}\b|home-\w+", "POD"),
        (r"\b[0-9a-f]{32}\b", "ID"),
        (r"\b(alice|bob|carol|dave)\b", "USER"),
        (r"(?i)(?<=pid )\d+", "PID"),
    ):
        line = re.sub(pattern, word, line)
    return line


def test_text_is_escaped_as_go_does_it() -> None:
    line = Entry("info", "A", 'ä <b> & "c"\u2028', {}).text(0)
    assert r'"ä \u003cb\u003e \u0026 \"c\"\u2028"' in line
    assert json.loads(line)["message"] == 'ä <b> & "c"\u2028'


async def test_a_life_is_told() -> None:
    async with World(skews={"node1": 90.0}) as world:
        session = await opened(world)
        began = [line["code"] for line in told(session) if "connectionId" not in line["details"]]
        assert began == [entry.code for entry in words.start()]
        await advance(3)
        world.close(session)
        assert codes(session) == [*OPENED, *UP, "SSH_EXIT", *CLOSED, "KUBERNETES_POD_REMOVE_SUCCESSFUL"]
        assert {line["details"]["podName"] for line in told(session) if "podName" in line["details"]} == {
            session.name
        }
        at = session.creator.log.lines[-1].at
        assert at == pytest.approx(world.store.now() + 90.0, abs=0.5)
        assert told(session)[-1]["timestamp"] == timestamp(at)


async def test_a_bad_image_is_told() -> None:
    async with World() as world:
        session = await opened(world, image="example/shell:missing")
        await advance(59)
        assert codes(session) == OPENED
        await advance(2)
        assert codes(session) == [
            *OPENED,
            "KUBERNETES_POD_WAIT_FAILED",
            "KUBERNETES_POD_CREATE_FAILED",
            "SSH_BACKEND_REJECTED_HANDSHAKE",
            "SSH_HANDSHAKE_FAILED",
            "SSH_DISCONNECTED",
        ]
        failed, *_, gone = told(session)[-5:]
        assert (failed["details"]["podName"], failed["level"]) == (session.name, "error")
        assert "username" not in gone["details"]


async def test_one_who_closes_before_the_pod_is_up_is_not_sent_away_later() -> None:
    async with World(images={"example/slow:v1": Program(pull=70.0)}) as world:
        session = await opened(world, image="example/slow:v1")
        world.close(session)
        await advance(70)
        assert codes(session) == [*OPENED, *CLOSED, "KUBERNETES_POD_REMOVE_SUCCESSFUL"]
        assert (session.closed, session.given_up) == (True, False)


async def test_one_who_leaves_is_told_and_the_pod_stays() -> None:
    async with World() as world:
        session = await opened(world)
        world.leave(session)
        assert (session.live, session.left) == (True, None), "nothing can have run yet"
        await advance(3)
        world.leave(session)
        left = session.left
        assert left == pytest.approx(world.store.now(), abs=0.5)
        assert codes(session) == [*OPENED, *UP, "SSH_EXIT", "SSH_DISCONNECTED"]
        world.close(session)
        world.leave(session)
        await advance(100)
        assert codes(session)[-2:] == ["SSH_EXIT", "SSH_DISCONNECTED"]
        assert session.creator.alive
        assert session.left == left
        assert (world.orphans(), world.live()) == ([session], [])


async def test_a_deletion_that_fails_is_tried_for_a_minute() -> None:
    async with World() as world:
        session = await opened(world)
        await advance(3)
        world.cut_off()
        world.close(session)
        await advance(59)
        assert codes(session)[len(OPENED + UP) :] == ["SSH_EXIT", *CLOSED, *["KUBERNETES_POD_REMOVE_FAILED"] * 6]
        assert told(session)[-1]["level"] == "debug"
        await advance(2)
        assert codes(session).count("KUBERNETES_POD_REMOVE_FAILED") == 7
        assert told(session)[-1]["level"] == "error"
        world.heal()
        await advance(30)
        assert codes(session)[-1] == "KUBERNETES_POD_REMOVE_FAILED"
        assert world.orphans() == [session]


async def test_a_deletion_succeeds_when_the_api_server_is_back() -> None:
    async with World() as world:
        session = await opened(world)
        await advance(3)
        world.cut_off()
        world.close(session)
        await advance(15)
        assert (session.given_up, world.orphans()) == (True, [session])
        world.heal()
        await advance(6)
        assert codes(session)[-3:] == [*["KUBERNETES_POD_REMOVE_FAILED"] * 2, "KUBERNETES_POD_REMOVE_SUCCESSFUL"]
        assert (session.given_up, session.closed, session.deleted, world.orphans()) == (False, True, None, [])
        await advance(60)
        assert session.gone
        assert codes(session)[-1] == "KUBERNETES_POD_REMOVE_SUCCESSFUL"


async def test_a_process_that_dies_tries_no_longer() -> None:
    async with World() as world:
        session = await opened(world)
        await advance(3)
        world.cut_off()
        world.close(session)
        await advance(5)
        world.crash()
        told = codes(session)
        world.heal()
        await advance(90)
        assert codes(session) == told
        assert world.orphans() == [session]


async def test_at_notice_only_errors_are_told() -> None:
    async with World(log_level="notice") as world:
        session = await opened(world)
        await advance(3)
        world.close(session)
        assert told(session) == []
        late = world.open("bob", image="example/shell:missing")
        await advance(61)
        assert codes(late) == [
            "KUBERNETES_POD_WAIT_FAILED",
            "KUBERNETES_POD_CREATE_FAILED",
            "SSH_BACKEND_REJECTED_HANDSHAKE",
        ]
        assert late.left == pytest.approx(world.store.now() - 1, abs=0.5)
        assert session.left is None


async def test_a_pod_that_the_api_server_refuses_is_told() -> None:
    async with World() as world:
        session = await opened(world)
        world.store.delete(NAMESPACES, None, "ssh-sessions")
        with pytest.raises(Refusal):
            world.open("bob")
        assert told(session)[-1]["code"] == "SSH_DISCONNECTED"
        assert "KUBERNETES_POD_CREATE_FAILED" in [line["code"] for line in told(session)]


async def opened(world: World, **more: Any) -> TrueSession:
    """A session of a cluster that starts with it."""
    world.deploy()
    await ready(world)
    return world.open("alice", **more)

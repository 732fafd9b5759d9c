"""ContainerSSH's log: its lines are those of the recordings, in their order. Held to excerpts of them."""

import json
from typing import Any

import pytest

from ssh_session_gc.sandbox import Program, TrueSession, World
from ssh_session_gc.sandbox.api.objects import NAMESPACES, timestamp
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.containerssh import log
from ssh_session_gc.sandbox.containerssh.log import Entry, Login
from tests.sandbox.worlds import ready
from tests.support import advance

AT = 1_764_063_714.9
"""2025-11-25T09:41:54.9Z."""
LOGIN = Login("5dbe46d840824a7aa0801a0297881a6a", "10.244.0.1", "alice")
POD = "containerssh-hj7gb"
FORBIDDEN = (
    f'pods "{POD}" is forbidden: User "system:serviceaccount:containerssh:containerssh" cannot delete resource '
    '"pods" in API group "" in the namespace "ssh-sessions"'
)
RECORDED = r"""
{"timestamp":"T","level":"debug","code":"CORE_CONFIG_FILE","message":"Using configuration file /etc/containerssh/config.yaml...","details":{}}
{"timestamp":"T","level":"info","code":"SERVICE_POOL_STARTING","message":"Services are starting...","details":{"module":"service"}}
{"timestamp":"T","level":"info","code":"SERVICE_STARTING","message":"SSH server is starting...","details":{"module":"service","service":"SSH server"}}
{"timestamp":"T","level":"info","code":"SERVICE_RUNNING","message":"SSH server is running.","details":{"module":"service","service":"SSH server"}}
{"timestamp":"T","level":"info","code":"SSH_AVAILABLE","message":"SSH server running on 0.0.0.0:2222","details":{"module":"ssh"}}
{"timestamp":"T","level":"info","code":"SERVICE_POOL_RUNNING","message":"All services are now running.","details":{"module":"service"}}
{"timestamp":"T","level":"debug","code":"SSH_CONNECTED","message":"Client connected","details":{"connectionId":"C","module":"ssh","remoteAddr":"10.244.0.1"}}
{"timestamp":"T","level":"info","code":"SSH_AUTH_SUCCESSFUL","message":"Public key authentication for user alice successful.","details":{"connectionId":"C","method":"public key","module":"ssh","remoteAddr":"10.244.0.1","username":"alice"}}
{"timestamp":"T","level":"debug","code":"KUBERNETES_POD_CREATE","message":"Creating pod","details":{"authenticatedUsername":"alice","backend":"kubernetes","connectionId":"C","module":"backend","remoteAddr":"10.244.0.1","username":"alice"}}
{"timestamp":"T","level":"debug","code":"KUBERNETES_POD_WAIT","message":"Waiting for pod to come up...","details":{"authenticatedUsername":"alice","backend":"kubernetes","connectionId":"C","module":"backend","podName":"P","remoteAddr":"10.244.0.1","username":"alice"}}
{"timestamp":"T","level":"debug","code":"SSH_HANDSHAKE_SUCCESSFUL","message":"SSH handshake successful","details":{"connectionId":"C","module":"ssh","remoteAddr":"10.244.0.1","username":"alice"}}
{"timestamp":"T","level":"debug","code":"KUBERNETES_EXEC","message":"Creating and attaching to pod exec...","details":{"authenticatedUsername":"alice","backend":"kubernetes","connectionId":"C","module":"backend","podName":"P","remoteAddr":"10.244.0.1","username":"alice"}}
{"timestamp":"T","level":"debug","code":"KUBERNETES_PID_RECEIVED","message":"Received PID 12 from agent","details":{"authenticatedUsername":"alice","backend":"kubernetes","connectionId":"C","module":"backend","podName":"P","remoteAddr":"10.244.0.1","username":"alice"}}
{"timestamp":"T","level":"error","code":"KUBERNETES_POD_WAIT_FAILED","message":"Failed to wait for pod to come up. (timed out waiting for the condition)","details":{"authenticatedUsername":"alice","backend":"kubernetes","connectionId":"C","module":"backend","podName":"P","remoteAddr":"10.244.0.1","username":"alice"}}
{"timestamp":"T","level":"error","code":"KUBERNETES_POD_CREATE_FAILED","message":"Failed to create pod, giving up (Failed to wait for pod to come up. (timed out waiting for the condition))","details":{"authenticatedUsername":"alice","backend":"kubernetes","connectionId":"C","module":"backend","remoteAddr":"10.244.0.1","username":"alice"}}
{"timestamp":"T","level":"error","code":"SSH_BACKEND_REJECTED_HANDSHAKE","message":"The backend has rejected the user after successful authentication. (Failed to create pod, giving up (Failed to wait for pod to come up. (timed out waiting for the condition)))","details":{"connectionId":"C","module":"ssh","remoteAddr":"10.244.0.1"}}
{"timestamp":"T","level":"info","code":"SSH_HANDSHAKE_FAILED","message":"SSH handshake failed (The backend has rejected the user after successful authentication. (Failed to create pod, giving up (Failed to wait for pod to come up. (timed out waiting for the condition))))","details":{"connectionId":"C","module":"ssh","remoteAddr":"10.244.0.1"}}
{"timestamp":"T","level":"debug","code":"SSH_DISCONNECTED","message":"Client disconnected","details":{"connectionId":"C","module":"ssh","remoteAddr":"10.244.0.1"}}
{"timestamp":"T","level":"debug","code":"SSH_EXIT","message":"Program exited with status 0","details":{"channelId":0,"connectionId":"C","exitCode":0,"module":"ssh","remoteAddr":"10.244.0.1","username":"alice"}}
{"timestamp":"T","level":"debug","code":"SSH_DISCONNECTED","message":"Client disconnected","details":{"connectionId":"C","module":"ssh","remoteAddr":"10.244.0.1","username":"alice"}}
{"timestamp":"T","level":"debug","code":"KUBERNETES_POD_REMOVE","message":"Removing pod...","details":{"authenticatedUsername":"alice","backend":"kubernetes","connectionId":"C","module":"backend","podName":"P","remoteAddr":"10.244.0.1","username":"alice"}}
{"timestamp":"T","level":"debug","code":"KUBERNETES_POD_REMOVE_SUCCESSFUL","message":"Pod removed.","details":{"authenticatedUsername":"alice","backend":"kubernetes","connectionId":"C","module":"backend","podName":"P","remoteAddr":"10.244.0.1","username":"alice"}}
{"timestamp":"T","level":"debug","code":"KUBERNETES_POD_REMOVE_FAILED","message":"Failed to remove pod, retrying in 10 seconds... (pods \"P\" is forbidden: User \"system:serviceaccount:containerssh:containerssh\" cannot delete resource \"pods\" in API group \"\" in the namespace \"ssh-sessions\")","details":{"authenticatedUsername":"alice","backend":"kubernetes","connectionId":"C","module":"backend","podName":"P","remoteAddr":"10.244.0.1","username":"alice"}}
{"timestamp":"T","level":"error","code":"KUBERNETES_POD_REMOVE_FAILED","message":"Failed to remove pod, giving up. (pods \"P\" is forbidden: User \"system:serviceaccount:containerssh:containerssh\" cannot delete resource \"pods\" in API group \"\" in the namespace \"ssh-sessions\")","details":{"authenticatedUsername":"alice","backend":"kubernetes","connectionId":"C","module":"backend","podName":"P","remoteAddr":"10.244.0.1","username":"alice"}}
"""  # noqa: E501 - as it was written, with short names
OPENED = ["SSH_CONNECTED", "SSH_AUTH_SUCCESSFUL", "KUBERNETES_POD_CREATE", "KUBERNETES_POD_WAIT"]
UP = ["SSH_HANDSHAKE_SUCCESSFUL", "KUBERNETES_EXEC", "KUBERNETES_PID_RECEIVED"]
CLOSED = ["SSH_DISCONNECTED", "KUBERNETES_POD_REMOVE"]


def test_every_line_is_one_of_the_recordings() -> None:
    entries = [
        *log.start(),
        *log.connected(LOGIN),
        log.waits(LOGIN, POD),
        *log.is_up(LOGIN, POD),
        *log.came_too_late(LOGIN, POD),
        log.exited(LOGIN, 0),
        log.disconnected(LOGIN),
        log.removes(LOGIN, POD),
        log.removed(LOGIN, POD),
        log.not_removed(LOGIN, POD, FORBIDDEN, last=False),
        log.not_removed(LOGIN, POD, FORBIDDEN, last=True),
    ]
    short = [
        entry.text(AT).replace("2025-11-25T09:41:54Z", "T").replace(LOGIN.connection, "C").replace(POD, "P")
        for entry in entries
    ]
    assert short == RECORDED.split("\n")[1:-1]


def test_text_is_escaped_as_go_does_it() -> None:
    line = Entry("info", "A", 'ä <b> & "c"\u2028', {}).text(0)
    assert r'"ä \u003cb\u003e \u0026 \"c\"\u2028"' in line
    assert json.loads(line)["message"] == 'ä <b> & "c"\u2028'


async def test_a_life_is_told() -> None:
    async with World(skews={"node1": 90.0}) as world:
        session = await opened(world)
        began = [line["code"] for line in lines(session) if "connectionId" not in line["details"]]
        assert began == [entry.code for entry in log.start()]
        await advance(3)
        world.close(session)
        assert codes(session) == [*OPENED, *UP, *CLOSED, "KUBERNETES_POD_REMOVE_SUCCESSFUL"]
        assert {line["details"]["podName"] for line in lines(session) if "podName" in line["details"]} == {
            session.name
        }
        at = session.creator.log.lines[-1].at
        assert at == pytest.approx(world.store.now() + 90.0, abs=0.5)
        assert lines(session)[-1]["timestamp"] == timestamp(at)


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
        failed, *_, gone = lines(session)[-5:]
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
        assert codes(session)[len(OPENED + UP) :] == [*CLOSED, *["KUBERNETES_POD_REMOVE_FAILED"] * 6]
        assert lines(session)[-1]["level"] == "debug"
        await advance(2)
        assert codes(session).count("KUBERNETES_POD_REMOVE_FAILED") == 7
        assert lines(session)[-1]["level"] == "error"
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
        assert lines(session) == []
        late = world.open("bob", image="example/shell:missing")
        await advance(61)
        assert codes(late) == [
            "KUBERNETES_POD_WAIT_FAILED",
            "KUBERNETES_POD_CREATE_FAILED",
            "SSH_BACKEND_REJECTED_HANDSHAKE",
        ]


async def test_a_pod_that_the_api_server_refuses_is_told() -> None:
    async with World() as world:
        session = await opened(world)
        world.store.delete(NAMESPACES, None, "ssh-sessions")
        with pytest.raises(Refusal):
            world.open("bob")
        assert lines(session)[-1]["code"] == "SSH_DISCONNECTED"
        assert "KUBERNETES_POD_CREATE_FAILED" in [line["code"] for line in lines(session)]


async def opened(world: World, **more: Any) -> TrueSession:
    """A session of a cluster that starts with it."""
    world.deploy()
    await ready(world)
    return world.open("alice", **more)


def lines(session: TrueSession) -> list[dict[str, Any]]:
    """What the session's process has logged."""
    return [json.loads(line.text) for line in session.creator.log.lines]


def codes(session: TrueSession) -> list[str]:
    """The codes of the lines about the session's connection."""
    return [line["code"] for line in lines(session) if line["details"].get("connectionId") == session.connection]

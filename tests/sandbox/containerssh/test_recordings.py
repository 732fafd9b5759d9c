"""ContainerSSH's log and gauge in a world in which happens what happened in a recording: they tell the same.

Compared are, for each connection, the levels and codes of its lines in their order, and for each process the values
of its counter and its gauge in theirs. Repetitions count once, as their number is a matter of time.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ssh_session_gc.sandbox import Program, TrueSession, World
from tests.sandbox.containerssh.stories import Gauges, Samples, Told, by_user, recorded, told
from tests.sandbox.worlds import ready
from tests.support import advance

Shown = tuple[dict[str, list[Told]], Gauges]


class Player:
    """Has happen in a world what happened in a recording."""

    def __init__(self, world: World) -> None:
        self.world, self._samples = world, Samples()
        self._seen: dict[int, TrueSession] = {}

    async def opens(self, *users: str, replica: int = -1, image: str | None = None) -> list[TrueSession]:
        """Somebody connects."""
        sessions = [self.world.open(user, replica=replica, image=image) for user in users]
        self._seen |= {id(session.creator): session for session in sessions}
        await self.passes(4)
        return sessions

    async def passes(self, seconds: float) -> None:
        """Time passes; then the metrics are scraped."""
        await advance(seconds)
        await self._samples.take(self.world)

    def shown(self) -> Shown:
        """What was told."""
        return by_user(line for session in self._seen.values() for line in told(session)), self._samples.all()


@asynccontextmanager
async def playing(replicas: int = 1, **more: Any) -> AsyncIterator[Player]:
    """A world in which ContainerSSH has just started."""
    async with World(metrics_port=0, **more) as world:
        world.deploy(replicas)
        await ready(world, replicas)
        player = Player(world)
        await player.passes(1)
        yield player


async def life() -> Shown:
    async with playing() as player:
        [alice, _] = await player.opens("alice", "bob")
        [carol] = await player.opens("carol")
        player.world.hang_up(alice)
        await player.passes(3)
        [dave] = await player.opens("dave")
        player.world.close(dave)
        await player.passes(3)
        player.world.hang_up(carol)
        await player.passes(5)
        return player.shown()


async def pty_command() -> Shown:
    async with playing() as player:
        [bob] = await player.opens("bob")
        alice, carol = player.world.open("alice"), player.world.open("carol")
        await advance(2)
        player.world.leave(alice)
        player.world.close(carol)
        await player.passes(60)
        player.world.hang_up(bob)
        await player.passes(5)
        return player.shown()


async def exec_hangs() -> Shown:
    async with playing() as player:
        player.world.fail_execs()
        [alice, _] = await player.opens("alice", "bob")
        await advance(16)
        player.world.hang_up(alice)
        await player.passes(36)
        player.world.fail_execs(False)
        [carol] = await player.opens("carol")
        await player.passes(10)
        player.world.hang_up(carol)
        await player.passes(5)
        return player.shown()


async def delete_fails() -> Shown:
    async with playing() as player:
        [alice, _] = await player.opens("alice", "bob")
        player.world.fail_deletions()
        player.world.hang_up(alice)
        await player.passes(75)
        player.world.fail_deletions(None)
        await player.passes(10)
        return player.shown()


async def late_ready() -> Shown:
    async with playing(pod_start=20, images={"late": Program(ready=False)}) as player:
        await player.opens("alice", image="late")
        await player.passes(20)
        return player.shown()


async def bad_image() -> Shown:
    async with playing(pod_start=30) as player:
        await player.opens("alice", image="example/shell:missing")
        await player.passes(30)
        return player.shown()


async def session_mode() -> Shown:
    async with playing(mode="session") as player:
        [alice] = await player.opens("alice")
        player.world.close(alice)
        player.world.open("bob")
        await player.passes(0.1)
        [carol] = await player.opens("carol")
        player.world.hang_up(carol)
        await player.passes(20)
        return player.shown()


async def persistent() -> Shown:
    async with playing(mode="persistent") as player:
        for _ in range(2):
            [home] = await player.opens("alice")
            player.world.hang_up(home)
            await player.passes(5)
        return player.shown()


async def rollout() -> Shown:
    async with playing(clean_shutdown=True) as player:
        await player.opens("alice")
        player.world.rollout()
        await advance(3)
        await player.passes(3)
        await player.opens("bob")
        return player.shown()


async def crash() -> Shown:
    async with playing(2) as player:
        await player.opens("alice", "bob", replica=0)
        await player.opens("carol", replica=1)
        player.world.crash()
        await advance(3)
        await player.opens("dave", replica=1)
        return player.shown()


STORIES = [
    life,
    pty_command,
    exec_hangs,
    delete_fails,
    late_ready,
    bad_image,
    session_mode,
    persistent,
    rollout,
    crash,
]
APART = ("life", "alice")
"""In the recording her program was sent a signal before ContainerSSH began to delete the Pod, else the latter was
faster."""
TERMINAL = {"SSH_CHANNEL_REQUEST", "SSH_CHANNEL_REQUEST_SUCCESSFUL", "KUBERNETES_EXEC_RESIZE"}
"""What is said of a terminal, which users in the sandbox do not ask for."""
PID = {"KUBERNETES_PID_RECEIVED"}


def comparable(story: str, user: str, connections: list[Told]) -> list[Told]:
    """What was told of a user's connections, without what the sandbox cannot be held to."""
    if story == "persistent":
        # Whether the signal or the end of the connection comes first is chance.
        return [sorted(each) for each in connections]
    if story == "pty_command":
        # Who runs into this in the sandbox has been told the pid of another program before.
        without = TERMINAL | PID if user == "alice" else TERMINAL
        return [[line for line in each if line[1] not in without] for each in connections]
    return connections


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_log_and_gauge_tell_what_was_recorded(story: Callable[[], Awaitable[Shown]]) -> None:
    name = story.__name__
    wanted, gauges = recorded("real-" + name.replace("_", "-"))
    lines, samples = await story()
    users = by_user(wanted)
    assert sorted(lines) == sorted(users)
    for user in users:
        if (name, user) != APART:
            assert comparable(name, user, lines[user]) == comparable(name, user, users[user])
    # In one of the recordings nobody scraped the process that was started again.
    assert all(gauge in samples for gauge in gauges)

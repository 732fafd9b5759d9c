"""Stories for a simulated cluster: a past with every fate a session can have, and a life that goes on.

Knows what users and ContainerSSH do. Does not know how the cluster reacts: ``World`` does.
"""

import asyncio
import json
import random
from contextlib import suppress

from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.node.programs import PROGRAM, Program
from ssh_session_gc.sandbox.world import World

USERS = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")
PAST = 90 * 60.0
"""Seconds of the past that ``lived_in`` tells of: its world has to begin so long ago."""
QUICK = Program(pull=0.02, start=0.02)
"""Programs that start so fast that the past takes less than a second to tell."""


async def lived_in(world: World) -> None:
    """Gives a new world, which began ``PAST`` ago, a past that ends now. Pods have the same names every time."""
    world.deploy(2, configured=True)
    await world.ready(2)
    world.open("alice", replica=0)
    await _pass(world, 50)
    world.open("bob", replica=0)
    world.open("carol", replica=1)
    world.open("dave", replica=1, annotations={"ssh-session-gc/keep": "true"})
    world.open("erin", replica=1, annotations={"ssh-session-gc/ttl": "45m"})
    world.open("frank", replica=1, annotations={PROGRAM: json.dumps({"exits_after": 0.05, "exit_code": 3})})
    await _pass(world, 25)
    world.crash(world.containerssh.replicas[0].process)
    await world.ready(2)
    world.open("grace", image="ghcr.io/example/shell:missing")
    await _pass(world, 14.5)
    world.open("heidi")
    await _pass(world, 0.5)
    world.crash(world.containerssh.replicas[-1].process)
    await world.ready(2)


async def _pass(world: World, minutes: float) -> None:
    await asyncio.sleep(0.2)  # lets what is under way come to rest
    world.clock_offset += minutes * 60.0


async def go_on(world: World) -> None:
    """Has something happen every few seconds, for ever."""
    chance = random.Random()  # noqa: S311 - a story
    while True:
        await asyncio.sleep(chance.uniform(2, 6))
        # Somebody may have scaled ContainerSSH down, or deleted the namespace. The story goes on when it is back.
        with suppress(LookupError, Refusal):
            _happen(world, chance)


def _happen(world: World, chance: random.Random) -> None:
    open_now, event = world.live(), chance.random()
    if event < 0.5 or not open_now:
        bad = chance.random() < 0.15
        program = json.dumps({"exits_after": 20}) if chance.random() < 0.1 else "{}"
        world.open(
            chance.choice(USERS),
            image="ghcr.io/example/shell:missing" if bad else None,
            annotations={PROGRAM: program},
        )
    elif event < 0.93:
        world.close(chance.choice(open_now))
    else:
        world.crash(chance.choice(world.containerssh.replicas).process)

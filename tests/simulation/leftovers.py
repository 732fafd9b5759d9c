"""What is left in a collector once all is calm: what it sees, what it remembers and what goes on in it.

Knows where a collector keeps what. Does not know what should have become of a session (``truth``).
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ssh_session_gc.core.owners import REMEMBERED
from ssh_session_gc.daemon.daemon import Daemon
from ssh_session_gc.sandbox import World
from ssh_session_gc.sandbox.api.objects import PODS
from tests.simulation.happenings import OWNERS


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass
class Replica:
    """A collector that runs as a process of its own would."""

    name: str
    stop: asyncio.Event
    task: asyncio.Task[None]
    daemon: Daemon


def compare(replica: Replica, world: World) -> None:
    """Holds what a collector sees to what is there, and sees that it remembers no more than that. Raises Broken."""
    cluster, collector = replica.daemon.cluster, replica.daemon.collector
    queue = collector.queue
    there = {
        pod["metadata"]["uid"]: pod["metadata"]["resourceVersion"]
        for pod in world.store.list(PODS, "ssh-sessions")
        if "containerssh_connection_id" in pod["metadata"]["labels"]
    }
    seen = {uid: session.resource_version for uid, session in cluster.sessions.by_uid.items()}
    if seen != there:
        raise Broken(f"{replica.name} sees {set(seen.items()) ^ set(there.items())} otherwise than it is")
    living = {each.process.pod_uid for each in world.containerssh.replicas if each.online}
    unseen = living - {owner.pod_uid for owner in cluster.owners.owners}
    listed = {pod["metadata"]["uid"] for pod in world.store.list(PODS, "containerssh", OWNERS)}
    if unseen & listed:
        raise Broken(f"{replica.name} does not see the owners {unseen & listed}")
    ended = [owner for owner in cluster.owners.owners if owner.confirmed and not owner.alive]
    if len(ended) > REMEMBERED:
        raise Broken(f"{replica.name} remembers {len(ended)} owners that have ended")
    kept: dict[str, Iterable[str]] = {
        "verdicts": queue.verdicts,
        "timers": queue._timers._at,
        "backoff": queue.backoff,
        "settled": queue.settled,
        "refusals": queue.refusals,
        "failures": collector.outcomes.reported,
        "connections": cluster.connections._known,
        "labels": cluster.connections._ids,
        "contradictions": replica.daemon.contradictions._told,
    }
    for what, each in kept.items():
        if not set(each) <= set(there):
            raise Broken(f"{replica.name} remembers the {what} of sessions that are gone")
    alive = {owner.run for owner in cluster.owners.owners if owner.alive}
    if not set(cluster.owners.idle) <= alive:
        raise Broken(f"{replica.name} remembers the counts of owners that have ended")
    if queue.processing or collector.workers.deleter.in_flight or replica.daemon._recorder._queue.qsize():
        raise Broken(f"{replica.name} is still at {queue.processing}")


def tasks() -> Counter[str]:
    """What goes on by now, apart from the world itself."""
    coroutines: list[Any] = [task.get_coro() for task in asyncio.all_tasks()]
    return Counter(each.__qualname__ for each in coroutines if "/sandbox/" not in each.cr_code.co_filename)

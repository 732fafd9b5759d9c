"""Leader election: one deletes, the others know what they would do, and nobody ever acts beside somebody else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ssh_session_gc.core.election import DURATION, RENEW_DEADLINE
from ssh_session_gc.core.model import Reason
from ssh_session_gc.sandbox import Fault, World
from ssh_session_gc.sandbox.api.objects import LEASES
from ssh_session_gc.settings import LeaseRef
from tests.harness import Running, running
from tests.support import advance, eventually

LEASE = LeaseRef("containerssh", "ssh-session-gc")


@asynccontextmanager
async def replicas(tmp_path: Path, count: int = 2, **settings: Any) -> AsyncIterator[tuple[World, list[Running]]]:
    """A cluster with somebody in it, and so many collectors; the first of them leads."""
    async with World() as world:
        world.deploy()
        await world.ready()
        async with running_replica(world, tmp_path, "0", **settings) as first:
            await eventually(first.daemon.elector.leads)
            rest: list[Running] = []
            async with running_rest(world, tmp_path, count - 1, rest, **settings):
                yield world, [first, *rest]


@asynccontextmanager
async def running_replica(world: World, tmp_path: Path, name: str, **settings: Any) -> AsyncIterator[Running]:
    (tmp_path / name).mkdir(exist_ok=True)
    async with running(world.url, tmp_path / name, lease=LEASE, **settings) as gc:
        await gc.synced()
        yield gc


@asynccontextmanager
async def running_rest(
    world: World, tmp_path: Path, count: int, rest: list[Running], **settings: Any
) -> AsyncIterator[None]:
    if not count:
        yield
        return
    async with running_replica(world, tmp_path, str(count), **settings) as gc:
        rest.append(gc)
        async with running_rest(world, tmp_path, count - 1, rest, **settings):
            yield


def leading(found: list[Running]) -> list[int]:
    """Which of them lead."""
    return [number for number, gc in enumerate(found) if gc.daemon.elector.leads()]


async def kill(gc: Running) -> None:
    """Ends it as SIGKILL does: nothing is given back."""
    gc.task.cancel()
    with suppress(asyncio.CancelledError):
        await gc.task
    gc.task = asyncio.create_task(asyncio.sleep(0))


def deleted(gc: Running) -> int:
    """How many sessions it has deleted."""
    return int(sum(gc.value("deletions_total", reason=reason, outcome="deleted") for reason in Reason))


def logged(found: list[Running], event: str) -> int:
    """How many lines of this kind all of them have written: the log is the process's."""
    return len(found[-1].logged(event))


def lease(world: World) -> dict[str, Any]:
    spec: dict[str, Any] = world.store.get(LEASES, LEASE.namespace, LEASE.name)["spec"]
    return spec


async def test_the_leader_deletes_and_the_standby_knows_what_it_would(tmp_path: Path) -> None:
    async with replicas(tmp_path) as (world, found):
        first, second = found
        world.open("alice")
        await advance(5)
        stalled = world.faults.add(Fault("stall", verb="delete"))
        world.crash()
        await advance(75)
        assert leading(found) == [0]
        assert (first.value("leader"), second.value("leader")) == (1, 0)
        assert second.value("orphans", reason="Ownerless") == 1
        world.faults.lift(stalled)
        await advance(30)
        await eventually(lambda: deleted(first) == 1)
        assert deleted(second) == 0
        assert second.value("deletions_total", reason="Ownerless", outcome="gone") == 0


async def test_what_is_in_the_lease(tmp_path: Path) -> None:
    async with replicas(tmp_path) as (world, found):
        spec = lease(world)
        assert spec["holderIdentity"] == found[0].daemon.elector.identity
        assert (spec["leaseDurationSeconds"], spec["leaseTransitions"]) == (15, 0)
        assert len(spec["renewTime"]) == len("2026-11-23T03:00:00.000000Z")
        world.store.update(
            LEASES, LEASE.namespace, LEASE.name, lambda o: o["metadata"].update(labels={"somebody": "wrote"})
        )
        await advance(10)
        renewed = world.store.get(LEASES, LEASE.namespace, LEASE.name)
        assert renewed["spec"]["renewTime"] > spec["renewTime"]
        assert renewed["spec"]["acquireTime"] >= spec["acquireTime"]
        assert renewed["metadata"]["labels"] == {"somebody": "wrote"}
        assert leading(found) == [0]


async def test_a_leader_that_stops_hands_over_within_two_seconds(tmp_path: Path) -> None:
    async with replicas(tmp_path, 3) as (world, found):
        found[0].stop.set()
        await eventually(found[0].task.done)
        assert lease(world)["holderIdentity"] == ""
        await advance(2)
        await eventually(lambda: len(leading(found)) == 1)
        assert leading(found) != [0]
        assert lease(world)["leaseTransitions"] == 1
        assert logged(found, "lease_given_back") == 1
        world.open("alice")
        await advance(5)
        world.crash()
        await advance(70)
        await eventually(lambda: sum(map(deleted, found[1:])) == 1)
        assert deleted(found[0]) == 0


async def test_a_leader_that_is_killed_is_replaced_when_its_lease_has_run_out(tmp_path: Path) -> None:
    async with replicas(tmp_path) as (_, found):
        await advance(20)
        await kill(found[0])
        await advance(DURATION - 3)
        assert leading(found[1:]) == []
        await advance(5)
        await eventually(lambda: leading(found[1:]) == [0])


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", resource="leases", code=500),
        Fault("stall", resource="leases"),
        Fault("reset", resource="leases"),
        Fault("status", resource="leases", code=403),
        Fault("malformed", resource="leases"),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.code}",
)
async def test_who_cannot_renew_stops_before_anybody_else_may_begin(fault: Fault, tmp_path: Path) -> None:
    async with replicas(tmp_path) as (world, found):
        world.open("alice")
        await advance(5)
        world.crash()
        await advance(55)  # due in a moment
        world.faults.add(fault)
        begun = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < begun + RENEW_DEADLINE + 1:
            assert len(leading(found)) <= 1
            await advance(0.5)
        assert leading(found) == []
        before = sum(map(deleted, found))  # alice's was due in this time
        world.open("bob")
        await advance(5)
        world.crash()
        await advance(120)
        assert leading(found) == []
        assert sum(map(deleted, found)) == before
        # Once each; and a request that time ran out for counts as another kind of trouble.
        assert 2 <= logged(found, "lease_unavailable") <= 4
        world.faults.clear()
        await advance(40)
        await eventually(lambda: len(leading(found)) == 1)
        await eventually(lambda: sum(map(deleted, found)) == 2)


async def test_a_renewal_whose_answer_is_lost(tmp_path: Path) -> None:
    async with replicas(tmp_path) as (world, found):
        for _ in range(5):
            world.faults.add(Fault("truncate", verb="update", resource="leases", times=1))
            for _ in range(8):
                await advance(0.5)
                assert leading(found) in ([], [0])
        await advance(3)
        assert leading(found) == [0]
        assert lease(world)["leaseTransitions"] == 0


async def test_a_lease_that_is_deleted_or_taken_away(tmp_path: Path) -> None:
    async with replicas(tmp_path) as (world, found):
        world.store.delete(LEASES, LEASE.namespace, LEASE.name)
        for _ in range(20):
            await advance(0.5)
            assert len(leading(found)) <= 1
        assert len(leading(found)) == 1
        world.store.update(
            LEASES, LEASE.namespace, LEASE.name, lambda o: o["spec"].update(holderIdentity="somebody else")
        )
        await advance(3)
        assert leading(found) == []
        await advance(DURATION + 2)
        await eventually(lambda: len(leading(found)) == 1)


async def test_a_deletion_does_not_outlive_its_leader(tmp_path: Path) -> None:
    async with replicas(tmp_path) as (world, found):
        world.open("alice")
        await advance(5)
        world.crash()
        world.faults.add(Fault("stall", verb="delete"))
        await advance(62)
        deleter = found[0].daemon.collector.workers.deleter
        await eventually(lambda: deleter.in_flight)
        await kill(found[1])
        world.faults.add(Fault("stall", resource="leases"))
        await advance(RENEW_DEADLINE + 0.5)
        await eventually(lambda: not deleter.in_flight)


async def test_without_permission_the_reason_is_said_once(tmp_path: Path) -> None:
    async with World() as world:
        world.faults.add(Fault("status", resource="leases", code=403))
        async with running(world.url, tmp_path, lease=LEASE) as gc:
            await advance(120)
            (line,) = (line for line in gc.logged("lease_unavailable") if line["error"].startswith("403"))
            assert "grant get, create and update on leases in namespace containerssh" in line["error"]
            assert not gc.daemon.elector.leads()


def sleep(gc: Running, seconds: float) -> None:
    """Has its machine wake up from a sleep, in which its own clock stood still."""
    before = gc.api.time.asleep()
    gc.api.time.asleep = lambda: before + seconds


async def test_a_leader_that_slept_leads_again_when_it_has_renewed_its_lease(tmp_path: Path) -> None:
    async with replicas(tmp_path) as (world, found):
        sleep(found[0], 3600.0)
        assert leading(found) == []
        fault = world.faults.add(Fault("status", resource="leases", code=503))
        await advance(4)
        assert leading(found) == []
        assert found[0].value("leader") == 0
        world.faults.lift(fault)
        await advance(4)
        assert leading(found) == [0]
        assert found[0].value("leader") == 1
        assert lease(world)["leaseTransitions"] == 0


async def test_a_leader_that_slept_may_find_another_one(tmp_path: Path) -> None:
    async with replicas(tmp_path) as (world, found):
        world.open("alice")
        await advance(5)
        world.crash()
        await advance(55)  # due in a moment
        sleep(found[0], 30.0)
        world.store.update(
            LEASES, LEASE.namespace, LEASE.name, lambda o: o["spec"].update(holderIdentity="who did not sleep")
        )
        for _ in range(20):
            assert leading(found) == []
            await advance(0.5)
        assert sum(map(deleted, found)) == 0
        await advance(DURATION)
        await eventually(lambda: sum(map(deleted, found)) == 1)


async def test_who_leads_for_ever_leads_on_after_a_sleep(tmp_path: Path) -> None:
    async with World() as world, running(world.url, tmp_path) as gc:
        await gc.synced()
        sleep(gc, 3600.0)
        assert gc.daemon.elector.leads()
        assert not gc.api.time.sure

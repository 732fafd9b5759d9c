"""The last look before somebody dies as Ownerless: who is found by it stays."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ssh_session_gc.cluster.cluster import Cluster
from ssh_session_gc.core.model import Reason, Session
from ssh_session_gc.core.owners import OwnerPod, Owners, Span
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.daemon.queue import Queue
from ssh_session_gc.daemon.validation import FreshOwners, Validation
from ssh_session_gc.sandbox import Fault, World
from ssh_session_gc.sandbox.api.objects import PODS
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics
from tests.daemon.scene import OWNERS, scene
from tests.harness import connected
from tests.support import advance, eventually


async def test_an_owner_that_lost_its_label_still_owns(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        owner = s.world.containerssh.replicas[0].process.pod

        def quarantine(pod: dict[str, Any]) -> None:
            pod["metadata"]["labels"] = {"quarantined": "true"}

        s.world.store.update(PODS, OWNERS, owner, quarantine)
        await advance(300)
        assert s.gc.collected() == {}
        assert s.pod(alice) is not None
        assert s.gc.logged("session_kept")
        # When its Pod is gone indeed, so is its claim.
        s.world.store.delete(PODS, OWNERS, owner, grace=0)
        await advance(200)
        await s.collected(alice="Ownerless")


async def test_a_creator_outside_of_the_workload_is_looked_up(tmp_path: Path) -> None:
    async with scene(tmp_path, stamp=True) as s:
        spec = {"containers": [{"name": "containerssh", "image": "x"}]}
        stranger = s.world.store.create(PODS, OWNERS, {"metadata": {"name": "stranger"}, "spec": spec})
        await advance(5)
        [alice] = await s.open("alice")
        s.annotate(alice, owner_pod_name="stranger", owner_pod_uid=stranger["metadata"]["uid"])
        await advance(300)
        assert s.gc.collected() == {}
        s.world.store.delete(PODS, OWNERS, "stranger", grace=0)
        await advance(200)
        await s.collected(alice="Ownerless")


async def test_a_stale_watch_of_the_owners_kills_nobody(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=Policy(owner_grace=20.0)) as s:
        s.world.scale(0)
        await advance(20)
        s.world.faults.stall_watches(resource="pods", namespace=OWNERS)
        # As far as the daemon can see, nobody is there any more.
        s.world.scale(1)
        await advance(5)
        await s.open("alice")
        await advance(25)
        assert s.gc.verdict("alice").reason is Reason.OWNERLESS
        await eventually(lambda: s.gc.logged("session_kept"))
        assert s.gc.collected() == {}
        assert s.world.lost_live() == []


async def test_owners_that_cannot_be_read_afresh_kill_nobody(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        s.world.crash()
        await advance(5)
        fault = s.world.faults.add(Fault("status", verb="list", resource="pods", namespace=OWNERS, code=500))
        await advance(200)
        assert s.gc.collected() == {}
        assert s.gc.logged("owners_unreadable")
        assert s.gc.value("orphans", reason="Ownerless") == 1
        s.world.faults.lift(fault)
        await advance(30)
        await s.collected(alice="Ownerless")


async def test_an_owner_that_vanished_is_looked_up_and_the_grace_counts_from_there(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=Policy(owner_grace=5.0)) as s:
        await s.open("alice")
        s.world.store.delete(PODS, OWNERS, s.world.containerssh.replicas[0].process.pod, grace=0)
        await advance(8)
        assert s.gc.collected() == {}
        # Once more, and no later than that: it has nobody to wait for.
        await advance(4)
        await s.collected(alice="Ownerless")


@dataclass
class LastLook:
    """A validation, and the sessions and owners that it goes by."""

    validation: Validation
    queue: Queue
    cluster: Cluster
    now: float

    def add(self, age: float, stamp_uid: str = "") -> Session:
        """A session of this age."""
        created = self.now - age
        session = Session("s", "s", "1", created, "Running", started=created, stamp_uid=stamp_uid)
        self.cluster.sessions.changed(session)
        return session

    def owners(self, *, alive: bool) -> Owners:
        """One owner, older than every session; one that is not alive has ended 200 s ago."""
        start = self.now - 5000
        ended = None if alive else Span(start, self.now - 200)
        pod = OwnerPod("o", "o", start, "c", running=start if alive else None, terminated=ended, terminating=True)
        return Owners().listed([pod], start + 1)


@asynccontextmanager
async def looking(tmp_path: Path) -> AsyncIterator[LastLook]:
    """A last look at nobody."""
    async with World() as world:
        metrics = Metrics(dry_run=True)
        async with connected(world.url, observer=metrics) as api:
            await api.version()
            settings = Settings()
            cluster = Cluster(settings, api, metrics)
            queue = Queue(cluster, api.time, settings.policy)
            yield LastLook(Validation(cluster, api, settings, queue), queue, cluster, api.time.now())


async def test_what_is_over_age_is_due_without_a_fresh_read(tmp_path: Path) -> None:
    async with looking(tmp_path) as look:
        session = look.add(4000)
        due = look.validation.judge_again("s", None)
        assert due is not None
        assert (due.session, due.verdict.reason) == (session, Reason.OVER_AGE)


async def test_it_counts_as_it_is_now(tmp_path: Path) -> None:
    async with looking(tmp_path) as look:
        session = look.add(4000)
        look.cluster.sessions.changed(msgspec.structs.replace(session, keep=True))
        assert look.validation.judge_again("s", None) is None
        look.cluster.sessions.changed(msgspec.structs.replace(session, deletion=look.now + 30))
        assert look.validation.judge_again("s", None) is None
        look.cluster.sessions.drop("s")
        assert look.validation.judge_again("s", None) is None


async def test_nobody_is_ownerless_without_owners_read_afresh(tmp_path: Path) -> None:
    async with looking(tmp_path) as look:
        look.add(1000)
        look.cluster.owners = look.owners(alive=False)
        assert look.validation.judge_again("s", None) is None
        due = look.validation.judge_again("s", FreshOwners(look.owners(alive=False), ""))
        assert due is not None
        assert due.verdict.reason is Reason.OWNERLESS
        assert look.validation.judge_again("s", FreshOwners(look.owners(alive=True), "")) is None
        unknown = msgspec.structs.replace(look.owners(alive=False), unknown="nobody answers")
        assert look.validation.judge_again("s", FreshOwners(unknown, "")) is None


async def test_owners_read_for_another_creator_do_not_count(tmp_path: Path) -> None:
    async with looking(tmp_path) as look:
        look.add(1000, stamp_uid="o")
        assert look.validation.judge_again("s", FreshOwners(look.owners(alive=False), "")) is None
        assert look.validation.judge_again("s", FreshOwners(look.owners(alive=False), "o")) is not None


async def test_only_what_needs_a_fresh_read_waits_for_one(tmp_path: Path) -> None:
    async with looking(tmp_path) as look:
        look.cluster.owners = look.owners(alive=False)
        for age, reads in ((1000, True), (4000, False)):
            # Both are Ownerless; the second was over age before that.
            look.queue.judge(look.add(age))
            look.validation.put("s")
            assert look.validation.valid.empty() is reads

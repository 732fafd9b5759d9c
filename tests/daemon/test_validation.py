"""The last look: what was validated is judged once more as it is now, and never without what its reason needs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ssh_session_gc.cluster.cluster import Cluster
from ssh_session_gc.core.model import Reason, Session
from ssh_session_gc.core.owners import OwnerPod, Owners, Span
from ssh_session_gc.daemon.queue import Queue
from ssh_session_gc.daemon.validation import FreshOwners, Validation
from ssh_session_gc.sandbox import World
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics
from tests.harness import connected


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
        async with connected(world.url, tmp_path, observer=metrics) as api:
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

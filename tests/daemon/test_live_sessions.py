"""What lost a live session once, or nearly."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from ssh_session_gc.core.model import Action, Reason
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.sandbox import Fault, World
from ssh_session_gc.sandbox.api.objects import DEPLOYMENTS, PODS
from ssh_session_gc.sandbox.containerssh.layouts import ARTICLE
from tests.daemon.scene import OWNERS, SESSIONS, label, quarantine, scene
from tests.harness import running
from tests.support import advance, eventually


async def test_what_is_no_session_any_more_is_left_alone(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        await advance(3580)
        s.world.faults.stall_watches(resource="pods", namespace=SESSIONS)
        label(s, alice, None)
        await advance(60)
        await eventually(lambda: s.gc.logged("session_changed"))
        await eventually(lambda: s.gc.session("alice") is None)
        assert s.gc.collected() == {}


async def test_a_quarantined_owner_and_a_collector_that_starts_later(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        quarantine(s)
        await advance(100)
        assert s.gc.collected() == {}
        s.gc.stop.set()
        await eventually(s.gc.task.done)
        (tmp_path / "2").mkdir()
        async with running(s.world.url, tmp_path / "2") as later:
            await later.synced()
            await advance(300)
            assert later.collected() == {}
            s.world.store.delete(PODS, OWNERS, s.world.containerssh.replicas[0].process.pod, grace=0)
            await advance(200)
            await eventually(lambda: later.collected() == {"alice": "Ownerless"})


async def test_the_grace_of_a_quarantined_owner_begins_when_it_ends(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        quarantine(s)
        await advance(300)
        s.world.store.delete(PODS, OWNERS, s.world.containerssh.replicas[0].process.pod, grace=0)
        ended = s.world.store.now()
        await advance(200)
        await s.collected(alice="Ownerless")
        assert alice.deleted is not None
        assert alice.deleted - ended >= 60


async def test_a_quarantined_owner_that_restarts_keeps_what_it_opens_then(tmp_path: Path) -> None:
    async with scene(tmp_path, stamp=True) as s:
        await s.open("alice")
        quarantine(s)
        await advance(5)
        s.world.crash()
        await advance(5)
        await advance(100)
        await s.collected(alice="Ownerless")
        [bob] = await s.open("bob", replica=0)
        await advance(300)
        assert bob.live
        assert s.gc.collected() == {"alice": "Ownerless"}


async def test_an_owner_that_comes_and_goes_while_the_watch_is_silent(tmp_path: Path) -> None:
    async with scene(tmp_path, stamp=True) as s:
        await advance(10)
        s.world.faults.stall_watches(resource="pods", namespace=OWNERS)
        s.world.scale(2)
        await advance(3)
        [alice] = await s.open("alice")
        await advance(40)
        s.world.scale(1)
        await advance(3)
        assert not alice.creator.alive
        ended = s.world.store.now()
        await advance(300)
        await s.collected(alice="Ownerless")
        assert alice.deleted is not None
        assert alice.deleted - ended >= 57


async def test_a_quarantined_owner_that_nobody_has_seen_counts_beside_one_that_ends(tmp_path: Path) -> None:
    async with scene(tmp_path, replicas=2) as s:
        await s.open("alice", replica=0)
        quarantine(s)
        await advance(30)
        s.gc.stop.set()
        await eventually(s.gc.task.done)
        (tmp_path / "2").mkdir()
        async with running(s.world.url, tmp_path / "2") as later:
            await later.synced()
            await advance(10)
            for replica in s.world.containerssh.replicas[1:]:
                s.world.crash(replica.process)
            await advance(300)
            assert later.collected() == {}


async def test_what_a_quarantined_owner_opens_after_the_collector_began(tmp_path: Path) -> None:
    async with World() as world:
        world.deploy()
        await asyncio.gather(world.ready(), advance(2))
        pod = world.containerssh.replicas[0].process.pod
        world.store.update(PODS, OWNERS, pod, lambda each: each["metadata"].update(labels={"quarantined": "true"}))
        world.store.update(PODS, OWNERS, pod, lambda each: each["metadata"].pop("ownerReferences", None))
        world.scale(0)
        await advance(10)
        async with running(world.url, tmp_path) as gc:
            await gc.synced()
            await advance(30)
            alice = world.open("alice", replica=0)
            await advance(300)
            assert alice.creator.alive
            assert gc.collected() == {}
            world.store.delete(PODS, OWNERS, pod, grace=0)
            await advance(200)
            await eventually(lambda: gc.collected() == {"alice": "Ownerless"})


async def test_a_quarantined_owner_whose_container_has_the_workload_s_name_for_it(tmp_path: Path) -> None:
    async with World(layout=replace(ARTICLE, container="sshd")) as world:
        world.deploy()
        await asyncio.gather(world.ready(), advance(2))
        alice = world.open("alice")
        await advance(5)
        pod = alice.creator.pod
        world.store.update(PODS, OWNERS, pod, lambda each: each["metadata"].update(labels={"quarantined": "true"}))
        world.store.update(PODS, OWNERS, pod, lambda each: each["metadata"].pop("ownerReferences", None))
        world.scale(0)
        await advance(60)
        async with running(world.url, tmp_path) as gc:
            await gc.synced()
            await advance(300)
            assert alice.live
            assert gc.collected() == {}


async def test_a_name_that_the_owner_container_had_before_is_remembered(tmp_path: Path) -> None:
    async with scene(tmp_path, world=World(layout=replace(ARTICLE, container="sshd"))) as s:
        [alice] = await s.open("alice")
        quarantine(s)

        def rename(deployment: dict[str, Any]) -> None:
            deployment["spec"]["template"]["spec"]["containers"][0]["name"] = "containerssh"

        s.world.store.update(DEPLOYMENTS, OWNERS, "containerssh", rename)
        await advance(5)
        assert s.gc.daemon.cluster.owners.containers == ("sshd", "containerssh")
        # Everything is read anew: nobody is left who has the old name.
        s.world.clock_offset = 300.0
        await advance(60)
        assert s.gc.daemon.cluster.owners.containers == ("sshd", "containerssh")
        await advance(300)
        assert alice.live
        assert s.gc.collected() == {}


async def test_a_stamp_without_a_name_is_looked_for_by_uid(tmp_path: Path) -> None:
    async with scene(tmp_path, stamp=True) as s:
        spec = {"containers": [{"name": "other", "image": "x"}]}
        stranger = s.world.store.create(PODS, OWNERS, {"metadata": {"name": "stranger"}, "spec": spec})
        await advance(5)
        [alice] = await s.open("alice")
        s.annotate(alice, owner_pod_uid=stranger["metadata"]["uid"], owner_pod_name="")
        await advance(300)
        assert s.gc.collected() == {}
        s.world.store.delete(PODS, OWNERS, "stranger", grace=0)
        await advance(200)
        await s.collected(alice="Ownerless")


async def test_a_proxy_that_says_404_has_not_looked(tmp_path: Path) -> None:
    async with scene(tmp_path, stamp=True) as s:
        await s.open("alice")
        quarantine(s)
        await advance(30)
        s.world.faults.add(Fault("status", verb="get", resource="pods", namespace=OWNERS, code=404, times=1))
        await advance(200)
        assert s.gc.logged("owners_unreadable")
        assert s.gc.collected() == {}


async def test_a_stamp_that_changed_since_the_owners_were_read(tmp_path: Path) -> None:
    async with scene(tmp_path, stamp=True, max_deletes_per_minute=1) as s:
        spec = {"containers": [{"name": "other", "image": "x"}]}
        stranger = s.world.store.create(PODS, OWNERS, {"metadata": {"name": "stranger"}, "spec": spec})
        [alice, bob] = await s.open("alice", "bob")
        s.world.crash()
        while not s.gc.collected():
            await advance(1)
        # The owners have been read for both; the other one waits for its minute.
        left = bob if "alice" in s.gc.collected() else alice
        s.annotate(left, owner_pod_uid=stranger["metadata"]["uid"], owner_pod_name="stranger")
        await advance(200)
        assert len(s.gc.collected()) == 1


async def test_an_owner_pod_that_cannot_be_read_makes_nobody_ownerless(tmp_path: Path) -> None:
    async with scene(tmp_path, replicas=2) as s:
        await s.open("alice")
        replicas = [r.process for r in s.world.containerssh.replicas]

        def name(container: Any) -> None:
            s.world.store.update(
                PODS, OWNERS, replicas[0].pod, lambda p: p["spec"]["containers"][0].update(name=container)
            )

        name(7)
        await advance(20)
        assert "an owner Pod cannot be read" in (s.gc.daemon.cluster.owners.unknown or "")
        s.world.crash(replicas[1])
        await advance(100)
        assert s.gc.collected() == {}
        name("containerssh")
        await advance(100)
        # And it is over as soon as it can be read again.
        assert s.gc.daemon.cluster.owners.unknown is None


async def test_an_owner_pod_that_cannot_be_read_afresh(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=Policy(owner_grace=20.0)) as s:
        s.world.scale(0)
        await advance(20)
        # The one that is there now nobody has seen, and it cannot be read.
        s.world.faults.stall_watches(resource="pods", namespace=OWNERS)
        s.world.scale(1)
        await advance(5)
        await s.open("alice")
        pod = s.world.containerssh.replicas[0].process.pod
        s.world.store.update(PODS, OWNERS, pod, lambda p: p["spec"].update(containers=7))
        await advance(25)
        assert s.gc.verdict("alice").reason is Reason.OWNERLESS
        await eventually(lambda: s.gc.logged("owners_unreadable"))
        assert s.gc.collected() == {}


async def test_a_gap_of_the_watch_is_remembered(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        # Refused from the list on: the stream is never in step, and an owner comes and goes unseen.
        fault = s.world.faults.add(Fault("status", verb="watch", resource="pods", namespace=OWNERS, code=500))
        s.world.faults.end_watches(resource="pods", namespace=OWNERS)
        await advance(60)
        s.world.scale(2)
        await advance(10)
        await s.open("alice", replica=-1)
        s.world.scale(0)
        await advance(40)
        s.world.compact()
        s.world.faults.lift(fault)
        await advance(40)
        await eventually(lambda: s.gc.verdict("alice").ownership)
        gap = s.gc.daemon.cluster.owner_pods.known.last_gap
        assert gap is not None
        assert gap.end - gap.start > 60
        owned = s.gc.verdict("alice").ownership
        assert owned is not None
        assert owned.since is None or owned.since >= gap.end - 1


async def test_nobody_dies_as_ownerless_without_a_fresh_read(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        s.world.faults.add(Fault("stall", verb="get", resource="deployments"))
        s.world.crash()
        await advance(62)
        verdict = s.gc.verdict("alice")
        assert (verdict.action, verdict.reason) == (Action.COLLECT, Reason.OWNERLESS)
        # It may have been due for another reason when its turn was asked for.
        assert s.gc.daemon.collector.validation.judge_again(alice.uid, None) is None
        assert s.deletions() == 0


async def test_two_answers_to_who_owns_it_and_the_later_counts(tmp_path: Path) -> None:
    """The selector as the daemon has it is old: the fresh read goes by the new one."""
    async with scene(tmp_path, policy=Policy(owner_grace=30.0)) as s:
        s.world.scale(0)
        await advance(20)
        for resource in ("deployments", "pods"):
            s.world.faults.stall_watches(resource=resource, namespace=OWNERS)
        s.world.delete_deployment()
        await advance(5)
        world = s.world
        world.deploy(1)

        def reselect(deployment: dict[str, Any]) -> None:
            deployment["spec"]["selector"].update(matchLabels={"app": "new"})
            deployment["spec"]["template"]["metadata"].update(labels={"app": "new"})

        world.store.update(DEPLOYMENTS, OWNERS, "containerssh", reselect)
        await advance(5)
        await s.open("alice")
        await advance(40)
        assert s.gc.verdict("alice").reason is Reason.OWNERLESS
        await eventually(lambda: s.gc.logged("session_kept"))
        assert s.gc.collected() == {}

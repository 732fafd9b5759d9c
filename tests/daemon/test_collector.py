"""The collector against a living cluster: what it deletes, what it leaves, and what it says of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ssh_session_gc.core.model import Action, Reason
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.daemon.holds import FORBIDDEN_RETRY
from ssh_session_gc.sandbox import Fault, Identity, Rule, TrueSession, World
from ssh_session_gc.sandbox.api.objects import DAEMONSETS, DEPLOYMENTS, EVENTS, PODS, STATEFULSETS
from ssh_session_gc.settings import DryRun, OwnerRef
from tests.harness import Running, running
from tests.support import advance, eventually

SESSIONS, OWNERS = "ssh-sessions", "containerssh"


@dataclass
class Scene:
    """A cluster and the daemon in it."""

    world: World
    gc: Running

    async def open(self, *users: str, **more: Any) -> list[TrueSession]:
        """Opens sessions and lets them start."""
        opened = [self.world.open(user, **more) for user in users]
        await advance(5)
        return opened

    def pod(self, session: TrueSession) -> dict[str, Any] | None:
        """The session's Pod, if it is still there."""
        pods = self.world.store.list(PODS, SESSIONS)
        return next((p for p in pods if p["metadata"]["uid"] == session.uid), None)

    def annotate(self, session: TrueSession, **annotations: str) -> None:
        """Annotates the session's Pod; underscores stand for dashes, and the prefix is ours."""
        named = {f"ssh-session-gc/{name.replace('_', '-')}": text for name, text in annotations.items()}
        self.world.store.update(
            PODS, SESSIONS, session.name, lambda pod: pod["metadata"].setdefault("annotations", {}).update(named)
        )

    async def collected(self, **reasons: str) -> None:
        """Exactly these users' sessions have been collected, for these reasons, and nobody was lost."""
        await eventually(lambda: len(self.gc.collected()) >= len(reasons), f"{reasons}, so far {self.gc.collected()}")
        assert self.gc.collected() == reasons

    def under_way(self) -> set[asyncio.Task[None]]:
        """The deletions that wait for their answer."""
        return self.gc.daemon.collector.workers.deleter.in_flight

    def has_deleted(self, many: int) -> bool:
        """Whether so many DELETE requests were answered."""
        return self.deletions() == many

    def deletions(self) -> int:
        """How many DELETE requests were answered."""
        return sum(r.verb == "delete" for r in self.world.server.requests)


@asynccontextmanager
async def scene(
    tmp_path: Path, *, replicas: int = 1, stamp: bool = False, world: World | None = None, **settings: Any
) -> AsyncIterator[Scene]:
    async with world or World(stamp=stamp) as made:
        if replicas:
            made.deploy(replicas)
            waiting = asyncio.create_task(made.ready(replicas))
            while not waiting.done():
                await advance(0.2)
        async with running(made.url, tmp_path, **settings) as gc:
            await gc.synced()
            yield Scene(made, gc)


async def test_a_crash_orphans_its_sessions_and_only_those(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice", "bob")
        s.world.crash()
        await advance(10)
        await s.open("carol")
        await advance(60)
        await s.collected(alice="Ownerless", bob="Ownerless")
        await advance(60)
        assert s.world.orphans() == []
        assert s.world.lost_live() == []
        assert s.gc.value("deletions_total", reason="Ownerless", outcome="deleted") == 2
        assert s.gc.value("deletion_lag_seconds_count", reason="Ownerless") == 2


async def test_stamped_sessions_of_one_dead_replica_of_three(tmp_path: Path) -> None:
    async with scene(tmp_path, replicas=3, stamp=True) as s:
        for n, user in enumerate(("alice", "bob", "carol")):
            await s.open(user, replica=n)
        s.world.crash(s.world.containerssh.replicas[1].process)
        await advance(70)
        await s.collected(bob="Ownerless")
        assert s.world.lost_live() == []


async def test_every_rule_in_one_cluster(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("old", "exempt", "short")
        [exempt] = [x for x in s.world.containerssh.sessions.values() if x.user == "exempt"]
        [short] = [x for x in s.world.containerssh.sessions.values() if x.user == "short"]
        s.annotate(exempt, keep="true")
        s.annotate(short, ttl="10m")
        await s.open("stillborn", image="x:missing")
        await s.open("done", annotations={"sandbox/program": '{"exits_after": 5}'})
        await advance(200)
        await s.collected(stillborn="StartTimeout", done="Finished")
        await advance(3500)
        await s.collected(stillborn="StartTimeout", done="Finished", short="OverAge", old="OverAge")
        assert s.gc.verdict("exempt").action is Action.KEEP
        assert s.gc.value("sessions", state="exempt") == 1
        assert s.world.orphans() == []


async def test_what_changed_since_it_was_judged_is_judged_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        await advance(3580)
        # The watch goes silent; what it would have said is that alice may stay.
        s.world.faults.stall_watches(resource="pods", namespace=SESSIONS)
        s.annotate(alice, keep="true")
        await advance(30)
        await eventually(lambda: s.gc.logged("session_changed"))
        await eventually(lambda: s.gc.verdict("alice").action is Action.KEEP)
        assert s.gc.collected() == {}
        assert s.pod(alice) is not None
        assert s.gc.value("deletions_total", reason="OverAge", outcome="changed") == 1


async def test_each_deletion_names_the_uid_and_the_version_that_were_judged(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        session = s.gc.session("alice")
        assert session is not None
        deleter = s.gc.daemon.collector.workers.deleter
        send, bodies = deleter.send, list[dict[str, object]]()

        async def noted(name: str, body: dict[str, object]) -> None:
            bodies.append(body)
            await send(name, body)

        deleter.send = noted  # type: ignore[method-assign]
        await advance(3600)
        await s.collected(alice="OverAge")
        assert bodies[0]["preconditions"] == {"uid": alice.uid, "resourceVersion": session.resource_version}
        assert bodies[0]["gracePeriodSeconds"] == 30


async def test_a_name_that_was_used_again_is_another_session(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        await advance(3580)
        s.world.faults.stall_watches(resource="pods", namespace=SESSIONS)
        old = s.pod(alice)
        assert old is not None
        s.world.store.delete(PODS, SESSIONS, alice.name, grace=0)
        metadata = {"name": alice.name, "labels": old["metadata"]["labels"] | {"containerssh_username": "bob"}}
        s.world.store.create(PODS, SESSIONS, {"metadata": metadata, "spec": old["spec"]})
        await advance(30)
        await eventually(lambda: s.gc.session("alice") is None)
        assert s.gc.collected() == {}
        assert len(s.world.store.list(PODS, SESSIONS)) == 1


async def test_what_is_gone_already_is_fine(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        await advance(3580)
        s.world.faults.stall_watches(resource="pods", namespace=SESSIONS)
        s.world.store.delete(PODS, SESSIONS, alice.name, grace=0)
        await advance(30)
        await eventually(lambda: s.gc.logged("session_gone"))
        assert s.gc.value("deletions_total", reason="OverAge", outcome="gone") == 1
        assert s.deletions() == 1


async def test_transient_refusals_are_tried_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        s.world.faults.add(Fault("status", verb="delete", code=429, retry_after=1, times=1))
        s.world.faults.add(Fault("status", verb="delete", code=500, times=1))
        s.world.faults.add(Fault("reset", verb="delete", times=1))
        await advance(3620)
        await s.collected(alice="OverAge")
        assert s.deletions() == 4


async def test_a_deletion_whose_answer_is_lost_is_not_done_twice(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        s.world.faults.add(Fault("truncate", verb="delete", times=2))
        await advance(3620)
        await eventually(lambda: alice.gone)
        assert alice.deleted is not None
        # The second attempt finds a newer version than was judged: nothing is deleted on the strength of the first.
        assert s.gc.value("deletions_total", reason="OverAge", outcome="changed") == 1
        assert s.gc.logged("session_deleted_already")


async def test_a_deletion_that_fails_for_long_goes_back_in_line(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        fault = s.world.faults.add(Fault("status", verb="delete", code=500))
        await advance(3610)
        await eventually(lambda: s.gc.logged("deletion_failed"))
        assert s.gc.value("orphans", reason="OverAge") == 1
        assert s.gc.value("orphan_oldest_seconds", reason="OverAge") > 0
        s.world.faults.lift(fault)
        await advance(60)
        await s.collected(alice="OverAge")
        await advance(5)
        await eventually(lambda: s.pod(alice) is None)
        await eventually(lambda: events(s) == {"SessionDeletionFailed", "SessionCollected"})


def events(s: Scene) -> set[str]:
    return {event["reason"] for event in s.world.store.list(EVENTS, SESSIONS)}


def grants(*denied: str) -> tuple[Rule, ...]:
    """What the collector needs, without what is named ("delete pods")."""
    wanted = [
        Rule(("get", "list", "watch", "delete"), ("pods",), namespace=SESSIONS),
        Rule(("create",), ("events",), namespace=SESSIONS),
        Rule(("get", "list", "watch"), ("deployments",), ("apps",), ("containerssh",), OWNERS),
        Rule(("get", "list", "watch"), ("pods",), namespace=OWNERS),
    ]
    rules = []
    for rule in wanted:
        verbs = tuple(v for v in rule.verbs if f"{v} {rule.resources[0]} {rule.namespace}" not in denied)
        rules.append(Rule(verbs, rule.resources, rule.api_groups, rule.resource_names, rule.namespace))
    return tuple(rules)


def restricted(*denied: str) -> World:
    """A cluster in which the collector may do only what it needs, and not what is named."""
    return World(tokens={"": Identity("gc"), "t": Identity("gc")}, roles={"gc": grants(*denied)})


@asynccontextmanager
async def restricted_scene(tmp_path: Path, *denied: str, **settings: Any) -> AsyncIterator[Scene]:
    async with restricted(*denied) as world:
        world.deploy()
        waiting = asyncio.create_task(world.ready())
        while not waiting.done():
            await advance(0.2)
        kubeconfig = world.kubeconfig(tmp_path / "kc", token="t")
        async with running(world.url, tmp_path, kubeconfig=kubeconfig, **settings) as gc:
            yield Scene(world, gc)


async def test_these_permissions_are_enough(tmp_path: Path) -> None:
    async with restricted_scene(tmp_path) as s:
        await s.gc.synced()
        await s.open("alice")
        s.world.crash()
        await advance(70)
        await s.collected(alice="Ownerless")
        await eventually(lambda: events(s) == {"SessionCollected"})
        assert not [line for line in s.gc.log if line["log_level"] in ("warning", "error")]


async def test_a_missing_delete_is_said_once_and_tried_slowly(tmp_path: Path) -> None:
    async with restricted_scene(tmp_path, f"delete pods {SESSIONS}") as s:
        await s.gc.synced()
        await s.open("alice", "bob", "carol")
        await advance(3700)
        await eventually(lambda: s.gc.logged("deletion_forbidden"))
        [said] = s.gc.logged("deletion_forbidden")
        assert said["hint"] == "grant verb delete on pods in namespace ssh-sessions"
        assert 'cannot delete resource "pods"' in said["error"]
        tried = s.deletions()
        await advance(5 * FORBIDDEN_RETRY)
        assert s.deletions() - tried <= 18
        assert len(s.gc.logged("deletion_forbidden")) == 1
        assert s.gc.value("deletions_total", reason="OverAge", outcome="forbidden") >= 1
        s.world.server.roles = {"gc": grants()}
        await advance(3 * FORBIDDEN_RETRY)
        await s.collected(alice="OverAge", bob="OverAge", carol="OverAge")


@pytest.mark.parametrize("verb", ["list", "watch"])
@pytest.mark.parametrize("resource", ["pods", "deployments"])
async def test_without_permission_to_see_owners_nobody_is_ownerless(tmp_path: Path, verb: str, resource: str) -> None:
    async with restricted_scene(tmp_path, f"{verb} {resource} {OWNERS}") as s:
        await eventually(lambda: not s.gc.daemon.cluster.sessions.out_of_sync)
        await s.open("alice")
        s.world.crash()
        await advance(600)
        assert s.gc.collected() == {}
        assert s.gc.value("owner_known") == 0
        assert "nobody can tell who owns it" in s.gc.evidence("alice")
        [said] = [line for line in s.gc.logged("stream_interrupted") if line["cause"] == "forbidden"]
        assert f'cannot {verb} resource "{resource}"' in said["error"]
        await advance(3100)
        await s.collected(alice="OverAge")


async def test_without_the_fresh_read_nobody_is_ownerless(tmp_path: Path) -> None:
    async with restricted_scene(tmp_path, f"get deployments {OWNERS}") as s:
        await s.gc.synced()
        await s.open("alice")
        s.world.crash()
        await advance(600)
        assert s.gc.collected() == {}
        assert "get" in s.gc.logged("owners_unreadable")[0]["error"]


async def test_without_events_the_work_goes_on(tmp_path: Path) -> None:
    async with restricted_scene(tmp_path, f"create events {SESSIONS}") as s:
        await s.gc.synced()
        await s.open("alice", "bob")
        await advance(3700)
        await s.collected(alice="OverAge", bob="OverAge")
        await eventually(lambda: s.gc.logged("event_not_written"))
        assert len(s.gc.logged("event_not_written")) == 1


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


async def test_a_workload_that_was_never_there(tmp_path: Path) -> None:
    async with scene(tmp_path, replicas=0) as s:
        spec = {"containers": [{"name": "shell", "image": "x"}]}
        labels = {"containerssh.io/session": "true", "containerssh_username": "alice"}
        s.world.store.create(PODS, SESSIONS, {"metadata": {"name": "a", "labels": labels}, "spec": spec})
        await advance(600)
        assert s.gc.collected() == {}
        assert s.gc.logged("owner_not_found")[0]["hint"] == "check --owner"
        async with aiohttp.ClientSession() as http, http.get(f"http://{s.gc.daemon.server.address}/readyz") as ready:
            assert ready.status == 200


async def test_a_selector_that_changes_is_followed(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        # The Deployment is deleted, its Pods left to themselves, and made again with other labels.
        orphaned = s.world.containerssh.replicas[0].process.pod
        s.world.store.update(PODS, OWNERS, orphaned, lambda pod: pod["metadata"].pop("ownerReferences"))
        old = s.world.store.get(DEPLOYMENTS, OWNERS, "containerssh")
        s.world.delete_deployment()
        template = json.loads(json.dumps(old["spec"]["template"]).replace('"app"', '"name"'))
        spec = {"replicas": 1, "selector": {"matchLabels": {"name": "containerssh"}}, "template": template}
        s.world.store.create(DEPLOYMENTS, OWNERS, {"metadata": {"name": "containerssh"}, "spec": spec})
        await advance(10)
        assert s.gc.daemon.cluster.workload.selector == "name=containerssh"
        await s.open("bob")
        # The old Pod does not match any more, but it is there, and alice is in it.
        await advance(300)
        assert s.gc.collected() == {}
        s.world.store.delete(PODS, OWNERS, orphaned)
        await advance(300)
        await s.collected(alice="Ownerless")
        assert s.world.lost_live() == []


async def test_a_sidecar_is_no_owner(tmp_path: Path) -> None:
    world = World()
    async with world:
        world.deploy(sidecar=True)
        waiting = asyncio.create_task(world.ready())
        while not waiting.done():
            await advance(0.2)
        async with running(world.url, tmp_path) as gc:
            await gc.synced()
            assert {o.container for o in gc.daemon.cluster.owners.owners} == {"containerssh"}


@pytest.mark.parametrize(("kind", "resource"), [("statefulset", STATEFULSETS), ("daemonset", DAEMONSETS)])
async def test_other_kinds_of_workload(tmp_path: Path, kind: str, resource: Any) -> None:
    async with World() as world:
        template = {"metadata": {"labels": {"app": "ssh"}}, "spec": {"containers": [{"name": "ssh", "image": "x"}]}}
        spec = {"selector": {"matchLabels": {"app": "ssh"}}, "template": template}
        world.store.create(resource, OWNERS, {"metadata": {"name": "ssh"}, "spec": spec})
        world.store.create(
            PODS, OWNERS, {"metadata": {"name": "ssh-0", "labels": {"app": "ssh"}}, **template_spec(template)}
        )
        await advance(5)
        async with running(world.url, tmp_path, owner=OwnerRef(kind, OWNERS, "ssh"), owner_namespace=OWNERS) as gc:
            await gc.synced()
            assert [(o.pod, o.container, o.state) for o in gc.daemon.cluster.owners.owners] == [
                ("ssh-0", "ssh", "Running")
            ]


def template_spec(template: dict[str, Any]) -> dict[str, Any]:
    return {"spec": template["spec"]}


async def test_owners_by_selector(tmp_path: Path) -> None:
    async with scene(tmp_path, replicas=0, owner=None, owner_selector="app=containerssh") as s:
        # Nothing that it matches was ever seen: nobody can tell.
        assert s.gc.daemon.cluster.owners.unknown
        s.world.deploy()
        await advance(5)
        await s.open("alice")
        assert s.gc.daemon.cluster.owners.unknown is None
        s.world.crash()
        await advance(70)
        await s.collected(alice="Ownerless")


async def test_no_owner_at_all(tmp_path: Path) -> None:
    async with scene(tmp_path, owner=None, policy=Policy(ownerless=False)) as s:
        await s.open("alice")
        s.world.crash()
        await advance(600)
        assert s.gc.collected() == {}
        assert not any("containerssh/" in r.path for r in s.world.server.requests)
        await advance(3100)
        await s.collected(alice="OverAge")


@pytest.mark.parametrize("mode", [DryRun.CLIENT, DryRun.SERVER])
async def test_a_dry_run_says_each_once_and_deletes_nothing(tmp_path: Path, mode: DryRun) -> None:
    async with scene(tmp_path, dry_run=mode) as s:
        [alice, bob] = await s.open("alice", "bob")
        s.world.crash()
        await advance(200)
        await s.collected(alice="Ownerless", bob="Ownerless")
        await advance(600)
        assert len(s.gc.logged("session_would_be_collected")) == 2
        assert s.gc.logged("session_would_be_collected")[0]["dry_run"] == mode
        assert s.deletions() == (2 if mode is DryRun.SERVER else 0)
        for session in (alice, bob):
            pod = s.pod(session)
            assert pod is not None
            assert "deletionTimestamp" not in pod["metadata"]
        assert events(s) == set()
        assert s.gc.value("orphans", reason="Ownerless") == 2
        assert s.gc.value("deletions_total", reason="Ownerless", outcome="dry_run") == 2
        assert s.gc.value("dry_run") == 1


async def test_the_limit_of_deletions_a_minute(tmp_path: Path) -> None:
    async with scene(tmp_path, max_deletes_per_minute=3) as s:
        await s.open(*(f"user{n}" for n in range(8)))
        s.world.crash()
        for most in (3, 6, 8):
            await advance(62)
            await eventually(partial(s.has_deleted, most))


async def test_a_burst_is_read_once_and_deleted_at_the_set_concurrency(tmp_path: Path) -> None:
    async with scene(tmp_path, concurrency=5) as s:
        await s.open(*(f"user{n}" for n in range(60)))
        s.world.crash()
        await advance(50)
        fresh = sum(r.verb == "get" and r.resource == "deployments" for r in s.world.server.requests)
        s.world.faults.add(Fault("stall", verb="delete"))
        await advance(15)
        # Five are under way and get no answer; nobody else is.
        await eventually(lambda: len(s.under_way()) == 5)
        s.world.faults.clear()
        await advance(40)
        await eventually(lambda: len(s.gc.collected()) == 60)
        now = sum(r.verb == "get" and r.resource == "deployments" for r in s.world.server.requests)
        assert now - fresh == 1


async def test_stopping_begins_nothing_new_and_lets_what_is_under_way_finish(tmp_path: Path) -> None:
    async with scene(tmp_path, concurrency=2) as s:
        await s.open("a", "b", "c", "d")
        s.world.faults.add(Fault("slow", verb="delete", seconds=0.5))
        await advance(3595)
        while len(s.under_way()) < 2:
            await advance(0.1)
        s.gc.stop.set()
        await advance(2)
        await eventually(s.gc.task.done)
        assert s.deletions() == 2
        assert len(s.gc.collected()) == 2


async def test_stopping_does_not_wait_for_what_never_answers(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        s.world.faults.add(Fault("stall", verb="delete"))
        s.world.faults.add(Fault("stall", verb="create"))
        await advance(3600)
        await eventually(s.under_way)
        s.gc.stop.set()
        await advance(2)
        await eventually(s.gc.task.done)


async def test_a_stuck_deletion_is_shown_and_forced_only_where_asked(tmp_path: Path) -> None:
    for force_after in (0.0, 300.0):
        async with scene(tmp_path, policy=Policy(force_after=force_after)) as s:
            [alice] = await s.open("alice")
            await advance(3580)
            s.world.cut_off()
            await advance(40)
            await s.collected(alice="OverAge")
            await advance(200)
            assert s.gc.value("sessions", state="stuck") == 1
            await advance(200)
            assert (s.pod(alice) is None) is bool(force_after)
            assert s.deletions() == (2 if force_after else 1)


async def test_ages_are_the_api_server_s_whatever_our_clock_says(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        age = s.gc.api.time.now() - alice.created
        assert 3 < age < 8
        # Somebody sets the cluster's clock an hour ahead: the next answers tell.
        s.world.clock_offset = 3600.0
        await advance(500)
        await s.collected(alice="OverAge")


async def test_the_event_and_the_log_line_have_all_that_is_known(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        s.world.crash()
        await advance(70)
        await s.collected(alice="Ownerless")
        await eventually(lambda: events(s))
        [event] = s.world.store.list(EVENTS, SESSIONS)
        assert event["involvedObject"]["name"] == alice.name
        assert event["involvedObject"]["uid"] == alice.uid
        assert (event["type"], event["reportingComponent"]) == ("Normal", "ssh-session-gc")
        assert event["message"].startswith("Ownerless: no owner since ")
        [line] = s.gc.logged("session_collected")
        assert line["pod"] == alice.name
        assert {"namespace", "uid", "user", "connection_id", "client_ip", "reason", "due", "age_seconds", "owner",
                "evidence", "dry_run", "outcome"} <= line.keys()  # fmt: skip
        assert line["owner"] == s.world.containerssh.replicas[0].process.pod
        assert "restarted at" in line["evidence"]


async def test_nothing_of_a_pod_s_metadata_reaches_a_terminal_or_a_label(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        evil = "\x1b]0;pwned\x07\u202e\n\r" + "A" * 100_000
        await s.open(
            "mallory", annotations={"containerssh_ip": evil, "ssh-session-gc/ttl": evil, "ssh-session-gc/keep": "yes"}
        )
        await advance(3600)
        await s.collected(mallory="OverAge")
        for line in s.gc.log:
            for value in line.values():
                assert not isinstance(value, str) or (value.isprintable() and len(value) < 1100)
        assert s.gc.value("invalid_annotations_total") == 2
        [ignored] = s.gc.logged("annotation_ignored")
        assert ignored["annotations"] == ["ssh-session-gc/keep", "ssh-session-gc/ttl"]
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://{s.gc.daemon.server.address}/metrics") as answer,
        ):
            text = await answer.text()
        assert "AAAA" not in text
        assert "mallory" not in text


async def test_reasons_are_judged_by_the_same_function_as_the_policy_tests(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        verdict = s.gc.verdict("alice")
        assert (verdict.action, verdict.reason) == (Action.WAITING, Reason.OVER_AGE)
        assert s.gc.value("sessions", state="owned") == 1
        s.world.crash()
        await advance(10)
        assert s.gc.value("sessions", state="waiting") == 1
        assert s.gc.value("owners", state="Ended") == 1
        assert s.gc.value("owners", state="Running") == 1


async def test_an_owner_that_vanished_is_looked_up_and_the_grace_counts_from_there(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=Policy(owner_grace=5.0)) as s:
        await s.open("alice")
        s.world.store.delete(PODS, OWNERS, s.world.containerssh.replicas[0].process.pod, grace=0)
        await advance(8)
        assert s.gc.collected() == {}
        # Once more, and no later than that: it has nobody to wait for.
        await advance(4)
        await s.collected(alice="Ownerless")

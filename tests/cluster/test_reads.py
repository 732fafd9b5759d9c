"""The last look, piece by piece: who is found by it, and what it makes of finding nobody."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from ssh_session_gc.cluster.reads import (
    LONGEST_READ,
    find_replicas,
    list_owner_pods,
    look_up,
    read_connections,
    read_counts,
    read_owners,
    read_session,
    with_unselected,
)
from ssh_session_gc.cluster.sessions import session_pods
from ssh_session_gc.core.connections import UNHEARD, Connection, Moment
from ssh_session_gc.core.gauge import Idle
from ssh_session_gc.core.model import Incarnation, OwnerState, Run, Session
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.ownership import ownership
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.errors import ApiError, Malformed
from ssh_session_gc.kube.listing import list_all
from ssh_session_gc.kube.pods import Unread, any_pod
from ssh_session_gc.sandbox import Fault, World
from ssh_session_gc.sandbox.api.objects import DEPLOYMENTS, PODS
from ssh_session_gc.sandbox.containerssh.metrics import Page
from ssh_session_gc.settings import OwnerRef, Settings
from ssh_session_gc.telemetry.metrics import Metrics
from tests.builders import T, session
from tests.harness import connected
from tests.support import advance

OWNERS = "containerssh"
SETTINGS = Settings()
BY_LABEL = Settings(owner=None, owner_selector="app=containerssh")

KNOWN = Owners(watched_since=1.0)


@dataclass
class ReadsScene:
    """A cluster with one ContainerSSH in it, and somebody who asks."""

    world: World
    api: Api
    metrics: Metrics

    @property
    def pod(self) -> dict[str, Any]:
        """ContainerSSH's Pod."""
        return self.world.store.get(PODS, OWNERS, self.world.containerssh.replicas[0].process.pod)

    @property
    def uid(self) -> str:
        """The uid of that Pod."""
        return str(self.pod["metadata"]["uid"])

    def change(self, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Changes a Pod of the owners' namespace."""
        self.world.store.update(PODS, OWNERS, name, change)

    def quarantine(self) -> None:
        """Takes ContainerSSH's Pod out of its workload's selector. It runs on."""
        self.change(self.pod["metadata"]["name"], lambda pod: pod["metadata"].update(labels={"quarantined": "true"}))

    def stranger(self, *containers: str, name: str = "stranger") -> dict[str, Any]:
        """A Pod that nobody's selector matches."""
        spec = {"containers": [{"name": each, "image": "x"} for each in containers or ("other",)]}
        return self.world.store.create(PODS, OWNERS, {"metadata": {"name": name}, "spec": spec})

    def session(self, age: float = 0.0, stamp_uid: str = "", stamp_name: str = "") -> Session:
        """A session that was made so many seconds ago."""
        return session(self.world.store.now() - age, stamp_uid=stamp_uid, stamp_name=stamp_name)

    async def known(self, settings: Settings = SETTINGS) -> Owners:
        """What somebody knows who has watched for long."""
        pods = await list_owner_pods(self.api, settings, "app=containerssh")
        return KNOWN.listed(pods, self.api.time.now(), since=self.api.time.now())

    async def all_sessions(self) -> list[Session]:
        """The sessions that there are, as they are read."""
        return (await list_all(self.api, session_pods(SETTINGS))).items

    def asked(self) -> list[tuple[str, str]]:
        """Verb and resource of what has been asked for since this was asked the last time."""
        found = [(request.verb, request.resource) for request in self.world.server.requests]
        self.world.server.requests.clear()
        return found


@asynccontextmanager
async def scene(replicas: int = 1, **more: Any) -> AsyncIterator[ReadsScene]:
    """ContainerSSH runs, and the API server's time is known. ``more``: see ``World``."""
    async with World(**more) as world:
        world.deploy(replicas)
        await asyncio.gather(world.ready(replicas), advance(2))
        metrics = Metrics(dry_run=False)
        async with connected(world.url, observer=metrics) as api:
            await api.version()
            yield ReadsScene(world, api, metrics)


def alive(owners: Owners) -> set[str]:
    """The Pods that may be running."""
    return {owner.pod_uid for owner in owners.owners if owner.alive}


async def test_it_reads_the_workload_and_its_pods_and_no_more() -> None:
    async with scene() as s:
        s.asked()
        news = s.api.time.now() - 5
        found = await read_owners(s.api, SETTINGS, KNOWN, "app=unheard-of", [s.session(age=60)], news)
        assert alive(found) == {s.uid}
        # One request more, for whoever serves and is not selected.
        assert s.asked() == [("get", "deployments"), ("list", "pods"), ("list", "pods")]
        # Whoever came and went since the watch last said anything is in no list.
        assert found.last_gap is not None
        assert found.last_gap.start == news
        assert found.last_gap.end == pytest.approx(s.api.time.now(), abs=2)
        assert found.watched_since == KNOWN.watched_since
        for verb, resource, many in (("get", "deployments", 1), ("list", "pods", 2)):
            labels = {"verb": verb, "resource": resource, "code": "200"}
            assert s.metrics.registry.get_sample_value("ssh_session_gc_api_requests_total", labels) == many
        await read_owners(s.api, SETTINGS, found, "app=unheard-of", [s.session(stamp_uid=s.uid)], news)
        assert s.asked() == [("get", "deployments"), ("list", "pods")]


async def test_without_its_workload_the_selector_that_it_had_finds_its_pods() -> None:
    async with scene() as s:
        assert await find_replicas(s.api, SETTINGS) == ("app=containerssh", "containerssh")
        nothing = Settings(owner=OwnerRef("deployment", OWNERS, "gone"))
        assert await find_replicas(s.api, nothing) == ("", "")
        assert alive(await read_owners(s.api, nothing, KNOWN, "app=containerssh", [], 1.0)) == {s.uid}
        assert alive(await read_owners(s.api, nothing, KNOWN, "app=unheard-of", [], 1.0)) == set()


async def test_what_another_namespace_has_is_no_owner() -> None:
    async with scene() as s:
        spec = {"containers": [{"name": "containerssh", "image": "x"}]}
        namesake = {"metadata": {"name": "namesake", "labels": {"app": "containerssh"}}, "spec": spec}
        s.world.store.create(PODS, "default", namesake)
        assert len(await list_owner_pods(s.api, SETTINGS, "app=containerssh")) == 1


async def test_where_a_label_names_the_owners_no_workload_is_looked_for() -> None:
    async with scene() as s:
        s.asked()
        assert await find_replicas(s.api, BY_LABEL) == ("app=containerssh", "")
        assert s.asked() == []
        assert alive(await read_owners(s.api, BY_LABEL, KNOWN, "", [], 1.0)) == {s.uid}


async def test_the_workload_is_looked_for_where_it_is_said_to_be() -> None:
    async with scene() as s:
        spec = {"selector": {}, "replicas": 0}
        s.world.store.create(DEPLOYMENTS, "default", {"metadata": {"name": OWNERS}, "spec": spec})
        for elsewhere in (OwnerRef("statefulset", OWNERS, OWNERS), OwnerRef("deployment", "default", OWNERS)):
            assert await find_replicas(s.api, Settings(owner=elsewhere)) == ("", "")


async def test_the_owner_container_is_the_one_that_is_named() -> None:
    async with scene() as s:
        (pod,) = await list_owner_pods(s.api, Settings(owner_container="audit-log"), "app=containerssh")
        assert (pod.container, pod.running) == ("audit-log", None)
        (pod,) = await list_owner_pods(s.api, SETTINGS, "app=containerssh")
        assert (pod.container, pod.running is None) == ("containerssh", False)


@pytest.mark.parametrize(("verb", "resource"), [("get", "deployments"), ("list", "pods"), ("get", "pods")])
@pytest.mark.parametrize("code", [403, 404, 500])
async def test_a_read_that_fails_is_no_answer(verb: str, resource: str, code: int) -> None:
    async with scene() as s:
        known = await s.known()
        one = s.session(stamp_uid=s.uid)
        s.quarantine()
        # A 404 of a proxy's: the API server's own names its reason.
        s.world.faults.add(Fault("status", verb=verb, resource=resource, code=code))
        with pytest.raises(ApiError):
            await read_owners(s.api, SETTINGS, known, "app=containerssh", [one], s.api.time.now())


async def test_an_owner_pod_that_cannot_be_read_is_no_answer() -> None:
    async with scene() as s:
        s.change(s.pod["metadata"]["name"], lambda pod: pod["spec"].update(containers="none"))
        with pytest.raises(Malformed, match=r"an owner Pod cannot be read: .*containers"):
            await list_owner_pods(s.api, SETTINGS, "app=containerssh")


async def test_who_vanished_from_the_list_is_looked_up_by_name() -> None:
    async with scene() as s:
        known, uid = await s.known(), s.uid
        one = s.session(stamp_uid=uid)
        s.quarantine()
        lost = known.lost(uid, s.api.time.now())
        s.asked()
        found = await look_up(s.api, SETTINGS, lost, [one])
        assert s.asked() == [("get", "pods")]
        labels = {"verb": "get", "resource": "pods", "code": "200"}
        assert s.metrics.registry.get_sample_value("ssh_session_gc_api_requests_total", labels) == 1
        assert [owner.state for owner in found.owners] == [OwnerState.RUNNING]
        assert found.owners[0].container == "containerssh"
        # Where nobody waits for it, it is not asked for.
        assert await look_up(s.api, SETTINGS, lost, []) == lost
        assert s.asked() == []


async def test_who_is_found_by_name_is_judged_by_its_owner_container() -> None:
    async with scene() as s:
        settings = Settings(owner_container="audit-log")
        known, uid = await s.known(settings), s.uid
        one = s.session(stamp_uid=uid)
        s.quarantine()
        found = await look_up(s.api, settings, known.lost(uid, s.api.time.now()), [one])
        assert {owner.container for owner in found.owners if owner.alive} == {"audit-log"}


@pytest.mark.parametrize("stamped", [False, True])
@pytest.mark.parametrize("successor", [False, True])
async def test_who_is_not_found_is_gone(successor: bool, stamped: bool) -> None:
    async with scene() as s:
        known, uid = await s.known(), s.uid
        one = s.session(stamp_uid=uid if stamped else "")
        name = s.pod["metadata"]["name"]
        s.quarantine()
        s.world.store.delete(PODS, OWNERS, name, grace=0)
        if successor:
            # Another Pod has its name now, and is no owner of anything.
            s.world.store.create(
                PODS, OWNERS, {"metadata": {"name": name}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
            )
        lost = known.lost(uid, s.api.time.now())
        await advance(30)
        found = await look_up(s.api, SETTINGS, lost, [one])
        (gone,) = (owner for owner in found.owners if owner.pod_uid == uid)
        assert (gone.alive, gone.confirmed) == (False, True)
        # Nobody saw it being deleted: it may have lived until now.
        assert gone.finished == pytest.approx(s.api.time.now(), abs=5)


async def test_a_creator_whom_no_selector_matches_is_looked_up_by_its_stamp() -> None:
    async with scene() as s:
        stranger = s.stranger()
        uid = stranger["metadata"]["uid"]
        stamped = s.session(stamp_uid=uid, stamp_name="stranger")
        known = await s.known()
        found = await look_up(s.api, SETTINGS, known, [stamped])
        assert uid in alive(found)
        assert ownership(stamped, found, 2.0).since is None
        # By its uid alone, every Pod is looked through.
        unnamed = s.session(stamp_uid=uid)
        s.asked()
        found = await look_up(s.api, SETTINGS, known, [unnamed])
        assert uid in alive(found)
        assert s.asked() == [("list", "pods")]


async def test_of_several_stamps_without_a_name_each_is_looked_for() -> None:
    async with scene() as s:
        uid = s.stranger()["metadata"]["uid"]
        known = await s.known()
        sessions = [s.session(stamp_uid=uid), s.session(stamp_uid="unheard-of", stamp_name="unheard-of")]
        assert uid in alive(await look_up(s.api, SETTINGS, known, sessions))
        assert uid in alive(await look_up(s.api, SETTINGS, known, sessions[::-1]))


@pytest.mark.parametrize(
    ("container", "wanted", "counts"),
    [
        ("containerssh", "", True),
        ("other", "", False),
        ("other", "other", True),
        # That of the owners that are known counts, whatever the setting says.
        ("containerssh", "other", True),
    ],
)
async def test_where_somebody_unseen_may_own_it_whoever_runs_the_owner_container_counts(
    container: str, wanted: str, counts: bool
) -> None:
    async with scene() as s:
        stranger = s.stranger("sidecar", container)
        # Older than what anybody has seen: it cannot be placed.
        one = s.session(age=1000)
        known = msgspec.structs.replace(await s.known(), watched_since=s.api.time.now())
        found = await look_up(s.api, Settings(owner_container=wanted), known, [one])
        assert (stranger["metadata"]["uid"] in alive(found)) is counts
        if counts:
            (seen,) = (owner for owner in found.owners if owner.pod == "stranger")
            assert seen.container == (wanted or "containerssh")


async def test_where_no_owner_has_been_seen_the_container_has_its_usual_name() -> None:
    async with scene() as s:
        uid = s.stranger("containerssh")["metadata"]["uid"]
        nobody = Owners().listed([], s.api.time.now())
        assert uid in alive(await look_up(s.api, SETTINGS, nobody, [s.session(age=1000)]))
        other = Settings(owner_container="other")
        assert alive(await look_up(s.api, other, nobody, [s.session(age=1000)])) == set()


async def test_where_every_session_can_be_placed_nobody_else_is_looked_for() -> None:
    async with scene() as s:
        known = await s.known()
        s.stranger("containerssh")
        s.asked()
        assert await look_up(s.api, SETTINGS, known, [s.session(stamp_uid=s.uid)]) == known
        assert s.asked() == []


async def test_who_serves_unselected_may_own_what_is_younger_than_the_first_list() -> None:
    async with scene() as s:
        known, uid = await s.known(), s.uid
        s.quarantine()
        # Whoever starts now, and has listed only what is selected.
        later = Owners().listed([], s.api.time.now())
        await advance(100)
        one = s.session()
        assert ownership(one, later, 2.0).since is not None
        found = await look_up(s.api, SETTINGS, later, [one])
        assert uid in alive(found)
        assert ownership(one, found, 2.0).since is None
        assert uid not in {owner.pod_uid for owner in later.owners}
        assert uid in {owner.pod_uid for owner in known.owners}


async def test_those_whose_end_nobody_saw_are_looked_for_together() -> None:
    async with scene(3) as s:
        known = await s.known()
        uids = {owner.pod_uid for owner in known.owners}
        stamped = [s.session(stamp_uid=uid) for uid in uids]
        lost = known
        for pod in s.world.store.list(PODS, OWNERS)[:2]:
            lost = lost.lost(pod["metadata"]["uid"], s.api.time.now())
        gone = s.world.store.list(PODS, OWNERS)[0]
        s.world.store.delete(PODS, OWNERS, gone["metadata"]["name"], grace=0)
        s.asked()
        found = await look_up(s.api, SETTINGS, lost, stamped)
        assert s.asked() == [("list", "pods")]
        assert gone["metadata"]["uid"] not in alive(found)
        assert uids - alive(found) == {gone["metadata"]["uid"]}
        assert all(owner.confirmed for owner in found.owners)


def broken(pod: dict[str, Any]) -> None:
    """Spoils what no Pod can do without."""
    pod["metadata"]["creationTimestamp"] = "never"


@pytest.mark.parametrize(
    ("containers", "spoil", "holds"),
    [
        (("other",), broken, False),
        (("other", "containerssh"), broken, True),
        (("other",), lambda pod: pod["spec"].update(containers="none"), True),
        (("other",), lambda pod: pod["spec"].update(containers=[{"name": "A B"}]), False),
        (("other",), lambda pod: pod["spec"].update(containers=[{"name": "A B"}, {"name": 7}]), True),
        (("other",), lambda pod: pod["metadata"].update(uid=7), True),
    ],
)
async def test_a_stranger_who_cannot_be_read_is_no_matter_if_it_is_certainly_one(
    containers: tuple[str, ...], spoil: Callable[[dict[str, Any]], None], holds: bool
) -> None:
    async with scene() as s:
        known = await s.known()
        spoiled = s.stranger(*containers)
        spoil(spoiled)
        pods = [any_pod(msgspec.json.encode(each)) for each in (spoiled, s.pod)]
        assert isinstance(pods[0], Unread)
        if holds:
            with pytest.raises(Malformed, match="a Pod that may be an owner cannot be read"):
                with_unselected(known, pods, (), SETTINGS, s.api.time.now())
        else:
            assert with_unselected(known, pods, (), SETTINGS, s.api.time.now()).owners == known.owners


async def test_a_creator_who_cannot_be_read_holds_up_nobody_but_its_sessions() -> None:
    async with scene() as s:
        known = await s.known()
        spoiled = s.stranger()
        broken(spoiled)
        uid = spoiled["metadata"]["uid"]
        ended = known.lost(s.uid, s.api.time.now())
        pods = [any_pod(msgspec.json.encode(spoiled))]
        found = with_unselected(ended, pods, {uid}, SETTINGS, s.api.time.now())
        assert ownership(s.session(stamp_uid=uid), found, 2.0).since is None
        assert ownership(s.session(stamp_uid=s.uid), found, 2.0).since is not None


async def test_the_owner_container_is_called_as_the_workload_has_it() -> None:
    async with scene() as s:
        # A webhook puts another container before it, in every Pod but not in the template.
        stranger = s.stranger("mesh", "sshd")
        s.change("stranger", lambda pod: pod["metadata"].update(labels={"app": "ssh"}))
        (pod,) = await list_owner_pods(s.api, SETTINGS, "app=ssh", ("sshd",))
        assert pod.container == "sshd"
        (pod,) = await list_owner_pods(s.api, SETTINGS, "app=ssh")
        assert pod.container == "mesh"
        spec = {"containers": [{"name": "sshd", "image": "x"}]}
        made = {"selector": {"matchLabels": {"app": "none"}}, "replicas": 0, "template": {"spec": spec}}
        s.world.store.create(DEPLOYMENTS, OWNERS, {"metadata": {"name": "sshd"}, "spec": made})
        settings = Settings(owner=OwnerRef("deployment", OWNERS, "sshd"))
        assert await find_replicas(s.api, settings) == ("app=none", "sshd")
        found = await read_owners(s.api, settings, KNOWN, "", [s.session()], s.api.time.now())
        # Whoever has the usual name is one as well: the workload may have been changed.
        assert alive(found) == {stranger["metadata"]["uid"], s.uid}
        assert {owner.container for owner in found.owners} == {"sshd", "containerssh"}


async def test_without_a_workload_the_pods_that_match_say_how_the_owner_container_is_called() -> None:
    async with scene() as s:
        selected, quarantined = s.stranger("sshd"), s.stranger("sshd", name="quarantined")
        s.change("stranger", lambda pod: pod["metadata"].update(labels={"app": "ssh"}))
        settings = Settings(owner=None, owner_selector="app=ssh")
        found = await read_owners(s.api, settings, KNOWN, "", [s.session()], s.api.time.now())
        uids = {each["metadata"]["uid"] for each in (selected, quarantined)}
        assert alive(found) == {*uids, s.uid}


async def test_a_session_is_read_again_as_the_one_that_it_was() -> None:
    async with scene() as s:
        alice, bob = s.world.open("alice"), s.world.open("bob")
        session = s.session()
        known = msgspec.structs.replace(session, uid=alice.uid, name=alice.name)
        s.asked()
        found = await read_session(s.api, SETTINGS, known)
        assert found is not None
        assert (found.uid, found.user) == (alice.uid, "alice")
        assert s.asked() == [("list", "pods")]
        # Another one has its name now; or it matches the selector no longer; or it is gone.
        assert await read_session(s.api, SETTINGS, msgspec.structs.replace(known, uid=bob.uid)) is None
        s.world.store.update(PODS, SETTINGS.session_namespace, alice.name, lambda pod: pod["metadata"].pop("labels"))
        assert await read_session(s.api, SETTINGS, known) is None
        gone = msgspec.structs.replace(known, name="gone")
        assert await read_session(s.api, SETTINGS, gone) is None


async def heard(s: ReadsScene, settings: Settings = SETTINGS) -> tuple[dict[str, Connection], list[str]]:
    """What the owners' logs say now of the sessions that there are, and why some say nothing."""
    return await read_connections(s.api, settings, await s.known(), await s.all_sessions())


async def test_each_owners_log_tells_of_its_sessions_by_its_own_time() -> None:
    async with scene(replicas=2) as s:
        alice, bob = s.world.open("alice", replica=0), s.world.open("bob", replica=1)
        await advance(30)
        left = s.world.store.now()
        s.world.leave(bob)
        await advance(60)
        s.asked()
        said, silent = await heard(s)
        assert silent == []
        first, second = (replica.process.pod for replica in s.world.containerssh.replicas)
        assert (said[alice.uid].speaker, said[alice.uid].open) == (first, True)
        assert (said[bob.uid].speaker, said[bob.uid].open) == (second, False)
        assert said[bob.uid].ended == pytest.approx(left, abs=1)


async def test_of_a_session_that_no_log_names_nothing_was_said() -> None:
    async with scene() as s:
        assert await read_connections(s.api, SETTINGS, await s.known(), [s.session()]) == ({"u": UNHEARD}, [])


async def test_the_log_of_a_run_that_has_ended_is_read_too() -> None:
    async with scene() as s:
        alice = s.world.open("alice")
        await advance(30)
        pod = s.pod["metadata"]["name"]
        s.world.crash()
        await advance(60)
        said, silent = await heard(s)
        assert silent == []
        assert (said[alice.uid].speaker, said[alice.uid].open) == (pod, True)


async def test_a_log_that_cannot_be_read_is_told_of_where_its_owner_lives() -> None:
    async with scene(replicas=2) as s:
        s.world.open("alice")
        await advance(30)
        s.world.crash()
        await advance(60)
        s.world.faults.add(Fault("status", resource="pods/log", code=403))
        said, silent = await heard(s)
        assert set(said.values()) == {UNHEARD}
        # A run that has ended may have no log any more.
        pods = sorted(replica.process.pod for replica in s.world.containerssh.replicas)
        assert [line.partition(": ")[0] for line in silent] == [f"the log of {pod} cannot be read" for pod in pods]
        assert all("403" in line for line in silent)


async def test_a_log_that_does_not_come_is_waited_for_no_longer_than_that() -> None:
    async with scene() as s:
        s.world.open("alice")
        await advance(30)
        s.world.faults.add(Fault("stall", resource="pods/log"))
        read = asyncio.create_task(heard(s))
        await advance(LONGEST_READ + 5)
        assert read.done()
        assert (await read)[1] == [f"the log of {s.pod['metadata']['name']} does not come in time"]


async def test_no_log_is_asked_for_of_what_has_not_started_nor_where_none_is_wanted() -> None:
    async with scene() as s:
        known = await s.known()
        starting = msgspec.structs.replace(known, owners=(STARTING,))
        s.asked()
        assert await read_connections(s.api, SETTINGS, starting, [s.session()]) == ({"u": UNHEARD}, [])
        unwanted = Settings(owner_logs=False)
        assert await read_connections(s.api, unwanted, known, [s.session()]) == ({"u": UNHEARD}, [])
        assert s.asked() == []


STARTING = Incarnation("ssh-b", "b", "containerssh", OwnerState.STARTING, T)


async def counts(
    s: ReadsScene, *sessions: Session, port: int | None = None, connections: Mapping[str, Connection] | None = None
) -> tuple[Mapping[Run, Idle], list[str]]:
    """Since when nobody is connected to whom, as read for these sessions; and why some do not say. One owner of
    theirs is starting."""
    known = await s.known()
    known = msgspec.structs.replace(known, owners=(*known.owners, STARTING))
    settings = Settings(owner_metrics_port=s.world.metrics_port or 0 if port is None else port)
    found, silent = await read_counts(s.api, settings, known, sessions, connections or {})
    assert found.owners == known.owners
    return found.idle, silent


async def test_each_owner_that_runs_says_whether_nobody_is_connected() -> None:
    async with scene(replicas=2, metrics_port=0) as s:
        s.world.open("alice", replica=0)
        await advance(30)
        asked = s.api.time.now()
        idle, silent = await counts(s, s.session(), msgspec.structs.replace(s.session(), keep=True))
        assert silent == []
        [(run, stretch)] = idle.items()
        assert run.pod_uid == s.world.containerssh.replicas[1].process.pod_uid
        assert asked <= stretch.until < stretch.since <= s.api.time.now()


async def test_no_owner_is_asked_where_that_would_tell_nothing() -> None:
    async with scene(metrics_port=0) as s:
        one = s.session()
        said = Connection("ssh-a", T, opened=Moment(T, T))
        # Nothing listens on port 1: whoever is asked there says why it does not answer.
        assert await counts(s, port=1) == ({}, [])
        assert await counts(s, msgspec.structs.replace(one, keep=True), port=1) == ({}, [])
        assert await counts(s, one, port=1, connections={one.uid: said}) == ({}, [])
        assert await counts(s, one, port=0) == ({}, [])
        assert len((await counts(s, one, port=1))[1]) == 1


async def test_an_owner_that_does_not_say_is_told_of_and_the_others_count() -> None:
    async with scene(replicas=2, metrics_port=0) as s:
        mute, other = (replica.process for replica in s.world.containerssh.replicas)
        s.world.gauge_says(mute, Page("else"))
        idle, silent = await counts(s, s.session())
        assert [run.pod_uid for run in idle] == [other.pod_uid]
        assert silent == [f"the metrics of {mute.pod} on port {s.world.metrics_port} are not ContainerSSH's"]
        s.world.gauge_says(other, Page("else"))
        silent = (await counts(s, s.session()))[1]
        assert [line.split()[3] for line in silent] == sorted([mute.pod, other.pod])

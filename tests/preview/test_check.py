"""The preflight over HTTP: everything in order, and each thing that can be wrong."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ssh_session_gc.core.policy import Policy
from ssh_session_gc.preview.check import check
from ssh_session_gc.preview.check_logs import LONGEST_READ
from ssh_session_gc.preview.permissions import Finding, Mark, needs
from ssh_session_gc.sandbox import Fault, Identity, PolicyRule, Program, World
from ssh_session_gc.sandbox.api.objects import CRONJOBS, LEASES, NAMESPACES, PODS
from ssh_session_gc.sandbox.containerssh.layouts import ARTICLE
from ssh_session_gc.settings import LeaseRef, OwnerRef, Settings
from tests.builders import new_pod
from tests.preview.test_snapshot import reach
from tests.support import advance, eventually

LEASE = LeaseRef("ssh-sessions", "ssh-session-gc")
MAY_LEASE = PolicyRule(("get", "create", "update"), ("leases",), ("coordination.k8s.io",))


async def findings(world: World, tmp_path: Path, *, lease: LeaseRef | None = None, **settings: Any) -> list[Finding]:
    async with reach(world, tmp_path) as api:
        return [finding async for finding in check(api, Settings(lease=lease, **settings))]


async def bad(world: World, tmp_path: Path, **more: Any) -> list[tuple[str, str]]:
    """The bad findings, each with what to do about it."""
    return [(what, todo) for mark, what, todo in await findings(world, tmp_path, **more) if mark is Mark.BAD]


async def lively(world: World, *, configured: bool = False) -> None:
    """Has ContainerSSH run, and alice in a session."""
    world.deploy(2, configured=configured)
    await world.ready(2)
    world.open("alice")
    await advance(3)


def cluster(**more: Any) -> World:
    """A cluster whose clock is this machine's."""
    return World(began=time.time(), **more)


def rules(*, without: str = "") -> list[PolicyRule]:
    """The rules that the daemon needs, without one permission ("delete pods ssh-sessions")."""
    return [
        PolicyRule((verb,), (resource.qualified,), (resource.group,), (name,) if name else (), namespace)
        for resource, namespace, verbs, _, name in needs(Settings())
        for verb in verbs
        if f"{verb} {resource.qualified} {namespace}" != without
    ]


async def test_all_is_well(tmp_path: Path) -> None:
    async with cluster(stamp=True) as world:
        await lively(world, configured=True)
        found = await findings(world, tmp_path, lease=LEASE)
        # That a deletion takes ContainerSSH long has not been seen, and its metrics are not asked for by default.
        open_ones = [what.partition(":")[0] for mark, what, _ in found if mark is not Mark.GOOD]
        metrics = "ContainerSSH's metrics are not asked for (its metrics.enable, --owner-metrics-port)"
        assert open_ones == ["abandoned-grace is 1m30s", metrics]
        assert not any(todo for _, _, todo in found)
        said = "\n".join(what for _, what, _ in found)
        for words in (
            "answers: v1.36.2",
            "the credentials are those of kubernetes-admin",
            "the session namespace ssh-sessions exists",
            "matches 1 Pod in namespace ssh-sessions",
            "the owner stamp is on 1 of 1 session",
            "1 session started in time: the slowest took ",
            "2 of 2 Pods running ContainerSSH, in container containerssh",
            "ContainerSSH's configuration (config.yaml in ConfigMap containerssh-config) fits: ",
            "no CronJob ssh-session-gc in namespace ssh-sessions",
            "the lease ssh-sessions/ssh-session-gc is free",
        ):
            assert words in said
        assert world.server.watches == 0
        reviews = ("selfsubjectaccessreviews", "selfsubjectreviews")
        asked = {(r.verb, r.resource.rpartition("/")[2]) for r in world.server.requests}
        assert {resource for verb, resource in asked if verb not in ("get", "list")} <= {*reviews}


async def test_the_permissions_are_exactly_those_that_the_daemon_uses(tmp_path: Path) -> None:
    async with cluster(tokens={"t": Identity("gc")}, roles={"gc": rules()}) as world:
        await lively(world)
        assert await bad(world, tmp_path) == []
        world.server.tokens = None
    async with cluster(tokens={"t": Identity("gc")}, roles={"gc": rules()}) as world:
        await lively(world)
        # Only the daemon's own permissions are granted, and no CronJob may be read with them.
        open_ones = [what for mark, what, _ in await findings(world, tmp_path) if mark is Mark.OPEN]
        assert any(what.startswith("The CronJob that this program replaces: 403") for what in open_ones)


@pytest.mark.parametrize(
    ("verb", "resource", "namespace", "without", "names"),
    [
        *((verb, "pods", "ssh-sessions", "nothing can be collected", "") for verb in ("get", "watch", "delete")),
        ("create", "events", "ssh-sessions", "there are no Events on the session Pods", ""),
        ("get", "namespaces", "ssh-sessions", "a missing namespace looks like an empty one", "ssh-sessions"),
        *(
            (verb, "deployments", "containerssh", "nobody is Ownerless", "containerssh")
            for verb in ("get", "list", "watch")
        ),
        *((verb, "pods", "containerssh", "nobody is Ownerless", "") for verb in ("get", "list", "watch")),
        ("get", "pods/log", "containerssh", "unstamped sessions without an owner stay longer", ""),
    ],
)
async def test_each_missing_permission(
    verb: str, resource: str, namespace: str, without: str, names: str, tmp_path: Path
) -> None:
    granted = rules(without=f"{verb} {resource} {namespace}")
    async with cluster(tokens={"t": Identity("gc")}, roles={"gc": granted}) as world:
        await lively(world)
        (what, todo), *more = await bad(world, tmp_path)
        assert what.startswith(f"may not {verb} {resource}")
        assert what.endswith(without)
        assert todo.startswith(f"add to a Role in namespace {namespace}: {{apiGroups: [")
        assert f"resources: [{resource}], verbs: [{verb}]" in todo
        assert (f"resourceNames: [{names}]" in todo) == bool(names)
        # The logs are read as well: a kubelet may refuse what the API server allows.
        assert len(more) == (2 if resource == "pods/log" else 0)
        assert all(" may not be read: 403 Forbidden: " in what for what, _ in more)


async def test_sessions_that_may_not_be_listed(tmp_path: Path) -> None:
    granted = rules(without="list pods ssh-sessions")
    async with cluster(tokens={"t": Identity("gc")}, roles={"gc": granted}) as world:
        await lively(world)
        found = await findings(world, tmp_path)
        assert [what for mark, what, _ in found if mark is Mark.BAD] == [
            "may not list pods in namespace ssh-sessions: nothing can be collected"
        ]
        assert any(what.startswith("The sessions: 403") for mark, what, _ in found if mark is Mark.OPEN)


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    async with cluster() as world:
        pass
    ((what, todo),) = await bad(world, tmp_path)
    assert "is unreachable" in what
    assert todo.startswith("check the address and the credentials")


async def test_credentials_that_are_refused(tmp_path: Path) -> None:
    async with cluster(tokens={"other": Identity("x")}) as world:
        (last, todo) = (await bad(world, tmp_path))[-1]
        assert last.startswith("401")
        assert "check the address and the credentials" in todo


async def test_an_old_server_does_not_say_whose_the_credentials_are(tmp_path: Path) -> None:
    async with cluster() as world:
        await lively(world)
        world.faults.add(Fault("status", resource="/apis/authentication.k8s.io/v1/selfsubjectreviews", code=404))
        found = await findings(world, tmp_path)
        assert (Mark.OPEN, "the API server does not say whose these credentials are", "") in found
        assert not [each for each in found if each.mark is Mark.BAD]


@pytest.mark.parametrize(("offset", "words"), [(-3600, "ahead of"), (3600, "behind")])
async def test_a_clock_that_is_far_off(offset: float, words: str, tmp_path: Path) -> None:
    async with World(began=time.time() + offset) as world:
        await lively(world)
        ((what, todo),) = await bad(world, tmp_path)
        assert what.startswith("this machine's clock is ")
        assert what.endswith(f" {words} the API server's")
        assert "NTP" in todo


async def test_a_clock_that_is_a_little_off_does_no_harm(tmp_path: Path) -> None:
    async with World(began=time.time() + 20) as world:
        await lively(world)
        found = await findings(world, tmp_path)
        assert [
            each for each in found if each.mark is Mark.GOOD and "behind the API server's, which does no" in each.what
        ]


async def test_no_session_namespace(tmp_path: Path) -> None:
    async with cluster() as world:
        await lively(world)
        world.store.delete(NAMESPACES, None, "ssh-sessions")
        ((what, todo),) = [each for each in await bad(world, tmp_path) if "no namespace" in each[0]]
        assert what == "there is no namespace ssh-sessions"
        assert todo.endswith("kubectl create namespace ssh-sessions")


async def test_a_selector_that_matches_nothing(tmp_path: Path) -> None:
    async with cluster() as world:
        await lively(world)
        ((what, todo),) = await bad(world, tmp_path, session_selector="app=shell")
        assert what == "app=shell matches none of 1 Pod in namespace ssh-sessions"
        assert todo == "1 Pod there would match --session-selector containerssh_connection_id"
        world.store.create(PODS, "default", new_pod("other"))
        ((what, todo),) = await bad(world, tmp_path, session_namespace="default", session_selector="app=shell")
        assert what == "app=shell matches none of 1 Pod in namespace default"
        assert todo.startswith("there is 1 Pod of ContainerSSH's in --session-selector containerssh_connection_id ")
        ((what, todo),) = await bad(world, tmp_path, session_selector="a in (")
        assert what.startswith("the selector is not one: ")
        assert todo == "check --session-selector"


async def test_nobody_is_in(tmp_path: Path) -> None:
    async with cluster() as world:
        world.deploy()
        await world.ready()
        found = await findings(world, tmp_path)
        assert [what.partition(" ")[0] for mark, what, _ in found if mark is Mark.OPEN] == [
            "there",
            "there",
            "no",
            "abandoned-grace",
            "ContainerSSH's",
            "our",
        ]
        assert not [each for each in found if each.mark is Mark.BAD]


async def test_no_owner_workload(tmp_path: Path) -> None:
    async with cluster() as world:
        await lively(world)
        ((what, todo),) = await bad(world, tmp_path, owner=OwnerRef("statefulset", "containerssh", "ssh"))
        assert what == "there is no statefulset containerssh/ssh"
        assert "--owner kind/namespace/name" in todo
        ((what, todo),) = await bad(world, tmp_path, owner=None, owner_selector="app=nope")
        assert what == "no Pod in namespace containerssh matches app=nope"
        assert todo == "check --owner-selector and --owner-namespace"
        found = await findings(world, tmp_path, owner=None, policy=Policy(ownerless=False))
        assert (Mark.OPEN, "owners are not looked at (--owner none): nobody is Ownerless", "") in found


async def test_no_such_owner_container(tmp_path: Path) -> None:
    async with cluster() as world:
        world.deploy(sidecar=True)
        await world.ready()
        ((what, todo),) = await bad(world, tmp_path, owner_container="sshd")
        assert what.endswith("has no container sshd")
        assert todo == "its containers are audit-log, containerssh: name ContainerSSH's with --owner-container"


async def test_an_owner_scaled_to_zero(tmp_path: Path) -> None:
    async with cluster() as world:
        world.deploy(0)
        await advance(1)
        found = await findings(world, tmp_path)
        assert any("has no Pod at present" in what for mark, what, _ in found if mark is Mark.GOOD)


async def test_an_owner_on_a_node_that_does_not_report(tmp_path: Path) -> None:
    async with World(began=time.time() - 60) as world:
        await lively(world)
        world.cut_off()
        await advance(60)
        asked = asyncio.create_task(bad(world, tmp_path))
        await eventually(lambda: any(each.resource == "pods/log" for each in world.server.requests))
        await advance(LONGEST_READ)
        said = await asked
        assert len(said) == 1
        assert said[0][0].endswith("does not report")


async def test_sessions_that_start_too_slowly(tmp_path: Path) -> None:
    async with cluster(images={"large": Program(start=8)}) as world:
        await lively(world)
        world.open("bob", image="large")
        await advance(10)
        ((what, todo),) = await bad(world, tmp_path, policy=Policy(start_timeout=5))
        assert what.startswith("1 of 2 sessions started too late: the slowest took ")
        assert todo.endswith("raise --start-timeout")
        found = await findings(world, tmp_path, policy=Policy(start_timeout=0))
        assert any(what.startswith("start-timeout is 0") for mark, what, _ in found if mark is Mark.OPEN)


@pytest.mark.parametrize("suspended", [True, False])
async def test_the_old_cron_job(suspended: bool, tmp_path: Path) -> None:
    async with cluster() as world:
        await lively(world)
        spec = {"schedule": "*/15 * * * *", "suspend": suspended}
        world.store.create(CRONJOBS, "ssh-sessions", {"metadata": {"name": "ssh-session-gc"}, "spec": spec})
        found = await findings(world, tmp_path)
        told = [each for each in found if each.what.startswith("the CronJob ssh-session-gc")]
        assert [each.mark for each in told] == [Mark.OPEN if suspended else Mark.BAD]
        if not suspended:
            assert told[0].what.endswith("runs (*/15 * * * *)")
            assert told[0].todo.endswith("kubectl delete cronjob -n ssh-sessions ssh-session-gc")


async def test_the_lease(tmp_path: Path) -> None:
    async with cluster() as world:
        await lively(world)
        spec = {"holderIdentity": "gc-1\x1b[2J", "renewTime": "2026-11-23T03:00:00.000000Z"}
        world.store.create(LEASES, "ssh-sessions", {"metadata": {"name": "ssh-session-gc"}, "spec": spec})
        found = (await findings(world, tmp_path, lease=LEASE))[-1]
        assert found.mark is Mark.GOOD
        assert found.what.startswith("the lease ssh-sessions/ssh-session-gc is held by gc-1\\x1b[2J, renewed ")
    async with cluster(tokens={"t": Identity("gc")}, roles={"gc": rules()}) as world:
        await lively(world)
        said = await bad(world, tmp_path, lease=LEASE)
        assert [what.partition(":")[0] for what, _ in said] == [
            "may not get, create, update leases/ssh-session-gc in namespace ssh-sessions",
            "the lease ssh-sessions/ssh-session-gc cannot be read",
        ]
        world.server.roles = {"gc": [*rules(), MAY_LEASE]}
        assert await bad(world, tmp_path, lease=LEASE) == []


@pytest.mark.parametrize(
    ("spec", "mark", "what"),
    [
        ({"holderIdentity": "gc-1"}, Mark.GOOD, "is held by gc-1"),
        ({"holderIdentity": None, "renewTime": None}, Mark.GOOD, "is free"),
        ({"holderIdentity": "", "renewTime": "2026-11-23T03:00:00.000000Z"}, Mark.GOOD, "is free"),
        ({"holderIdentity": 5}, Mark.GOOD, "is free"),
        (None, Mark.GOOD, "is free"),
        (["gc-1"], Mark.GOOD, "is free"),
        (
            {"holderIdentity": "gc-1", "renewTime": "yesterday"},
            Mark.BAD,
            "cannot be read: its renewTime is no instant: ",
        ),
    ],
)
async def test_a_lease_as_the_daemon_would_take_it(spec: object, mark: Mark, what: str, tmp_path: Path) -> None:
    async with cluster() as world:
        world.store.create(LEASES, "ssh-sessions", {"metadata": {"name": "ssh-session-gc"}, "spec": spec})
        found = (await findings(world, tmp_path, lease=LEASE))[-1]
        assert found.mark is mark
        said = found.what.removeprefix("the lease ssh-sessions/ssh-session-gc ")
        assert (said == what) if mark is Mark.GOOD else said.startswith(what)
        assert found.todo == ("" if mark is Mark.GOOD else "try again")


async def test_a_failure_on_the_way_is_one_bad_line(tmp_path: Path) -> None:
    async with cluster() as world:
        await lively(world)
        world.faults.add(Fault("status", verb="list", resource="pods", namespace="ssh-sessions", code=500))
        ((what, todo),) = await bad(world, tmp_path)
        assert what.startswith("The sessions: 500 ")
        assert todo == "try again"


async def test_what_a_selector_could_not_be_tried_on_is_left_open(tmp_path: Path) -> None:
    async with cluster() as world:
        world.deploy()
        await world.ready()
        world.store.create(PODS, "ssh-sessions", {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c"}]}})
        ((what, _),) = await bad(world, tmp_path)
        assert "matches none of 1 Pod" in what


async def test_a_node_whose_clock_is_ahead(tmp_path: Path) -> None:
    async with cluster(skews={"node1": 10.0}) as world:
        await lively(world)
        ((what, todo),) = await bad(world, tmp_path)
        assert what.startswith("the clock of the node of Pod containerssh-")
        assert what.endswith(" ahead")
        assert "NTP" in todo


async def test_where_the_shell_is_taken_to_be(tmp_path: Path) -> None:
    async with cluster() as world:
        await lively(world)
        said = [what for _, what, _ in await findings(world, tmp_path)]
        assert "the shell is taken to be in the first container: shell" in said
        missing = await bad(world, tmp_path, session_container="2")
        todo = "name it with --session-container, as ContainerSSH's consoleContainerNumber does"
        assert missing == [("1 of 1 session have no container 2", todo)]
        pod = world.store.list(PODS, "ssh-sessions")[0]
        pod["spec"]["containers"].append({"name": "proxy", "image": "x"})
        world.store.put_raw("MODIFIED", PODS, pod)
        [doubt] = [each for each in await findings(world, tmp_path) if "more than one" in each.what]
        assert doubt.mark is Mark.OPEN
        named = [what for _, what, _ in await findings(world, tmp_path, session_container="shell")]
        assert "the shell is taken to be in container shell: shell" in named


async def test_a_selector_that_matches_containerssh_as_well(tmp_path: Path) -> None:
    async with cluster() as world:
        await lively(world)
        found = dict(
            await bad(world, tmp_path, session_namespace="containerssh", session_selector="app=containerssh")
        )
        said = "\n".join(found)
        assert (
            "app=containerssh matches 2 Pods beside ContainerSSH that it has not made, such as containerssh-" in said
        )
        assert "app=containerssh matches 2 Pods of ContainerSSH's own, such as containerssh-" in said


async def test_sessions_beside_containerssh_are_sessions(tmp_path: Path) -> None:
    async with cluster(layout=replace(ARTICLE, session_namespace="containerssh")) as world:
        await lively(world)
        said = "\n".join(what for what, _ in await bad(world, tmp_path, session_namespace="containerssh"))
        assert "ContainerSSH's own" not in said
        assert "has not made" not in said

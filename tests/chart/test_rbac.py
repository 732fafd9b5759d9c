"""The collector's permissions in the chart: all that the program uses, and nothing else.

The real daemon runs in the sandbox, which enforces exactly the rendered Roles. Then each permission is taken away in
turn, and something visible goes wrong.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from ssh_session_gc.daemon.daemon import StartError
from ssh_session_gc.preview.permissions import Mark, ask, lease_need, needs
from ssh_session_gc.preview.snapshot import CannotRead, find_one
from ssh_session_gc.sandbox import Identity, PolicyRule, World
from ssh_session_gc.sandbox.api.objects import DAEMONSETS, EVENTS, LEASES, NAMESPACES, PODS, STATEFULSETS
from ssh_session_gc.settings import DryRun, Settings
from tests.chart import charts
from tests.chart.charts import Document, container, of_kind, render
from tests.harness import Running, running
from tests.support import advance, eventually

SESSIONS, OWNERS = "ssh-sessions", "containerssh"
USER = f"system:serviceaccount:{charts.NAMESPACE}:{charts.RELEASE}"
TOKEN = "t"

CONFIGS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "a deployment elsewhere": {"owner": "deployment/ssh/front", "sessionNamespace": "shells"},
    "a statefulset": {"owner": "statefulset/ssh/front"},
    "a daemonset": {"owner": "daemonset/ssh/front"},
    "by label": {"ownerSelector": "app=containerssh"},
    "by label elsewhere": {"ownerSelector": "app=containerssh", "ownerNamespace": "ssh"},
    "no owner": {"owner": "none"},
    "no logs": {"ownerLogs": False},
    "no logs by label": {"ownerLogs": False, "ownerSelector": "app=containerssh"},
    "dry": {"dryRun": "client"},
    "dry on the server": {"dryRun": "server"},
    "all in one namespace": {"sessionNamespace": "containerssh"},
    "no election": {"leaderElect": False},
    "a lease elsewhere": {"leaseNamespace": "leases", "leaseName": "gc"},
}
each_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))

Permission = tuple[str, str, str, str, str]
"""Verb, API group, resource, namespace, name."""


def chart(config: Mapping[str, Any]) -> list[Document]:
    """Renders the chart with this config."""
    return render({"config": config, "replicas": 1})


def used(settings: Settings) -> set[Permission]:
    """The permissions that the program says it uses."""
    wanted = [*needs(settings), *([lease_need(settings.lease)] if settings.lease else [])]
    return {
        # A create cannot be confined to a name.
        (verb, need.resource.group, need.resource.qualified, need.namespace, need.name if verb != "create" else "")
        for need in wanted
        for verb in need.verbs
        # A client dry run sends no DELETE.
        if not (verb == "delete" and settings.dry_run is DryRun.CLIENT)
    }


def split(rules: list[PolicyRule]) -> list[PolicyRule]:
    """The same rules, each for one permission."""
    return [
        PolicyRule((verb,), (resource,), (group,), (name,) if name else (), rule.namespace)
        for rule in rules
        for verb in rule.verbs
        for group in rule.api_groups
        for resource in rule.resources
        for name in rule.resource_names or ("",)
    ]


def permission(rule: PolicyRule) -> Permission:
    """The one permission of a split rule."""
    (verb,), (resource,), (group,) = rule.verbs, rule.resources, rule.api_groups
    return verb, group, resource, rule.namespace or "*", "".join(rule.resource_names)


# What is rendered


@each_config
def test_the_roles_grant_exactly_what_the_program_uses(config: Mapping[str, Any]) -> None:
    documents = chart(config)
    granted = charts.granted(documents)
    assert set(granted) == {USER}
    assert {permission(rule) for rule in split(granted[USER])} == used(charts.settings(container(documents)))


@each_config
def test_nobody_deletes_outside_of_the_session_namespace(config: Mapping[str, Any]) -> None:
    documents = chart(config)
    assert not of_kind(documents, "ClusterRole", "ClusterRoleBinding")
    allowed = [permission(rule) for rule in split(charts.granted(documents)[USER])]
    sessions = charts.settings(container(documents)).session_namespace
    leases = [each for each in allowed if each[2] == "leases"]
    assert len(leases) == (0 if config.get("leaderElect") is False else 3)
    allowed = [each for each in allowed if each not in leases]
    deletes = [each for each in allowed if each[0] not in ("get", "list", "watch", "create")]
    assert deletes == ([] if config.get("dryRun") == "client" else [("delete", "", "pods", sessions, "")])
    assert [each for each in allowed if each[0] == "create"] == [("create", "", "events", sessions, "")]
    assert not [each for each in allowed if "*" in each]
    # Other subresources would give access to the sessions' insides, or to ContainerSSH's.
    owners = charts.settings(container(documents)).owner_namespace
    reads = config.get("ownerLogs") is not False and config.get("owner") != "none"
    assert [each for each in allowed if "/" in each[2]] == [("get", "", "pods/log", owners, "")] * reads


def test_what_is_turned_off_loses_its_permission() -> None:
    roles = {name: of_kind(chart(CONFIGS[name]), "Role") for name in ("as it is", "no owner", "no election")}
    own = charts.NAMESPACE
    assert [role["metadata"]["namespace"] for role in roles["as it is"]] == [SESSIONS, OWNERS, own]
    assert [role["metadata"]["namespace"] for role in roles["no owner"]] == [SESSIONS, own]
    assert [role["metadata"]["namespace"] for role in roles["no election"]] == [SESSIONS, OWNERS]
    assert not of_kind(render({"rbac": {"create": False}}), "Role", "RoleBinding")


def test_the_account_is_that_of_the_pods() -> None:
    for values in ({}, {"serviceAccount": {"name": "x"}}, {"serviceAccount": {"create": False, "name": "x"}}):
        documents = render(values)
        [user] = charts.granted(documents)
        for _, spec in charts.pods(documents):
            assert user == f"system:serviceaccount:{charts.NAMESPACE}:{spec['serviceAccountName']}"
            assert spec["automountServiceAccountToken"] is True


# What it does with it


@asynccontextmanager
async def world(rules: list[PolicyRule], **more: Any) -> AsyncIterator[World]:
    """A cluster in which the collector's account has these rules only."""
    async with World(tokens={"": Identity(USER), TOKEN: Identity(USER)}, roles={USER: rules}, **more) as made:
        made.store.create(NAMESPACES, None, {"metadata": {"name": charts.NAMESPACE}})
        yield made


@asynccontextmanager
async def installed(
    tmp_path: Path,
    without: Permission | None = None,
    *,
    namespace: bool = True,
    ready: bool = True,
    **config: Any,
) -> AsyncIterator[tuple[World, Running]]:
    """Runs the daemon as the chart installs it, less one permission, or less the session namespace."""
    # A leader renews its lease every two seconds, which makes even a skipped hour slow.
    documents = chart({"leaderElect": False, **config})
    rules = [rule for rule in split(charts.granted(documents)[USER]) if permission(rule) != without]
    async with world(rules) as made:
        made.deploy()
        waiting = asyncio.create_task(made.ready())
        while not waiting.done():
            await advance(0.2)
        if not namespace:
            made.store.delete(NAMESPACES, None, SESSIONS)
        kubeconfig = made.kubeconfig(tmp_path / "kubeconfig", token=TOKEN)
        settings = charts.settings(container(documents))
        async with running(made.url, tmp_path, settings, kubeconfig=kubeconfig) as gc:
            if ready:
                await gc.synced()
            yield made, gc


async def story(made: World, gc: Running) -> None:
    """Alice's ContainerSSH dies, and Bob comes and stays too long."""
    made.open("alice")
    await advance(5)
    made.crash()
    await advance(90)
    made.open("bob")
    await advance(3700)


async def orphan(made: World) -> None:
    """Alice's ContainerSSH dies, and the grace passes."""
    made.open("alice")
    await advance(5)
    made.crash()
    await advance(75)


def complaints(gc: Running) -> list[str]:
    """The events that the daemon logged as warnings or worse."""
    return [str(line["event"]) for line in gc.log if line["log_level"] in ("warning", "error", "critical")]


def refused(made: World) -> list[str]:
    """The requests that were forbidden."""
    return [f"{r.verb} {r.resource}" for r in made.server.requests if r.code == 403]


@pytest.mark.parametrize(
    ("config", "reasons"),
    [
        ({}, {"alice": "Ownerless", "bob": "OverAge"}),
        ({"ownerSelector": "app=containerssh"}, {"alice": "Ownerless", "bob": "OverAge"}),
        ({"ownerLogs": False}, {"alice": "Ownerless", "bob": "OverAge"}),
        ({"owner": "none"}, {"alice": "OverAge", "bob": "OverAge"}),
        ({"dryRun": "client"}, {"alice": "Ownerless", "bob": "OverAge"}),
        ({"dryRun": "server"}, {"alice": "Ownerless", "bob": "OverAge"}),
    ],
)
async def test_it_is_enough(tmp_path: Path, config: dict[str, Any], reasons: Mapping[str, str]) -> None:
    async with installed(tmp_path, **config) as (made, gc):
        await story(made, gc)
        await eventually(lambda: len(gc.collected()) == 2, "both are collected")
        assert gc.collected() == reasons
        dry = gc.settings.dry_run is not DryRun.NONE
        assert len(made.store.list(PODS, SESSIONS)) == (2 if dry else 0)
        if not dry:
            await eventually(lambda: len(made.store.list(EVENTS, SESSIONS)) == 2, "an Event for each")
        assert complaints(gc) == (["dry_run"] if dry else [])
        assert refused(made) == []


@pytest.mark.parametrize(("kind", "resource"), [("statefulset", STATEFULSETS), ("daemonset", DAEMONSETS)])
async def test_it_is_enough_for_other_workloads(tmp_path: Path, kind: str, resource: Any) -> None:
    documents = render({"config": {"owner": f"{kind}/{OWNERS}/front"}})
    async with world(charts.granted(documents)[USER]) as made:
        labels, pod = {"app": "front"}, {"containers": [{"name": "containerssh", "image": "x"}]}
        spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
        made.store.create(resource, OWNERS, {"metadata": {"name": "front"}, "spec": spec})
        made.store.create(PODS, OWNERS, {"metadata": {"name": "front-0", "labels": labels}, "spec": pod})
        await advance(5)
        kubeconfig = made.kubeconfig(tmp_path / "kubeconfig", token=TOKEN)
        settings = charts.settings(container(documents))
        async with running(made.url, tmp_path, settings, kubeconfig=kubeconfig) as gc:
            await gc.synced()
            assert [owner.pod for owner in gc.daemon.cluster.owners.owners] == ["front-0"]
            selected = {"metadata": {"generateName": "s-", "labels": {"containerssh_connection_id": f"{7:032x}"}}}
            made.store.create(PODS, SESSIONS, selected | {"spec": {"containers": [{"name": "c", "image": "x"}]}})
            await advance(5)
            made.store.delete(PODS, OWNERS, "front-0", grace=0)
            await advance(90)
            await eventually(lambda: gc.logged("session_collected"), "it is collected")
            assert gc.logged("session_collected")[0]["reason"] == "Ownerless"
            assert refused(made) == []


Trial = Callable[[World, Running], Coroutine[None, None, None]]


async def it_gives_up(_: World, gc: Running) -> None:
    await advance(5)
    await eventually(gc.task.done, "it ends, and says why")


async def nothing_is_deleted(made: World, gc: Running) -> None:
    await story(made, gc)
    await eventually(lambda: gc.logged("deletion_forbidden"), "the deletion is refused")
    assert gc.collected() == {}
    assert len(made.store.list(PODS, SESSIONS)) == 2


async def there_are_no_events(made: World, gc: Running) -> None:
    await story(made, gc)
    await eventually(lambda: gc.logged("event_not_written"), "the Event is refused")
    assert made.store.list(EVENTS, SESSIONS) == []


async def a_missing_namespace_looks_empty(_: World, gc: Running) -> None:
    assert gc.logged("started")
    assert not gc.logged("namespace_not_found")


async def alice_is_not_ownerless(made: World, gc: Running) -> None:
    await story(made, gc)
    await eventually(lambda: len(gc.collected()) == 2, "both are over age in the end")
    assert gc.collected() == {"alice": "OverAge", "bob": "OverAge"}
    assert {"stream_interrupted", "owners_unreadable"} & set(complaints(gc))


async def an_owner_without_its_label_cannot_be_looked_up(made: World, gc: Running) -> None:
    process = made.containerssh.replicas[0].process
    owner, stamp = process.pod, "ssh-session-gc/owner-pod-"
    # Only the one creator of a session that is stamped is looked up by its name.
    made.open("alice", annotations={f"{stamp}uid": process.pod_uid, f"{stamp}name": owner})
    await advance(5)

    def quarantine(pod: Document) -> None:
        pod["metadata"]["labels"] = {"quarantined": "true"}

    made.store.update(PODS, OWNERS, owner, quarantine)
    await advance(5)
    made.store.delete(PODS, OWNERS, owner, grace=0)
    await advance(200)
    await eventually(lambda: gc.logged("owners_unreadable"), "the look-up is refused")
    assert gc.collected() == {}


async def nobody_leads(made: World, gc: Running) -> None:
    await orphan(made)
    await eventually(lambda: gc.logged("lease_unavailable"), "the lease is refused")
    assert gc.collected() == {}
    assert gc.value("orphans", reason="Ownerless") == 1


async def explain_cannot_tell(made: World, gc: Running) -> None:
    """``explain``, which people run in the daemon's Pod, cannot read; the daemon itself does not need it."""
    spec = {"containers": [{"name": "c", "image": "x"}]}
    made.store.create(PODS, SESSIONS, {"metadata": {"name": "no-session"}, "spec": spec})
    with pytest.raises(CannotRead, match="cannot get resource"):
        await find_one(gc.api, gc.settings, "no-session")


async def check_misses_the_log(_: World, gc: Running) -> None:
    """What follows from it, the tests of the Abandoned rule show."""
    [need] = [each for each in needs(gc.settings) if each.resource.subresource]
    found = await ask(gc.api, need)
    assert found.mark is Mark.BAD
    assert "nobody is Abandoned" in found.what
    assert "resources: [pods/log], verbs: [get]" in found.todo


TRIALS: dict[Permission, Trial] = {
    ("get", "", "pods", SESSIONS, ""): explain_cannot_tell,
    ("list", "", "pods", SESSIONS, ""): it_gives_up,
    ("watch", "", "pods", SESSIONS, ""): it_gives_up,
    ("delete", "", "pods", SESSIONS, ""): nothing_is_deleted,
    ("create", "", "events", SESSIONS, ""): there_are_no_events,
    ("get", "", "namespaces", SESSIONS, SESSIONS): a_missing_namespace_looks_empty,
    **{(verb, "apps", "deployments", OWNERS, OWNERS): alice_is_not_ownerless for verb in ("get", "list", "watch")},
    **{(verb, "", "pods", OWNERS, ""): alice_is_not_ownerless for verb in ("list", "watch")},
    **{(verb, LEASES.group, "leases", charts.NAMESPACE, charts.RELEASE): nobody_leads for verb in ("get", "update")},
    ("create", LEASES.group, "leases", charts.NAMESPACE, ""): nobody_leads,
    ("get", "", "pods/log", OWNERS, ""): check_misses_the_log,
    ("get", "", "pods", OWNERS, ""): an_owner_without_its_label_cannot_be_looked_up,
}


def test_every_permission_is_on_trial() -> None:
    assert set(TRIALS) == used(charts.settings(container(render())))


async def test_it_is_enough_to_lead(tmp_path: Path) -> None:
    async with installed(tmp_path, leaderElect=True) as (made, gc):
        await orphan(made)
        await eventually(lambda: gc.collected() == {"alice": "Ownerless"}, "it is collected")
        assert made.store.get(LEASES, charts.NAMESPACE, charts.RELEASE)["spec"]["holderIdentity"]
        assert refused(made) == []


@pytest.mark.parametrize("without", TRIALS, ids=lambda p: " ".join(p[:1] + p[2:4]))
async def test_each_permission_is_missed(tmp_path: Path, without: Permission) -> None:
    trial, (verb, _, resource, *_) = TRIALS[without], without
    readable = trial not in (it_gives_up, alice_is_not_ownerless)
    namespace = trial is not a_missing_namespace_looks_empty
    # The daemon's error is raised where the daemon is awaited.
    said = f'cannot {verb} resource "{resource}"'
    end = pytest.raises(StartError, match=said) if trial is it_gives_up else nullcontext()
    with end:
        elect = trial is nobody_leads
        async with installed(tmp_path, without, namespace=namespace, ready=readable, leaderElect=elect) as (made, gc):
            await trial(made, gc)
            # An access review is never refused itself.
            assert {*refused(made)} <= {f"{verb} {resource}"}
            assert refused(made) or trial is check_misses_the_log


@pytest.mark.parametrize("trial", dict.fromkeys(TRIALS.values()), ids=lambda t: str(t.__name__))
async def test_with_every_permission_nothing_is_missed(
    tmp_path: Path, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every trial fails with all permissions, so each shows the lack of its own, and nothing else."""
    monkeypatch.setattr("tests.support.PATIENCE", 0.5)
    namespace, elect = trial is not a_missing_namespace_looks_empty, trial is nobody_leads
    async with installed(tmp_path, namespace=namespace, leaderElect=elect) as (made, gc):
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            await trial(made, gc)
        assert refused(made) == []


# `helm test`


async def preflight(made: World, documents: list[Document], tmp_path: Path) -> tuple[int, str]:
    """Runs the program as the Pod of ``helm test`` does. Returns its exit status and its log."""
    made.deploy()
    await made.ready()
    made.open("alice")
    await advance(3)
    pod = container(documents, "Pod")
    where = {"SSH_SESSION_GC_KUBECONFIG": str(made.kubeconfig(tmp_path / "kubeconfig", token=TOKEN))}
    environment = {"PYTHONUTF8": "1"} | {each["name"]: each["value"] for each in pod["env"]} | where
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ssh_session_gc", *pod["args"]),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


@pytest.mark.parametrize(
    "config",
    [{}, {"ownerSelector": "app=containerssh"}, {"owner": "none"}, {"ownerLogs": False}, {"dryRun": "client"}],
)
async def test_helm_test_is_content_with_the_roles(tmp_path: Path, config: dict[str, Any]) -> None:
    documents = chart(config)
    async with world(charts.granted(documents)[USER], began=time.time()) as made:
        status, said = await preflight(made, documents, tmp_path)
        assert (status, "403 Forb" in said.replace("The CronJob that this program replaces: 403", "")) == (
            0,
            False,
        ), said
        assert ("1 session: " if config.get("dryRun") else "nothing to mend") in said


async def test_helm_test_finds_a_permission_that_is_missing(tmp_path: Path) -> None:
    documents = render()
    rules = [rule for rule in split(charts.granted(documents)[USER]) if rule.verbs != ("delete",)]
    async with world(rules, began=time.time()) as made:
        status, said = await preflight(made, documents, tmp_path)
        assert status == 1
        assert "may not delete pods in namespace ssh-sessions" in said

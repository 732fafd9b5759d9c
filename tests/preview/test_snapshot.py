"""One look at a cluster over HTTP: it finds what the daemon finds, and says what it could not read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ssh_session_gc.core.explain import explain
from ssh_session_gc.core.model import Action, Reason, Verdict
from ssh_session_gc.core.plan import Plan, Snapshot, make
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.listing import PAGE
from ssh_session_gc.preview.snapshot import CannotRead, find_one, read
from ssh_session_gc.preview.text import lines
from ssh_session_gc.sandbox import Fault, Identity, PolicyRule, World
from ssh_session_gc.sandbox.api.objects import NAMESPACES, PODS
from ssh_session_gc.sandbox.story import PAST, QUICK, lived_in
from ssh_session_gc.settings import OwnerRef, Settings
from tests.harness import Running, connected, running
from tests.support import advance, eventually

READ = ("get", "list")


@asynccontextmanager
async def reach(world: World, tmp_path: Path) -> AsyncIterator[Api]:
    """The world's API server, with the token "t" where it wants tokens."""
    async with connected(world.url, token="t" if world.server.tokens else "") as api:
        yield api


async def plan(world: World, tmp_path: Path, **settings: Any) -> Plan:
    """The plan for the world as it is."""
    chosen = Settings(**settings)
    return make(await look(world, tmp_path, **settings), chosen.policy, chosen.session_namespace)


async def look(world: World, tmp_path: Path, **settings: Any) -> Snapshot:
    """The snapshot of the world as it is."""
    async with reach(world, tmp_path) as api:
        return await read(api, Settings(**settings))


async def error(world: World, tmp_path: Path, name: str = "", **settings: Any) -> str:
    """The reason why the world cannot be read."""
    async with reach(world, tmp_path) as api:
        with pytest.raises(CannotRead) as caught:
            await (find_one(api, Settings(**settings), name) if name else read(api, Settings(**settings)))
    return str(caught.value)


def restricted(*rules: PolicyRule) -> World:
    """A cluster in which our token allows only this."""
    return World(tokens={"t": Identity("gc")}, roles={"gc": list(rules)})


def _agrees(gc: Running, user: str, shown: Verdict) -> bool:
    own = gc.verdict(user)
    return (own.action, own.reason, own.due) == (shown.action, shown.reason, shown.due)


async def test_a_plan_of_every_kind_of_session_is_what_the_daemon_sees(tmp_path: Path) -> None:
    async with World(stamp=True, program=QUICK) as world:
        await lived_in(world)
        shown = {row.session.user: row.verdict for row in (await plan(world, tmp_path)).rows}
        assert {user: (verdict.action, verdict.reason) for user, verdict in shown.items()} == {
            "alice": (Action.COLLECT, Reason.OVER_AGE),
            "bob": (Action.COLLECT, Reason.OWNERLESS),
            "carol": (Action.WAITING, Reason.OVER_AGE),
            "dave": (Action.KEEP, None),
            "erin": (Action.WAITING, Reason.OVER_AGE),
            "frank": (Action.COLLECT, Reason.FINISHED),
            "grace": (Action.COLLECT, Reason.START_TIMEOUT),
            "heidi": (Action.WAITING, Reason.OWNERLESS),
        }
        async with running(world.url, tmp_path) as gc:
            await eventually(
                lambda: {*gc.collected()} == {user for user, v in shown.items() if v.action is Action.COLLECT}
            )
            for user, verdict in shown.items():
                if verdict.action is not Action.COLLECT:
                    await eventually(partial(_agrees, gc, user, verdict), user)


async def test_a_past_is_told_in_the_time_that_it_takes(tmp_path: Path) -> None:
    async with World(began=1_800_000_000 - PAST, stamp=True, program=QUICK) as world:
        await lived_in(world)
        assert world.store.now() == pytest.approx(1_800_000_000, abs=30)


async def test_what_nobody_could_have_seen_is_said(tmp_path: Path) -> None:
    async with World(log_level="notice") as world:
        world.deploy()
        await world.ready()
        await advance(5)
        world.open("alice")
        await advance(10)
        world.crash()
        await advance(90)
        (row,) = (await plan(world, tmp_path)).rows
        assert row.verdict.action is Action.WAITING
        assert row.verdict.ownership is not None
        assert not row.verdict.ownership.exact
        assert row.evidence.startswith("no owner at least since ")


async def test_a_creator_outside_of_the_workload_is_looked_up(tmp_path: Path) -> None:
    async with World(stamp=True) as world:
        world.deploy(2)
        await world.ready(2)
        world.open("alice")
        creator = world.containerssh.replicas[-1].process.pod
        world.store.update(PODS, "containerssh", creator, lambda pod: pod["metadata"]["labels"].pop("app"))
        await advance(90)
        (row,) = (await plan(world, tmp_path)).rows
        assert row.verdict.reason is Reason.OVER_AGE
        assert creator in row.evidence


async def test_without_permission_to_list_sessions_there_is_nothing_to_show(tmp_path: Path) -> None:
    async with restricted() as world:
        said = await error(world, tmp_path)
        assert "403 Forbidden" in said
        assert said.endswith("grant list on pods in namespace ssh-sessions, by a Role")


@pytest.mark.parametrize(
    ("rules", "unknown"),
    [
        ([], "the owners cannot be read: 403 Forbidden"),
        ([PolicyRule(READ, ("deployments",), ("apps",))], "the owners cannot be read: 403 Forbidden"),
    ],
)
async def test_without_permission_to_see_owners_nobody_is_ownerless(
    rules: list[PolicyRule], unknown: str, tmp_path: Path
) -> None:
    async with restricted(PolicyRule(READ, ("pods",), namespace="ssh-sessions"), *rules) as world:
        world.deploy()
        await world.ready()
        world.open("alice")
        await advance(2)
        made = await plan(world, tmp_path)
        assert made.unknown is not None
        assert unknown in made.unknown
        assert [row.verdict.reason for row in made.rows] == [Reason.OVER_AGE]


async def test_no_session_and_why(tmp_path: Path) -> None:
    async with World() as world:
        assert (await look(world, tmp_path)).remarks == (
            "no session: no Pod in namespace ssh-sessions matches containerssh_connection_id "
            "(--session-namespace, --session-selector)",
        )
        world.store.delete(NAMESPACES, None, "ssh-sessions")
        assert (await look(world, tmp_path)).remarks == ("there is no namespace ssh-sessions (--session-namespace)",)


async def test_without_an_owner_workload(tmp_path: Path) -> None:
    async with World() as world:
        made = await plan(world, tmp_path, owner=OwnerRef("daemonset", "containerssh", "nope"))
        assert made.unknown == "daemonset containerssh/nope was not found (--owner)"
        made = await plan(world, tmp_path, owner=None, owner_selector="app=nope")
        assert made.unknown is not None
        assert made.unknown.startswith("no Pod in namespace containerssh matches app=nope (--owner-selector")


async def test_transient_refusals_are_tried_again_and_lasting_ones_said(tmp_path: Path) -> None:
    async with World() as world:
        world.deploy()
        await world.ready()
        world.open("alice")
        for code in (429, 500, 503):
            world.faults.add(Fault("status", resource="pods", code=code, times=1))
        assert len((await plan(world, tmp_path)).rows) == 1
        world.faults.add(Fault("status", resource="pods", code=503))
        assert (await error(world, tmp_path)).endswith("; try again later")
        world.faults.clear()
        world.faults.add(Fault("malformed", verb="list"))
        assert (await error(world, tmp_path)).endswith("; is that an API server?")


async def test_bad_selectors_and_missing_servers(tmp_path: Path) -> None:
    async with World() as world:
        assert (await error(world, tmp_path, session_selector="a b c")).endswith("; check --session-selector")
    said = await error(world, tmp_path)
    assert "is unreachable" in said
    assert said.endswith("check the address and the credentials (--kubeconfig, --context)")


async def test_annotations_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    async with World() as world:
        world.deploy()
        await world.ready()
        session = world.open("alice", annotations={"ssh-session-gc/ttl": "soon", "ssh-session-gc/keep": "maybe"})
        assert (await look(world, tmp_path)).remarks == (
            f"Pod {session.name}: ssh-session-gc/keep, ssh-session-gc/ttl cannot be read, "
            "so that it is exempt until max-ttl",
        )


async def test_one_session(tmp_path: Path) -> None:
    async with World() as world:
        world.deploy()
        await world.ready()
        session = world.open("alice")
        world.open("bob")
        async with reach(world, tmp_path) as api:
            found = await find_one(api, Settings(), session.name)
        assert [each.user for each in found.sessions] == ["alice"]
        assert await error(world, tmp_path, "nope") == (
            "there is no Pod nope in namespace ssh-sessions; `ssh-session-gc plan` lists the sessions"
        )
        world.store.update(PODS, "ssh-sessions", session.name, lambda pod: pod["metadata"]["labels"].clear())
        assert await error(world, tmp_path, session.name) == (
            f"Pod {session.name} is no session: it does not match containerssh_connection_id (--session-selector)"
        )
    async with restricted(PolicyRule(("list",), ("pods",))) as world:
        assert "403 Forbidden" in await error(world, tmp_path, "nope")


async def test_progress_is_told_page_by_page(tmp_path: Path) -> None:
    most = 3 * PAGE + 1
    async with World() as world:
        for number in range(most):
            metadata = {"name": f"s{number}", "labels": {"containerssh_connection_id": f"{number:032x}"}}
            pod = {"metadata": metadata, "spec": {"containers": [{"name": "shell"}]}}
            world.store.create(PODS, "ssh-sessions", pod)
        told: list[int] = []
        async with reach(world, tmp_path) as api:
            snapshot = await read(api, Settings(), progress=told.append)
        assert told == [PAGE, 2 * PAGE, 3 * PAGE, most]
        assert len(snapshot.sessions) == most


@asynccontextmanager
async def counting(**world: Any) -> AsyncIterator[World]:
    """A cluster whose ContainerSSH logs errors alone, but counts connections; alice has left it unnoticed."""
    async with World(log_level="notice", metrics_port=0, **world) as made:
        made.deploy()
        await advance(5)
        alice = made.open("alice")
        await advance(30)
        made.leave(alice)
        yield made


async def test_one_count_tells_that_nobody_is_connected_and_ends_nobody(tmp_path: Path) -> None:
    async with counting() as world:
        await advance(600)
        async with reach(world, tmp_path) as api:
            settings = Settings(owner_metrics_port=world.metrics_port or 0)
            snapshot = await find_one(api, settings, next(iter(world.containerssh.sessions.values())).name)
        explained = explain(snapshot.sessions[0], snapshot.owners, settings.policy, snapshot.now)
        assert explained.verdict.reason is Reason.OVER_AGE
        assert explained.presence.connected is False
        [candidate] = explained.candidates
        assert "; nobody has been connected to it since " in candidate.why
        shown = [str(line) for line in lines(explained, snapshot.owners, settings, snapshot.now)]
        assert any("nobody since" in line and "by the metrics of its owners" in line for line in shown)
        assert any("Abandoned" in line and "to be counted again 1m30s later" in line for line in shown)


async def test_a_gauge_that_cannot_be_reached_is_said_once(tmp_path: Path) -> None:
    async with counting() as world:
        world.scale(3)
        await advance(10)
        snapshot = await look(world, tmp_path, owner_metrics_port=1)
        [remark] = snapshot.remarks
        assert " on port 1 cannot be read: " in remark
        assert remark.endswith("(and 2 more); whether anybody is connected is not counted")
        assert make(snapshot, Settings().policy, "ssh-sessions").rows[0].presence.connected is None

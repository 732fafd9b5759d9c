"""What the daemon says where facts about a session exclude each other: once, and it keeps the session."""

from pathlib import Path

from ssh_session_gc.core.contradictions import Contradiction
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.sandbox import World
from ssh_session_gc.sandbox.api.objects import PODS
from ssh_session_gc.sandbox.containerssh import lines, manifests
from ssh_session_gc.sandbox.containerssh.log import Login
from ssh_session_gc.sandbox.containerssh.metrics import Counts, Page
from tests.daemon.scene import SESSIONS, Scene, scene
from tests.support import advance

FOREVER = Policy(max_age=0.0)


async def said(s: Scene) -> list[str]:
    """What excluded what so far, after a good while, with nobody collected and the counter in step."""
    await advance(600)
    found = [str(line["between"]) for line in s.gc.logged("contradiction")]
    for between in Contradiction:
        assert s.gc.value("contradictions_total", between=between) == found.count(between)
    assert s.gc.collected() == {}
    return found


async def test_two_logs(tmp_path: Path) -> None:
    async with scene(tmp_path, replicas=2, policy=FOREVER) as s:
        [alice] = await s.open("alice", replica=0)
        s.world.containerssh.replicas[1].write(lines.disconnected(alice.login))
        assert await said(s) == ["logs"]


async def test_the_stamp_and_the_log(tmp_path: Path) -> None:
    async with scene(tmp_path, replicas=2, stamp=True, policy=FOREVER) as s:
        [alice] = await s.open("alice", replica=0)
        other = s.world.containerssh.replicas[1].process
        s.annotate(alice, owner_pod_uid=other.pod_uid, owner_pod_name=other.pod)
        assert await said(s) == ["stamp_log"]


async def test_opened_after_its_end(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=FOREVER) as s:
        [alice] = await s.open("alice")
        s.world.leave(alice)
        await advance(10)
        s.world.containerssh.replicas[0].write(*lines.connected(alice.login))
        assert await said(s) == ["reopened"]


async def test_the_log_and_the_gauge(tmp_path: Path) -> None:
    async with scene(tmp_path, world=World(metrics_port=0), policy=FOREVER) as s:
        [alice] = await s.open("alice")
        # One of which no log tells anything makes the daemon ask.
        mallory = Login(f"{7:032x}", "10.1.1.1", "mallory")
        unsaid = manifests.session(s.world.layout, mallory, "image", {}, {}, "connection")
        s.world.store.create(PODS, SESSIONS, unsaid)
        await advance(5)
        s.world.gauge_says(alice.creator, Page(Counts(total=9).text()))
        await advance(600)
        assert [line["between"] for line in s.gc.logged("contradiction")] == ["log_gauge"]
        assert s.gc.collected() == {"mallory": "Abandoned"}
        assert alice.live

"""ContainerSSH in the cluster, and the truth about its sessions that only the simulation knows."""

import aiohttp
import pytest

from ssh_session_gc.sandbox import Program, World
from ssh_session_gc.sandbox.api.objects import timestamp
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.containerssh.layouts import Mode
from tests.sandbox.worlds import container, owner_pods, ready, session_pod, state
from tests.support import advance

SLOW = "example/slow:v1"


async def test_a_session_carries_what_containerssh_writes() -> None:
    async with World(stamp=True) as world:
        world.deploy()
        await ready(world)
        session = world.open("ann@example.com|x_y", labels={"team": "a"}, annotations={"ssh-session-gc/ttl": "5m"})
        metadata = session_pod(world, session.name)["metadata"]
        owner = owner_pods(world)[0]["metadata"]
    assert metadata["generateName"] == "containerssh-"
    assert metadata["labels"]["containerssh_username"] == "ann-example.com|x-y"
    assert len(metadata["labels"]["containerssh_connection_id"]) == 32
    assert metadata["labels"]["containerssh.io/session"] == "true"
    assert metadata["labels"]["team"] == "a"
    assert metadata["annotations"]["ssh-session-gc/ttl"] == "5m"
    assert metadata["annotations"]["containerssh_ip"]
    assert metadata["annotations"]["ssh-session-gc/owner-pod-uid"] == owner["uid"]
    assert metadata["annotations"]["ssh-session-gc/owner-pod-name"] == owner["name"]
    assert "ownerReferences" not in metadata


async def test_a_name_that_is_too_long_is_left_out_and_without_the_policy_there_is_no_stamp() -> None:
    async with World() as world:
        world.deploy()
        await ready(world)
        metadata = session_pod(world, world.open("a" * 64).name)["metadata"]
    assert "containerssh_username" not in metadata["labels"]
    assert not any(name.startswith("ssh-session-gc/") for name in metadata["annotations"])


async def test_what_containerssh_closes_is_not_lost() -> None:
    async with World() as world:
        world.deploy()
        await ready(world)
        session = world.open("ann")
        await advance(3)
        assert world.live() == [session]
        world.close(session)
        await advance(3)
        assert session.gone
        assert session.deleted is None
        assert (world.live(), world.lost_live(), world.orphans()) == ([], [], [])


async def test_what_somebody_else_deletes_is_lost_if_its_user_sat_in_it() -> None:
    async with World() as world:
        world.deploy(2)
        await ready(world, 2)
        left, taken = world.open("ann", replica=0), world.open("bob", replica=1)
        await advance(3)
        world.crash(left.creator)
        assert world.orphans() == [left]
        async with aiohttp.ClientSession(world.url) as http:
            for session in (left, taken):
                async with http.delete(f"/api/v1/namespaces/ssh-sessions/pods/{session.name}") as response:
                    assert response.status == 200
        # A deletion cannot be taken back, so it counts from the request and not from the Pod's end.
        assert world.lost_live() == [taken]
        assert (world.orphans(), world.live()) == ([], [])
        at = taken.deleted
        await advance(5)
        assert taken.gone
        assert (taken.deleted, left.was_live) == (at, False)


async def test_a_process_that_is_killed_forgets_and_its_end_is_known() -> None:
    async with World() as world:
        world.deploy()
        await ready(world)
        session = world.open("ann")
        await advance(3)
        world.crash()
        ended = world.store.now()
        await advance(3)
        assert session.creator.ended is not None
        assert session.creator.ended == pytest.approx(ended, abs=0.5)
        told = container(owner_pods(world)[0])["lastState"]["terminated"]
        assert (told["finishedAt"], told["exitCode"]) == (timestamp(session.creator.ended), 137)
        assert world.open("bob").creator is not session.creator
        # The next process knows nothing of her.
        world.close(session)
        await advance(3)
        assert state(session_pod(world, session.name)) == "Running running"
        assert world.orphans() == [session]


async def test_a_pod_that_starts_too_late_is_given_up_and_left() -> None:
    async with World(images={SLOW: Program(pull=70.0)}) as world:
        world.deploy()
        await ready(world)
        session = world.open("ann", image=SLOW)
        await advance(59)
        assert world.live() == [session]
        await advance(2)
        assert world.orphans() == [session]
        await advance(15)
        assert state(session_pod(world, session.name)) == "Running running"
        world.close(session)
        await advance(5)
        assert world.orphans() == [session]


async def test_a_session_that_ended_by_itself_is_deleted_when_its_user_leaves() -> None:
    async with World() as world:
        world.deploy()
        await ready(world)
        session = world.open("ann", annotations={"sandbox/program": '{"exits_after": 2}'})
        await advance(6)
        assert session.finished
        assert world.orphans() == [session]
        world.close(session)
        await advance(2)
        assert session.gone
        assert session.deleted is None


async def test_by_default_a_terminating_replica_takes_nobody_new_and_dies_with_its_sessions_open() -> None:
    async with World() as world:
        world.deploy(drain=12, grace=20)
        await ready(world)
        session = world.open("ann")
        await advance(3)
        world.scale(0)
        await advance(10)
        assert session.live
        with pytest.raises(LookupError):
            world.open("bob")
        await advance(4)
        assert world.orphans() == [session]


async def test_a_clean_shutdown_ends_every_program_at_once_and_then_itself() -> None:
    async with World(clean_shutdown=True) as world:
        world.deploy(2)
        await ready(world, 2)
        sessions = [world.open("ann", replica=0), world.open("bob", replica=0)]
        await advance(3)
        world.scale(0)
        await advance(0.5)
        assert [replica.process for replica in world.containerssh.replicas] == [sessions[0].creator]
        assert world.live() == sessions
        with pytest.raises(LookupError):
            world.open("carol")
        await advance(3)
        assert all(session.gone and session.deleted is None for session in sessions)
        assert (sessions[0].creator.exit_code, owner_pods(world)) == (0, [])


async def test_a_clean_shutdown_waits_for_programs_that_do_not_heed_it_and_kills_them_after_20_seconds() -> None:
    async with World(clean_shutdown=True, images={SLOW: Program(pull=70.0)}) as world:
        world.deploy()
        await ready(world)
        leaving, staying, pending = world.open("ann"), world.open("bob"), world.open("carol", image=SLOW)
        leaving.ignores_term = staying.ignores_term = True
        await advance(3)
        world.scale(0)
        await advance(10)
        assert world.live() == [leaving, staying, pending]
        world.close(leaving)
        await advance(9)
        assert world.live() == [staying, pending]
        await advance(3)
        assert (staying.closed, pending.closed, staying.creator.exit_code) == (True, True, 0)
        assert (world.orphans(), world.lost_live()) == ([], [])


async def test_a_clean_shutdown_deletes_what_has_ended_by_itself() -> None:
    async with World(clean_shutdown=True) as world:
        world.deploy()
        await ready(world)
        session = world.open("ann", annotations={"sandbox/program": '{"exits_after": 2}'})
        await advance(6)
        assert session.finished
        world.scale(0)
        await advance(23)
        assert (session.closed, session.gone, session.deleted) == (True, True, None)


async def test_a_clean_shutdown_ends_when_the_last_user_leaves() -> None:
    async with World(clean_shutdown=True) as world:
        world.deploy()
        await ready(world)
        session = world.open("ann")
        session.ignores_term = True
        await advance(3)
        world.scale(0)
        await advance(5)
        world.close(session)
        await advance(2)
        assert (session.gone, owner_pods(world)) == (True, [])


@pytest.mark.parametrize(("mode", "left"), [("session", 1), ("persistent", 0)])
async def test_in_other_modes_a_clean_shutdown_deletes_nothing(mode: Mode, left: int) -> None:
    async with World(clean_shutdown=True, mode=mode) as world:
        world.deploy()
        await ready(world)
        session = world.open("ann")
        await advance(3)
        world.scale(0)
        await advance(25)
        assert (session.creator.exit_code, session.live) == (0, False)
        assert state(session_pod(world, session.name)) == "Running running"
        assert len(world.orphans()) == left


async def test_a_shutdown_that_takes_too_long_is_cut_short() -> None:
    async with World(clean_shutdown=True) as world:
        world.deploy(grace=10)
        await ready(world)
        session = world.open("ann")
        session.ignores_term = True
        await advance(3)
        world.scale(0)
        await advance(12)
        assert session.creator.exit_code == 137
        assert world.orphans() == [session]


async def test_a_replica_that_is_cut_off_can_neither_open_nor_close() -> None:
    async with World() as world:
        world.deploy()
        await ready(world)
        session = world.open("ann")
        await advance(3)
        world.cut_off()
        with pytest.raises(LookupError):
            world.open("bob")
        assert session.live
        world.close(session)
        assert world.orphans() == [session]


async def test_an_eviction_is_no_loss_of_the_collectors_making() -> None:
    async with World() as world:
        world.deploy()
        await ready(world)
        session = world.open("ann")
        await advance(3)
        world.evict("ssh-sessions", session.name)
        await advance(3)
        assert session.gone
        assert session.was_live
        assert world.lost_live() == []
        with pytest.raises(Refusal, match="not found"):
            world.evict("ssh-sessions", session.name)

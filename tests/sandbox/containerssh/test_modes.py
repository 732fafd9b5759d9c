"""ContainerSSH's modes: for what it makes Pods, and what becomes of them when somebody leaves."""

import pytest

from ssh_session_gc.sandbox import Program, World
from ssh_session_gc.sandbox.api.objects import PODS
from ssh_session_gc.sandbox.api.refusals import Refusal
from tests.sandbox.containerssh.stories import codes
from tests.sandbox.worlds import ready, session_pod, state
from tests.support import advance


async def test_in_session_mode_a_program_is_a_pod_and_the_pod_stays() -> None:
    async with World(mode="session") as world:
        world.deploy()
        await ready(world)
        ann = world.open("ann")
        await advance(3)
        spec = session_pod(world, ann.name)["spec"]
        shell = spec["containers"][0]
        assert (shell["stdin"], shell["stdinOnce"], shell["tty"], spec["restartPolicy"]) == (
            True,
            True,
            True,
            "Never",
        )
        assert shell["command"][:2] == ["/usr/bin/containerssh-agent", "console"]
        world.close(ann)
        await advance(3)
        assert state(session_pod(world, ann.name)) == "Succeeded terminated Completed"
        assert ann.left == pytest.approx(world.store.now() - 3, abs=0.5)
        assert (world.orphans(), world.live()) == ([ann], [])


async def test_in_session_mode_a_program_that_ends_by_itself_ends_its_connection() -> None:
    async with World(mode="session", metrics_port=0) as world:
        world.deploy()
        await ready(world)
        ann = world.open("ann", annotations={"sandbox/program": '{"exits_after": 5, "exit_code": 3}'})
        await advance(3)
        counts = world.containerssh.replicas[0].counts
        assert (counts.current, world.live()) == (1, [ann])
        await advance(5)
        assert (counts.current, world.orphans()) == (0, [ann])
        assert state(session_pod(world, ann.name)) == "Failed terminated Error"


async def test_in_session_mode_a_program_runs_on_when_its_client_hangs_up() -> None:
    async with World(mode="session") as world:
        world.deploy()
        await ready(world)
        ann = world.open("ann")
        await advance(3)
        world.hang_up(ann)
        await advance(100)
        assert state(session_pod(world, ann.name)) == "Running running"
        assert (world.orphans(), ann.left is None) == ([ann], False)


async def test_in_session_mode_the_pods_of_a_connection_share_its_id() -> None:
    async with World(mode="session") as world:
        world.deploy()
        await ready(world)
        first = world.open("ann")
        second = world.start_another(first)
        await advance(3)
        told = [session_pod(world, each.name)["metadata"]["labels"] for each in (first, second)]
        assert told[0]["containerssh_connection_id"] == told[1]["containerssh_connection_id"]
        counts = world.containerssh.replicas[0].counts
        assert (counts.total, counts.current) == (1, 1)
        world.close(first)
        assert (counts.current, world.live()) == (1, [second])
        world.hang_up(second)
        assert (counts.current, world.live()) == (0, [])
        with pytest.raises(LookupError):
            world.start_another(second)


async def test_in_session_mode_a_pod_that_comes_too_late_ends_no_other_program() -> None:
    async with World(mode="session") as world:
        world.deploy()
        await ready(world)
        late = world.open("ann", image="example/shell:missing")
        also = world.start_another(late)
        other = world.open("bob")
        await advance(55)
        counts = world.containerssh.replicas[0].counts
        assert counts.current == 2
        await advance(10)
        assert (world.live(), world.orphans(), counts.current) == ([other], [late, also], 1)
        assert codes(late).count("SSH_CHANNEL_REQUEST_FAILED") == 2
        assert codes(late)[-1] == "SSH_DISCONNECTED"


async def test_in_session_mode_a_shutdown_tells_the_end_of_a_connection_once() -> None:
    async with World(mode="session", clean_shutdown=True) as world:
        world.deploy()
        await ready(world)
        first = world.open("ann")
        second = world.start_another(first)
        await advance(3)
        world.scale(0)
        await advance(25)
        assert codes(first).count("SSH_DISCONNECTED") == 1
        assert world.orphans() == [first, second]
        assert first.left == second.left


async def test_a_client_that_hangs_up_leaves_all_of_its_programs() -> None:
    async with World(mode="session") as world:
        world.deploy()
        await ready(world)
        first = world.open("ann")
        second = world.start_another(first)
        await advance(3)
        world.hang_up(first)
        assert world.orphans() == [first, second]


async def test_a_persistent_pod_is_every_connections_and_nobody_deletes_it() -> None:
    async with World(mode="persistent") as world:
        world.deploy(2)
        await ready(world, 2)
        home = world.open("Ann@x", replica=0)
        assert home.name == "home-ann-x"
        metadata = session_pod(world, home.name)["metadata"]
        assert metadata["generateName"] == "containerssh-"
        assert world.open("Ann@x", replica=1) is home
        await advance(3)
        assert session_pod(world, home.name)["metadata"]["labels"] == metadata["labels"]
        world.close(home)
        assert world.live() == [home]
        world.crash(world.containerssh.replicas[1].process)
        assert (world.live(), world.orphans()) == ([], [])
        await advance(100)
        assert world.open("Ann@x") is home
        assert world.live() == [home]
        world.hang_up(home)
        await advance(100)
        assert state(session_pod(world, home.name)) == "Running running"
        assert (home.left, home.closed) == (None, False)


async def test_a_persistent_pod_that_somebody_deletes_is_made_anew() -> None:
    async with World(mode="persistent") as world:
        world.deploy()
        await ready(world)
        home = world.open("ann")
        await advance(3)
        world.store.delete(PODS, "ssh-sessions", home.name)
        await advance(5)
        assert world.lost_live() == [home]
        with pytest.raises(Refusal):
            session_pod(world, home.name)
        again = world.open("ann")
        assert again is not home
        assert again.name == home.name


async def test_a_persistent_pod_can_be_used_again_however_somebody_has_left_it() -> None:
    async with World(mode="persistent") as world:
        world.deploy()
        await ready(world)
        home = world.open("ann")
        await advance(3)
        for leave in (world.leave, world.leave_unsaid, world.hang_up, world.close):
            leave(home)
            assert (world.live(), world.orphans()) == ([], [])
            assert world.open("ann") is home
            assert world.live() == [home]
        world.fail_execs()
        assert world.open("ann") is home
        world.close(home)
        world.hang_up(home)
        assert (world.live(), world.orphans()) == ([], [])
        assert world.containerssh.replicas[0].counts.current == 0


async def test_in_session_mode_a_command_with_a_terminal_leaves_an_ended_pod_and_a_hang_up_a_pending_one() -> None:
    async with World(mode="session", images={"example/slow:v1": Program(pull=10.0)}) as world:
        world.deploy()
        await ready(world)
        ann, bob, carol = world.open("ann"), world.open("bob", image="example/slow:v1"), world.open("carol")
        await advance(3)
        world.leave(ann)
        world.hang_up(bob)
        world.leave_unsaid(carol)
        await advance(20)
        states = [state(session_pod(world, each.name)) for each in (ann, bob, carol)]
        assert states == ["Succeeded terminated Completed", "Running running", "Running running"]
        assert world.orphans() == [ann, bob, carol]
        assert [each.left is None for each in (ann, bob, carol)] == [False, False, True]
        assert "KUBERNETES_EXEC_SIGNAL" not in codes(bob)

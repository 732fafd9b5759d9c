"""What a living ContainerSSH leaves behind: what stays, and what its log and its gauge tell of that."""

import pytest

from ssh_session_gc.sandbox import Program, TrueSession, World
from ssh_session_gc.sandbox.containerssh import lines as words
from ssh_session_gc.sandbox.containerssh.log import LogLevel
from ssh_session_gc.sandbox.containerssh.removal import Obstacle
from tests.sandbox.containerssh.stories import codes
from tests.sandbox.worlds import container, owner_pods, ready, session_pod, state
from tests.support import advance

STUBBORN = Program(ready=False)


async def opened(world: World) -> TrueSession:
    """A session that has come up, of a cluster that starts with it."""
    world.deploy()
    await ready(world)
    session = world.open("ann")
    await advance(3)
    return session


async def test_where_no_program_starts_the_pod_stays_when_the_user_goes() -> None:
    async with World() as world:
        world.fail_execs()
        session = await opened(world)
        assert codes(session)[-1] == "KUBERNETES_EXIT_CODE_FAILED"
        await advance(20)
        assert world.live() == [session]
        world.hang_up(session)
        assert session.left == pytest.approx(world.store.now(), abs=0.5)
        await advance(100)
        assert state(session_pod(world, session.name)) == "Running running"
        assert (world.orphans(), world.containerssh.replicas[0].counts.current) == ([session], 0)
        assert codes(session)[-2:] == ["KUBERNETES_EXIT_CODE_FAILED", "SSH_EXIT"]
        world.fail_execs(False)
        other = world.open("bob")
        await advance(3)
        world.close(other)
        assert other.closed


async def test_where_no_program_starts_a_user_who_waits_is_sent_away_after_a_minute() -> None:
    async with World() as world:
        world.fail_execs()
        session = await opened(world)
        await advance(55)
        assert world.live() == [session]
        await advance(10)
        assert codes(session)[-2:] == ["SSH_EXIT", "SSH_DISCONNECTED"]
        assert world.orphans() == [session]


@pytest.mark.parametrize("obstacle", ["forbidden", "unreachable"])
@pytest.mark.parametrize(("level", "told_after"), [("debug", 0), ("notice", 60)])
async def test_a_deletion_that_is_refused_is_given_up_after_a_minute(
    obstacle: Obstacle, level: LogLevel, told_after: float
) -> None:
    async with World(log_level=level) as world:
        session = await opened(world)
        world.fail_deletions(obstacle)
        left = world.store.now()
        world.close(session)
        await advance(61)
        world.fail_deletions(None)
        await advance(30)
        assert codes(session)[-1] == "KUBERNETES_POD_REMOVE_FAILED"
        assert session.left == pytest.approx(left + told_after, abs=0.5)
        assert world.orphans() == [session]


async def test_a_deletion_that_is_allowed_again_within_a_minute_succeeds() -> None:
    async with World() as world:
        session = await opened(world)
        world.fail_deletions()
        world.close(session)
        await advance(45)
        world.fail_deletions(None)
        await advance(10)
        assert (session.gone, session.closed, session.deleted) == (True, True, None)


async def test_where_the_answer_to_a_creation_is_lost_there_are_two_pods_of_one_connection() -> None:
    async with World() as world:
        world.deploy()
        await ready(world)
        unused = world.open("ann", lost_answer=True)
        await advance(9)
        assert world.live() == []
        await advance(4)
        [used] = world.live()
        assert used.connection == unused.connection
        assert used.created - unused.created == pytest.approx(10, abs=0.5)
        assert state(session_pod(world, unused.name)) == "Running running"
        assert codes(unused).count("KUBERNETES_POD_CREATE") == 1
        world.close(used)
        await advance(3)
        assert (used.gone, world.orphans(), unused.left) == (True, [unused], None)


async def test_a_user_who_has_gone_gets_no_second_pod() -> None:
    async with World() as world:
        world.deploy()
        await ready(world)
        world.open("ann", lost_answer=True)
        world.crash()
        await advance(30)
        assert len(world.containerssh.sessions) == 1


async def test_a_pod_that_runs_without_being_ready_is_given_up() -> None:
    async with World(images={"example/stubborn:v1": STUBBORN}) as world:
        world.deploy()
        await ready(world)
        session = world.open("ann", image="example/stubborn:v1")
        await advance(5)
        assert state(session_pod(world, session.name)) == "Running running"
        assert container(session_pod(world, session.name))["ready"] is False
        assert (session.up, world.live()) == (False, [session])
        await advance(56)
        assert "KUBERNETES_POD_WAIT_FAILED" in codes(session)
        assert session.left == pytest.approx(world.store.now(), abs=2)
        assert world.orphans() == [session]


async def test_where_the_audit_log_cannot_be_written_only_the_gauge_tells() -> None:
    async with World() as world:
        session = await opened(world)
        told = codes(session)
        world.leave_unsaid(session)
        await advance(100)
        assert codes(session) == told
        assert (session.left, world.orphans()) == (None, [session])
        assert world.containerssh.replicas[0].counts.current == 0


async def test_a_panic_is_no_json_and_ends_the_process() -> None:
    async with World() as world:
        session = await opened(world)
        world.panic(session.creator)
        await advance(3)
        written = [line.text.decode() for line in session.creator.log.lines]
        assert written[-len(words.panic()) :] == words.panic()
        ended = container(owner_pods(world)[0])["lastState"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (2, "Error")
        assert world.orphans() == [session]


async def test_leaks_are_drawn_from_the_seed() -> None:
    fates = []
    for _ in range(2):
        async with World(leaks=0.5, seed=1) as world:
            world.deploy(12)
            await ready(world, 12)
            sessions = [world.open(f"user{number}", replica=number % 12) for number in range(60)]
            await advance(3)
            for session in sessions:
                world.close(session)
            await advance(70)
            fates.append([fate(world, session) for session in sessions])
    assert fates[0] == fates[1]
    assert set(fates[0]) == {"deleted", "refused", "told", "unsaid", "crashed"}


async def test_nothing_is_drawn_where_nothing_leaks() -> None:
    async with World(leaks=0.0, seed=7) as world, World(seed=7) as other:
        seen = []
        for each in (world, other):
            first = await opened(each)
            each.close(first)
            seen.append((first.connection, each.open("bob").connection))
        assert seen[0] == seen[1]


def fate(world: World, session: TrueSession) -> str:
    """What became of a session whose user has left."""
    if session.closed:
        return "deleted"
    if not session.given_up:
        return "crashed"
    if "KUBERNETES_POD_REMOVE_FAILED" in codes(session):
        return "refused"
    assert session in world.orphans()
    return "unsaid" if session.left is None else "told"

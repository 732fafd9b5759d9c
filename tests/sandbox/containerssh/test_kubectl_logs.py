"""The real kubectl reads ContainerSSH's log from the simulated cluster."""

from pathlib import Path

from ssh_session_gc.sandbox import World
from ssh_session_gc.sandbox.api.objects import timestamp
from ssh_session_gc.sandbox.containerssh import lines as words
from tests.sandbox.kubectl import Kubectl
from tests.sandbox.worlds import owner_pods, ready
from tests.support import advance, eventually


async def test_kubectl_follows_a_log_and_reads_parts_of_it(tmp_path: Path) -> None:
    async with World() as world:
        world.deploy(sidecar=True)
        await ready(world)
        kubectl = Kubectl(world, tmp_path, namespace="containerssh")
        pod = ("logs", owner_pods(world)[0]["metadata"]["name"], "-c", "containerssh")
        written = world.containerssh.replicas[0].process.log
        async with kubectl.running(*pod, "--follow") as output:
            for line in tuple(written.lines):
                assert await output.readline() == line.text + b"\n"
            await advance(10)
            before = len(written.lines)
            world.open("ann")
            since = written.lines[before].at
            await advance(3)
            for line in written.lines[before:]:
                assert await output.readline() == line.text + b"\n"
            world.crash()
            assert await output.read() == b""
        lines = [line.text.decode() for line in written.lines]
        await advance(3)
        assert "Using configuration file" in await kubectl(*pod)
        assert (await kubectl(*pod, "--previous")).splitlines() == lines
        assert (await kubectl(*pod, "--previous", "--tail=2")).splitlines() == lines[-2:]
        assert await kubectl(*pod, "--previous", "--limit-bytes=11") == lines[0][:11]
        assert (await kubectl(*pod, "--previous", f"--since-time={timestamp(since)}")).splitlines() == lines[before:]
        stamped = (await kubectl(*pod, "--previous", "--timestamps")).splitlines()
        assert stamped == [f"{line.stamp} {line.text.decode()}" for line in written.lines]


async def test_kubectl_reads_a_panic_of_a_process_that_said_nothing_else(tmp_path: Path) -> None:
    async with World(log_level="notice") as world:
        world.deploy()
        await ready(world)
        kubectl = Kubectl(world, tmp_path, namespace="containerssh")
        pod = ("logs", owner_pods(world)[0]["metadata"]["name"])
        assert "previous terminated container" in await kubectl(*pod, "--previous", status=1)
        async with kubectl.running(*pod, "--follow") as output:
            await eventually(lambda: world.server.followed == 1, "kubectl to follow the log")
            world.panic(world.containerssh.replicas[0].process)
            assert (await output.read()).decode().splitlines() == words.panic()
        await advance(3)
        assert (await kubectl(*pod, "--previous")).splitlines() == words.panic()
        assert await kubectl(*pod) == ""

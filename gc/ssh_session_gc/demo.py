"""The demo: the real daemon, over HTTP, against a simulated cluster, as a story on the terminal.

Knows a script of what users and ContainerSSH do, and how it must end. The daemon sees neither the script nor the
simulation's truth: it watches an API server like any other.
"""

import asyncio
import signal
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import structlog
from rich.console import Console
from rich.text import Text
from structlog.typing import EventDict

from ssh_session_gc.core.model import KEEP, TTL, Reason
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.daemon.daemon import Daemon
from ssh_session_gc.kube.client import connect
from ssh_session_gc.kube.config import loader
from ssh_session_gc.sandbox import Program, TrueSession, World
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics

POLICY = Policy(
    max_age=120.0,
    owner_grace=3.0,
    abandoned_grace=3.0,
    clock_tolerance=1.0,
    start_timeout=6.0,
    finished_grace=3.0,
)
DRAIN = 5.0
"""Seconds that a replica takes to drain."""
PATIENCE = 30.0
"""Seconds after the script's end within which every orphan must be gone."""


async def play(host: str, port: int, *, keep_running: bool) -> int:
    """Tells the story. Returns the exit status: 0 if no live session was lost, no orphan was left and every reason
    came up."""
    story = Story()
    structlog.configure(processors=[story.hear])
    settings = Settings(policy=POLICY, deletion_grace=2)
    stop = asyncio.Event()
    # In real life ContainerSSH waits 60 s for a Pod and the collector 2 min; here it is 4 s and 6 s.
    program = Program(pull=0.6, start=0.2)
    world = World(began=time.time(), stamp=True, pod_start=4.0, program=program, bookmark_seconds=15.0)
    with tempfile.TemporaryDirectory(prefix="ssh-session-gc-") as folder:
        async with world:
            world.deploy(2, drain=DRAIN)
            await world.ready(2)
            metrics = Metrics(dry_run=False)
            kubeconfig = world.kubeconfig(Path(folder) / "kubeconfig")
            async with connect(loader(str(kubeconfig), None), metrics) as api, asyncio.TaskGroup() as group:
                daemon = Daemon(settings, api, metrics)
                running = group.create_task(daemon.run(stop, host, port))
                story.tell("a cluster with two replicas of ContainerSSH, and the collector watching it")
                await Script(world, story).run()
                await story.settled(world)
                story.end(world)
                if keep_running:
                    loop = asyncio.get_running_loop()
                    for sign in (signal.SIGINT, signal.SIGTERM):
                        loop.add_signal_handler(sign, stop.set)
                    await stop.wait()
                stop.set()
                await running
            return story.status


class Script:
    """What users and ContainerSSH do, told as it happens."""

    def __init__(self, world: World, story: "Story") -> None:
        self._world, self._story = world, story

    async def run(self) -> None:
        """Plays the script, in about 25 seconds."""
        world, tell = self._world, self._story.tell
        alice = self._open("alice", replica=0)
        self._open("bob", replica=1)
        grace = self._open("grace", "for a command with a terminal (ssh -t HOST true)", replica=1)
        self._open("erin", "with an image that cannot be pulled", image="ghcr.io/example/shell:missing")
        self._open("frank", "and his shell will end by itself", program='{"exits_after": 2.5, "exit_code": 3}')
        await asyncio.sleep(4)
        tell("alice leaves: ContainerSSH deletes her Pod itself", "cyan")
        world.close(alice)
        tell("grace's command printed nothing and she is gone: ContainerSSH lives, and leaves her Pod there", "cyan")
        world.leave(grace)
        await asyncio.sleep(4.5)

        tell(f"a rollout: the old replicas drain for {DRAIN:g} s, and bob's is still his", "cyan")
        world.rollout()
        await asyncio.sleep(DRAIN + 4)

        self._open("sam", replica=0)
        self._open("tina", replica=1)
        self._open("olga", "and may stay for 8 s (ssh-session-gc/ttl)", replica=1, notes={TTL: "8s"})
        self._open("dave", "and is exempt (ssh-session-gc/keep)", replica=1, notes={TTL: "5s", KEEP: "true"})
        await asyncio.sleep(3.5)
        tell("one replica is killed (SIGKILL): it forgets sam, the other one goes on with tina", "cyan")
        world.crash(world.containerssh.replicas[0].process)
        await asyncio.sleep(1)

    def _open(
        self,
        user: str,
        how: str = "",
        *,
        replica: int = 0,
        image: str = "",
        program: str = "",
        notes: dict[str, str] | None = None,
    ) -> TrueSession:
        annotations = {**(notes or {}), **({"sandbox/program": program} if program else {})}
        session = self._world.open(user, replica=replica, image=image, annotations=annotations)
        self._story.tell(" ".join(f"{user} connects: Pod {session.name} {how}".split()), "green")
        return session


class Story:
    """The lines on the terminal, and how the story ends."""

    def __init__(self) -> None:
        self._console = Console(soft_wrap=True, highlight=False)
        self._start = asyncio.get_running_loop().time()
        self._collected: dict[str, Reason] = {}
        self.status = 1
        """The exit status: 0 once the story has ended well."""

    def tell(self, text: str, style: str = "") -> None:
        """Prints a line, with the seconds since the beginning."""
        at = f"{asyncio.get_running_loop().time() - self._start:5.1f}s  "
        self._console.print(Text(at, "dim"), Text(text, style), sep="")

    def hear(self, _: object, level: str, line: EventDict) -> str:
        """Turns the daemon's log lines into the story's."""
        match line["event"]:
            case "session_collected":
                self._collected[line["uid"]] = Reason(line["reason"])
                self.tell(f"COLLECTED {line['user']}: {line['reason']}: {line['evidence']}", "bold red")
            case "started":
                self.tell(f"metrics: http://{line['listen']}/metrics")
            case _ if level in ("warning", "error", "critical"):
                self.tell(f"{line['event']}: {line.get('error', '')}", "yellow")
        raise structlog.DropEvent

    async def settled(self, world: World) -> None:
        """Returns when no orphan is left and every reason has come up, or after PATIENCE."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                # The simulated cluster has no event to wait for.
                while world.orphans() or set(self._collected.values()) != set(Reason):  # noqa: ASYNC110
                    await asyncio.sleep(0.2)

    def end(self, world: World) -> None:
        """Prints the last line, which scripts read, and settles the exit status."""
        there = [s.user for s in world.containerssh.sessions.values() if s.live and s.deleted is None]
        self.tell(f"still in their sessions: {', '.join(sorted(there))}", "green")
        reasons = Counter(self._collected.values())
        # OverAge deletes sessions with users in them, on purpose.
        lost = [s for s in world.lost_live() if self._collected.get(s.uid) is not Reason.OVER_AGE]
        left = world.orphans()
        counts = " ".join(f"{reason}={reasons[reason]}" for reason in Reason)
        self._console.print(
            f"demo: sessions={len(world.containerssh.sessions)} collected={reasons.total()} {counts} "
            f"live_sessions_lost={len(lost)} orphans_left={len(left)}",
            markup=False,
        )
        self.status = 1 if lost or left or len(reasons) < len(Reason) else 0

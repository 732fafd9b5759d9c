"""Our client and the real daemon, in this process, against a simulated API server over HTTP.

Knows how both are set up and what a test may ask of them. Does not know any world (``sandbox``) or any value
(``builders``).
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import structlog
from structlog.typing import EventDict

from ssh_session_gc.core.evidence import evidence
from ssh_session_gc.core.model import Session, Verdict
from ssh_session_gc.daemon.daemon import Daemon
from ssh_session_gc.kube.client import Api, Observer, connect
from ssh_session_gc.kube.config import loader
from ssh_session_gc.kube.reflector import SILENCE
from ssh_session_gc.kube.servertime import ServerTime
from ssh_session_gc.sandbox.kubeconfig import write_kubeconfig
from ssh_session_gc.settings import DryRun, Settings
from ssh_session_gc.telemetry.metrics import Metrics
from tests.builders import T
from tests.support import eventually


class Requests:
    """An Observer that remembers the verb, the resource and the code of each request, in order."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """Remembers the request, and sees that it took no negative time."""
        assert seconds >= 0
        self.seen.append((verb, resource, code))


@asynccontextmanager
async def connected(
    server: str | Path | None, *, token: str = "", authority: Path | None = None, observer: Observer | None = None
) -> AsyncIterator[Api]:
    """The API server at this address, or the one of this kubeconfig; with None, that of the Pod we seem to run in.

    ``token`` and ``authority``, the path of a certificate, go with an address.
    """
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(server, str):
            path = Path(folder, "kubeconfig")
            server = write_kubeconfig(path, server, token=token, certificate_authority=str(authority or ""))
        load = loader(None if server is None else str(server), None)
        async with connect(load, observer or Requests()) as api:
            yield api


def tell_time(time: ServerTime, at: float = T) -> None:
    """Has an answer that arrives now say that it is ``at``, a whole second."""
    time.heard(formatdate(at, usegmt=True), asyncio.get_running_loop().time())


@dataclass
class Running:
    """A daemon that runs, and what a test may ask of it."""

    daemon: Daemon
    api: Api
    metrics: Metrics
    settings: Settings
    log: list[EventDict]
    stop: asyncio.Event
    task: asyncio.Task[None]

    def session(self, user: str) -> Session | None:
        """The session of this user, as the daemon sees it."""
        return next((s for s in self.daemon.cluster.sessions.by_uid.values() if s.user == user), None)

    def verdict(self, user: str) -> Verdict:
        """What the daemon says of this user's session now."""
        session = self.session(user)
        assert session is not None, f"the daemon does not know {user}'s session"
        return self.daemon.collector.queue.verdicts[session.uid].at(self.api.time.now())

    def evidence(self, user: str) -> str:
        """The verdict in words."""
        session = self.session(user)
        assert session is not None
        owners = self.daemon.cluster.owners
        said = self.daemon.cluster.connections.of(session.uid)
        return evidence(session, self.verdict(user), owners, self.settings.policy, self.api.time.now(), said)

    def logged(self, event: str) -> list[EventDict]:
        """The log lines of one kind."""
        return [line for line in self.log if line["event"] == event]

    def collected(self) -> dict[str, str]:
        """The reason for each user whose session was collected, or would have been."""
        lines = self.logged("session_collected") + self.logged("session_would_be_collected")
        return {line["user"]: line["reason"] for line in lines}

    def value(self, metric: str, **labels: str) -> float:
        """A metric of the contract, as a scrape would show it."""
        value = self.metrics.registry.get_sample_value(f"ssh_session_gc_{metric}", labels)
        assert value is not None, f"no {metric}{labels}"
        return value

    async def synced(self) -> None:
        """Returns when every stream is in step."""
        await eventually(lambda: not any(source.out_of_sync for source in self.daemon.cluster.sources), "in step")

    async def caught_up(self, rv: int) -> None:
        """Returns when the daemon has seen a change of a session Pod at this resourceVersion or a later one."""
        seen = self.daemon.cluster.sessions.by_uid
        await eventually(lambda: any(int(s.resource_version) >= rv for s in seen.values()), f"version {rv}")


@asynccontextmanager
async def running(
    url: str,
    tmp_path: Path,
    settings: Settings | None = None,
    *,
    silence: float = SILENCE,
    kubeconfig: Path | None = None,
    **more: Any,
) -> AsyncIterator[Running]:
    """Runs the daemon. ``more`` are Settings; what it logs is kept, whatever else may be configured."""
    settings = settings or Settings(**more)
    path = kubeconfig or write_kubeconfig(tmp_path / "kubeconfig", url)
    metrics = Metrics(dry_run=settings.dry_run is not DryRun.NONE)
    stop = asyncio.Event()
    with structlog.testing.capture_logs() as log:
        async with connected(path, observer=metrics) as api:
            daemon = Daemon(settings, api, metrics, silence=silence)
            task = asyncio.create_task(daemon.run(stop, "127.0.0.1", 0))
            run = Running(daemon, api, metrics, settings, log, stop, task)
            try:
                yield run
            finally:
                stop.set()
                await run.task

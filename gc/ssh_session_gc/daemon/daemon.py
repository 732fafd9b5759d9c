"""Puts the daemon together: the cluster into the collector, and both on a port.

Knows what runs beside what, in which order it starts and in which it stops. Does none of the work itself.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress

import structlog

from ssh_session_gc import __version__
from ssh_session_gc.cluster.cluster import Cluster
from ssh_session_gc.cluster.source import Hopeless
from ssh_session_gc.core.times import format_duration
from ssh_session_gc.daemon.certainty import Certainty
from ssh_session_gc.daemon.collector import Collector
from ssh_session_gc.daemon.contradictions import Contradictions
from ssh_session_gc.daemon.election import Elector
from ssh_session_gc.daemon.events import Recorder
from ssh_session_gc.daemon.health import Health
from ssh_session_gc.daemon.mistaken import Mistaken
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.errors import ApiError, Unreachable
from ssh_session_gc.kube.reflector import SILENCE
from ssh_session_gc.kube.resources import NAMESPACES
from ssh_session_gc.kube.retries import retried
from ssh_session_gc.kube.servertime import NO_DATE
from ssh_session_gc.settings import DryRun, Settings
from ssh_session_gc.telemetry.http import Server
from ssh_session_gc.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger()

FLUSH = 0.5
"""Seconds that the last Events get to be written when the program stops."""


class StartError(Exception):
    """The daemon cannot work: one line that says what is wrong and what to do."""


class Daemon:
    """One collector with all that it needs. More attributes than most, since it only holds the parts together."""

    def __init__(self, settings: Settings, api: Api, metrics: Metrics, *, silence: float = SILENCE) -> None:
        self._settings, self._api, self._silence = settings, api, silence
        self.cluster = Cluster(settings, api, metrics)
        self._recorder = Recorder(api, settings.session_namespace)
        self.elector = Elector(api, settings.lease)
        self.elector.subscribe(metrics.leader.set)
        self.collector = Collector(self.cluster, api, settings, metrics, self._recorder, self.elector)
        self.contradictions = Contradictions(self.cluster, settings, metrics)
        self.certainty = Certainty(api.time, metrics)
        self.mistaken = Mistaken(self.cluster, settings)
        self.health = Health(self.cluster, metrics)
        self.server = Server(metrics.registry, self.health.healthy, self.health.ready)
        metrics.watch(self.collector.survey)
        for source in self.cluster.sources:
            metrics.synced(source.stream, synced=False)

    async def run(self, stop: asyncio.Event, host: str, port: int) -> None:
        """Runs until ``stop``, then ends within a second or two. Raises StartError."""
        try:
            await self.server.start(host, port)
        except OSError as error:
            why = error.strerror or str(error)
            raise StartError(f"cannot listen on {host}:{port}: {why}; choose another with --listen") from None
        try:
            if await self._unless(stop, self._greet()):
                await self._work(stop)
        finally:
            await self.server.stop()
        log.info("stopped")

    async def _greet(self) -> None:
        settings, policy = self._settings, self._settings.policy
        try:
            await retried(self._api.version)
        except (Unreachable, ApiError) as error:
            raise StartError(f"{error}; check the address and the credentials (--kubeconfig, --context)") from None
        if not self._api.time.known:
            raise StartError(f"{self._api.host} {NO_DATE}")
        self.health.started()
        log.info(
            "started",
            version=__version__,
            server=self._api.host,
            session_namespace=settings.session_namespace,
            session_selector=settings.session_selector,
            owner=str(settings.owner or settings.owner_selector or "none"),
            max_age=format_duration(policy.max_age),
            owner_grace=format_duration(policy.owner_grace),
            owner_logs=settings.owner_logs,
            owner_metrics_port=settings.owner_metrics_port,
            abandoned_grace=format_duration(policy.abandoned_grace),
            start_timeout=format_duration(policy.start_timeout),
            finished_grace=format_duration(policy.finished_grace),
            dry_run=settings.dry_run,
            listen=self.server.address,
        )
        if settings.dry_run is not DryRun.NONE:
            log.warning("dry_run", hint="nothing will be deleted; each session that would be is logged once")
        try:
            await self._api.request("get", NAMESPACES, "", settings.session_namespace)
        except ApiError as error:
            # Without the permission to ask, a missing namespace looks like an empty one; and nothing is said.
            if error.not_found:
                hint = "there is nothing to watch until it is created; check --session-namespace"
                log.warning("namespace_not_found", namespace=settings.session_namespace, hint=hint)
        except Unreachable:
            pass

    async def _unless(self, stop: asyncio.Event, work: Coroutine[None, None, None]) -> bool:
        """Does the work until ``stop`` comes. Returns whether it was done by then; raises what it raises."""
        working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            done = working.done()
        finally:
            for task in (working, stopping):
                task.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)
        if done:
            working.result()
        return done

    async def _work(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            following = group.create_task(self._follow())
            electing = group.create_task(self.elector.run())
            writing = group.create_task(self._recorder.run())
            collecting = group.create_task(self.collector.run())
            stopping = group.create_task(stop.wait())
            await asyncio.wait({stopping, following}, return_when=asyncio.FIRST_COMPLETED)
            log.info("stopping")
            for task in (following, electing, collecting, stopping):
                task.cancel()
            await asyncio.wait({collecting})
            # Nothing of ours is under way any more: whoever is next may begin.
            await self.elector.give_back()
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH):
                    await self._recorder.flush()
            writing.cancel()
        if not following.cancelled() and (hopeless := following.result()):
            raise StartError(hopeless)

    async def _follow(self) -> str | None:
        """Keeps the cluster in step. Returns why, where that is hopeless."""
        try:
            await self.cluster.follow(self._silence)
        except Hopeless as error:
            return str(error)
        return None

"""The plan as the cluster changes: ``plan --watch``.

Follows the same sources as the daemon, so it knows since when there is no owner, where a single look does not. Does
not know how a plan is shown (``cli.plan_output``).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from ssh_session_gc.cluster.cluster import Cluster
from ssh_session_gc.cluster.source import UNREAD, Hopeless
from ssh_session_gc.core.model import Action
from ssh_session_gc.core.plan import Plan, Snapshot, Wanted, make
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.errors import ApiError, Unreachable
from ssh_session_gc.kube.servertime import NO_DATE
from ssh_session_gc.preview.snapshot import CannotRead, hint
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics

SETTLE = 0.1
"""Seconds in which changes are gathered into one plan: a rollout changes many things at once."""


@asynccontextmanager
async def watching(api: Api, settings: Settings, metrics: Metrics) -> AsyncIterator["LivePlan"]:
    """A plan that follows the cluster, once every source has been read or has failed to be. Raises CannotRead."""
    try:
        await api.version()
    except (ApiError, Unreachable) as error:
        raise CannotRead(f"{error}; {hint(error, settings.session_namespace)}") from None
    if not api.time.known:
        raise CannotRead(f"{api.host} {NO_DATE}")
    live = LivePlan(api, settings, metrics)
    try:
        await live.ready()
        yield live
    finally:
        await live.stop()


class LivePlan:
    """Plans of the cluster as its sources tell of it, whenever one is asked for."""

    def __init__(self, api: Api, settings: Settings, metrics: Metrics) -> None:
        self._api, self._settings = api, settings
        self._cluster = Cluster(settings, api, metrics)
        self._changed = asyncio.Event()
        self._cluster.subscribe(lambda _: self._changed.set())
        self._following = asyncio.create_task(self._cluster.follow())
        self._following.add_done_callback(lambda _: self._changed.set())

    async def ready(self) -> None:
        """Returns when every source has been in step, or has said why not. Raises CannotRead."""
        # Polled, as there are several sources and they are waited for only once.
        while any(source.out_of_sync == UNREAD for source in self._cluster.sources):
            await asyncio.sleep(SETTLE)
            self._look_for_the_end()
        self._look_for_the_end()

    async def stop(self) -> None:
        """Ceases to follow the cluster."""
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)

    def plan(self, wanted: Wanted) -> Plan:
        """The plan as of now."""
        cluster, sessions = self._cluster, tuple(self._cluster.sessions.by_uid.values())
        said = {session.uid: cluster.connections.of(session.uid) for session in sessions}
        snapshot = Snapshot(sessions, cluster.owners, self._api.time.now(), said)
        return make(snapshot, self._settings.policy, self._settings.session_namespace, wanted)

    def out_of_sync(self) -> list[str]:
        """The sources whose latest changes the plan may lack, a line each with the reason."""
        found = ((source.stream, source.out_of_sync) for source in self._cluster.sources)
        return [f"{stream} is out of step: {why}" for stream, why in found if why is not None]

    async def next(self, plan: Plan, longest: float | None) -> None:
        """Returns when this plan is out of date: something changed or became due, or ``longest`` seconds have passed.
        Raises CannotRead."""
        dues = [row.verdict.due for row in plan.rows if row.verdict.action is Action.WAITING]
        waits = [due - self._api.time.now() for due in dues if due is not None]
        if longest is not None:
            waits.append(longest)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(waits)) if waits else None):
                await self._changed.wait()
                await asyncio.sleep(SETTLE)
        self._changed.clear()
        self._look_for_the_end()

    def _look_for_the_end(self) -> None:
        """Raises CannotRead where following is hopeless, and whatever else may have ended it: a mistake of ours."""
        if self._following.done():
            try:
                self._following.result()
            except Hopeless as error:
                raise CannotRead(str(error)) from None

"""The plan as the cluster changes: ``plan --watch``.

Follows the same streams into the same view as the daemon, so it knows since when there is no owner where a single
look does not. Knows when there is something new to show; does not know how it is shown.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from ssh_session_gc.core.model import Action
from ssh_session_gc.core.plan import Plan, Snapshot, Wanted, make
from ssh_session_gc.daemon.streams import streams
from ssh_session_gc.daemon.view import UNREAD, View
from ssh_session_gc.kube.client import NO_DATE, Api, ApiError, Unreachable
from ssh_session_gc.preview.snapshot import CannotRead, hint
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics

SETTLE = 0.1
"""Seconds in which changes are gathered: a rollout changes many things at once."""


@asynccontextmanager
async def watching(api: Api, settings: Settings, metrics: Metrics) -> AsyncIterator["Watch"]:
    """A watch on the cluster, in step for the first time. Raises CannotRead."""
    try:
        await api.version()
    except (ApiError, Unreachable) as error:
        raise CannotRead(f"{error}; {hint(error, settings.session_namespace)}") from None
    if not api.tells_time:
        raise CannotRead(f"{api.host} {NO_DATE}")
    watch = Watch(api, settings, View(settings, metrics, api.now))
    try:
        await watch.ready()
        yield watch
    finally:
        await watch.stop()


class Watch:
    """What the streams tell, as plans."""

    def __init__(self, api: Api, settings: Settings, view: View) -> None:
        self._api, self._settings, self._view = api, settings, view
        self._changed = asyncio.Event()
        self._hopeless = ""
        view.session_changed = lambda _: self._changed.set()
        view.all_changed = self._changed.set
        view.hopeless = self._give_up
        self._streams = [asyncio.create_task(stream) for stream in streams(api, settings, view)]

    async def ready(self) -> None:
        """Returns when every stream has been in step, or has said why not. Raises CannotRead."""
        # Several streams, asked for at the start only.
        while any(feed.trouble == UNREAD for feed in self._view.feeds):  # noqa: ASYNC110
            await asyncio.sleep(SETTLE)
        if self._hopeless:
            raise CannotRead(self._hopeless)

    async def stop(self) -> None:
        """Ends the streams."""
        for stream in self._streams:
            stream.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)

    def plan(self, wanted: Wanted) -> Plan:
        """The plan as of now."""
        snapshot = Snapshot(tuple(self._view.sessions.by_uid.values()), self._view.owners, self._api.now())
        return make(snapshot, self._settings.policy, self._settings.session_namespace, wanted)

    def trouble(self) -> list[str]:
        """What the plan may lack, a line each."""
        return [f"{feed.stream} is out of step: {feed.trouble}" for feed in self._view.feeds if feed.trouble]

    async def next(self, plan: Plan, longest: float | None) -> None:
        """Returns when this plan is out of date: something changed, or is due now, or after ``longest`` seconds."""
        dues = [row.verdict.due for row in plan.rows if row.verdict.action is Action.WAITING]
        waits = [due - self._api.now() for due in dues if due is not None]
        if longest is not None:
            waits.append(longest)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(waits)) if waits else None):
                await self._changed.wait()
                await asyncio.sleep(SETTLE)
        self._changed.clear()

    def _give_up(self, why: str) -> None:
        self._hopeless = why

"""The running watches: how one begins, which changes it is offered, and how it ends.

Knows a watch's parameters and its connection. What it makes of a change, ``watch`` knows.
"""

import random
from collections.abc import Callable

from aiohttp import web

from ssh_session_gc.sandbox.api import request as parse
from ssh_session_gc.sandbox.api.faults import Fault, Faults
from ssh_session_gc.sandbox.api.list import number
from ssh_session_gc.sandbox.api.objects import RESOURCES, Change, Resource
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.api.request import Target
from ssh_session_gc.sandbox.api.responses import encoder
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.api.strikes import cut, hang
from ssh_session_gc.sandbox.api.watch import Watch, error_line

MIN_WATCH_SECONDS = 1800.0
"""A watch without ``timeoutSeconds`` ends after this long to twice as long: --min-request-timeout's default."""


class Watches:
    """The running watches of one server."""

    def __init__(self, store: Store, faults: Faults, bookmark_seconds: float) -> None:
        self._store, self._faults, self._bookmark_seconds = store, faults, bookmark_seconds
        # Not sets: their order is another one in each run.
        self._running: dict[Resource, dict[Watch, None]] = {res: {} for res in RESOURCES}

    def __len__(self) -> int:
        return sum(map(len, self._running.values()))

    def offer(self, change: Change) -> None:
        """Hands a change to the watches of its resource."""
        for watch in tuple(self._running[change.resource]):
            watch.offer(change)

    async def serve(
        self, request: web.Request, target: Target, fault: Fault | None, begun: Callable[[], None]
    ) -> web.StreamResponse:
        """Answers a watch until it ends; calls ``begun`` once its status is sent. Raises Refusal: 400, 406."""
        labels, fields = parse.selectors(request, target.res)
        form, since = parse.form(request), number(request.query, "resourceVersion")
        seconds = float(number(request.query, "timeoutSeconds") or MIN_WATCH_SECONDS * random.uniform(1, 2))  # noqa: S311
        watch = Watch(
            target.res,
            target.namespace,
            labels,
            fields,
            encode=encoder(self._store, request, target) if form else None,
        )
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        try:
            await response.prepare(request)
        except ConnectionResetError:  # the client has left already
            return response
        begun()
        try:
            self._begin(request, watch, since)
        except Refusal as error:  # it is too late for a status, so this is the watch's only line
            await response.write(error_line(error))
            return response
        if fault is not None:
            watch.strike(fault)
        bookmarks = self._bookmark_seconds if parse.bookmarks(request) else None
        self._running[target.res][watch] = None
        self._faults.watches[watch] = None
        try:
            if not await watch.run(response, lambda: self._store.rv, seconds, bookmarks):
                cut(request)
                await hang()
        finally:
            self._running[target.res].pop(watch, None)
            self._faults.watches.pop(watch, None)
        return response

    def _begin(self, request: web.Request, watch: Watch, since: int | None) -> None:
        if request.query.get("sendInitialEvents") == "true":
            # Recorded: the API server of the recordings had no etcd that could do it.
            feature = "the required storage feature RequestWatchProgress is disabled"
            raise Refusal(500, "InternalError", f"a watch stream was requested by the client but {feature}")
        if since:
            watch.begin(since)
            for change in self._store.since(watch.res, since):
                watch.offer(change)
        else:
            watch.begin(self._store.rv, self._store.list(watch.res, watch.namespace, watch.labels, watch.fields))

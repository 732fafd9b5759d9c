"""One stream of objects, kept in step with the API server: LIST, then WATCH from where the list ended.

Knows every way in which a watch ends and what to do about each; loses no change and never gives up. Does not know
what the objects mean: it hands them to a Sink, complete lists and single changes, in order.

The semantics are those of Kubernetes' API concepts ("Efficient detection of changes") and client-go's reflector.
"""

import asyncio
import math
import random
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.errors import ApiError, Malformed, Unreachable
from ssh_session_gc.kube.listing import Collection, list_all

T_contra = TypeVar("T_contra", contravariant=True)
T = TypeVar("T")

SILENCE = 90.0
"""Seconds without a byte after which a watch is taken for dead. The API server sends a bookmark about once a
minute (recordings: 59.8 to 60.5 s), so a healthy one is never silent for so long."""
FORBIDDEN_RETRY = 30.0
"""Seconds between attempts while a permission is missing: somebody has to grant it first."""
SETTLED = 5.0
"""Seconds for which a watch must have lived before its end counts as ordinary, not as a failure."""


class Sink(Protocol[T_contra]):
    """Takes in the objects of a stream; every ``cluster.Source`` implements it."""

    @property
    def incomplete(self) -> str | None:
        """Why single changes do not suffice, so that each is followed by a new list; None where they do."""

    def listed(self, items: Sequence[T_contra], broken: Sequence[str]) -> None:
        """A complete list, which replaces all that was there. ``broken`` tells of items that are unreadable."""

    def changed(self, item: T_contra) -> None:
        """An object appeared or changed."""

    def deleted(self, item: T_contra) -> None:
        """An object is gone, or has stopped matching the selector; this is its last state."""

    def unreadable(self, why: str) -> None:
        """An object changed into something that cannot be read."""

    def sync(self, out_of_sync: str | None) -> None:
        """The stream is in step (None), or has fallen behind and why."""

    def arrived(self) -> None:
        """Something came: a list, an event, a bookmark."""

    def restarted(self, cause: str, detail: str) -> None:
        """A list or a watch ended and is taken up again; the cause "closed" is the ordinary end. May raise what
        ends the reflector."""


class Reflector(Generic[T]):
    """Keeps one Sink in step with one collection."""

    def __init__(self, api: Api, collection: Collection[T], sink: Sink[T], *, silence: float = SILENCE) -> None:
        self._api, self._collection, self._sink, self._silence = api, collection, sink, silence
        self._version = ""
        """The resourceVersion to go on from; "" where a list is needed."""
        self._attempt: asyncio.Timeout | None = None
        """What is under way; it runs out when ``relist`` says so."""

    async def run(self) -> None:
        """Runs until cancelled. Raises nothing that the API server could cause, only what the sink raises."""
        try:
            while True:
                try:
                    async with asyncio.timeout(None) as self._attempt:
                        await self._follow()
                except TimeoutError:
                    self._version = ""
                    self._sink.sync("it is read from the start")
        finally:
            self._attempt = None  # whoever says so afterwards says it to nobody

    def relist(self, collection: Collection[T] | None = None) -> None:
        """Begins anew with a list, whatever is under way: of another collection where one is given."""
        self._collection = collection or self._collection
        if self._attempt is not None and not self._attempt.expired():
            self._attempt.reschedule(-math.inf)

    async def _follow(self) -> None:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((ApiError, Unreachable, Malformed)),
            wait=wait_after,
            before_sleep=self._failed,
        )
        while True:
            # Each success starts the back-off anew.
            await retrying(self._list_and_watch)

    async def _list_and_watch(self) -> None:
        if not self._version:
            listing = await list_all(self._api, self._collection)
            self._sink.listed(listing.items, listing.broken)
            self._version = listing.resource_version
            del listing  # the first is the largest thing that there is
            self._sink.arrived()
        await self._watch()

    async def _watch(self) -> None:
        query = {
            **self._collection.query,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            # Spread out, so that after a restart of the API server not everybody comes back at once.
            "timeoutSeconds": str(random.randint(240, 480)),  # noqa: S311 - jitter, not a secret
        }
        time = asyncio.get_running_loop().time
        begun = math.inf
        try:
            where = self._collection
            async with self._api.watch(where.resource, where.namespace, query, self._silence) as lines:
                begun = time()
                self._sink.sync(None)
                async for line in lines:
                    self._take(line)
            self._sink.restarted("closed", "")
        except Unreachable as error:
            # A watch that lived is simply taken up again where it ended; one that never came to life, or died
            # at once, waits its turn.
            if time() - begun < SETTLED:
                raise
            self._sink.restarted(*cause_of(error))
        if time() - begun < SETTLED:
            # A server that ends every watch at once must not have us spin.
            await asyncio.sleep(random.uniform(0.5, 1.0))  # noqa: S311

    def _take(self, line: bytes) -> None:
        if not line:
            return
        event = self._collection.decoder.event(line)
        if event.status is not None:
            # Whatever it is, the API server cannot go on from here; client-go lists again, too.
            self._version = ""
            raise ApiError.from_status(event.status)
        self._version = event.resource_version
        self._sink.arrived()
        match event.type, event.object:
            case "BOOKMARK", _:
                return
            case _, None:
                # What it replaces is out of date from here on. A list tells how things are, and without it what
                # cannot be read.
                self._sink.unreadable(event.broken)
                raise Malformed(event.broken)
            case "DELETED", gone:
                self._sink.deleted(gone)
            case _, present:
                self._sink.changed(present)
        if why := self._sink.incomplete:
            raise Malformed(why)

    def _failed(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        cause, detail = cause_of(error)
        if isinstance(error, Malformed) or (isinstance(error, ApiError) and not _keeps_place(error)):
            # What was missed cannot be watched, or cannot be read: only a list tells how things are now.
            self._version = ""
        self._sink.sync(detail)
        self._sink.restarted(cause, detail)


def _keeps_place(error: ApiError) -> bool:
    """Whether a watch that was refused so may be asked for again from the same resourceVersion. Not after 410
    (too old), 400 (not understood) and 504 (newer than anything there: etcd was restored from a backup)."""
    return error.code in (401, 403, 429) or (error.code >= 500 and error.code != 504)


def cause_of(error: BaseException | None) -> tuple[str, str]:
    """The metric's ``cause`` and a sentence for people."""
    match error:
        case ApiError(code=410):
            return "expired", str(error)
        case ApiError(code=code):
            return {401: "unauthorized", 403: "forbidden", 429: "throttled"}.get(code, "refused"), str(error)
        case Malformed():
            return "malformed", f"the API server sent something unreadable: {error}"
    return "broken", str(error)


_backoff = wait_exponential_jitter(multiplier=0.5, max=30.0, jitter=0.5)


def wait_after(state: RetryCallState) -> float:
    """Seconds until a stream that failed so is asked for again."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, ApiError):
        if error.forbidden:
            return FORBIDDEN_RETRY * random.uniform(0.9, 1.1)  # noqa: S311
        if error.retry_after is not None:
            # As asked, but not for ever, and not everybody in the same instant.
            return min(error.retry_after, 300.0) + random.uniform(0.0, 0.5)  # noqa: S311
    return _backoff(state)

"""One watch: which changes it sees and as what, bookmarks and its end.

Knows the semantics of Kubernetes' "Efficient detection of changes" and the shape of a line on the wire. Does not
know requests or the store: ``watches`` offers it every change of its resource. Faults strike it in ``stream``.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec
from aiohttp import web

from ssh_session_gc.sandbox.api.objects import Change, Object, Resource
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.api.stream import Stream
from ssh_session_gc.selectors import FieldSelector, Selector

BACKLOG = 100_000
"""Lines that may wait for a client that reads too slowly. An API server ends such a watch too."""
_NO_POD: Object = {"containers": None}
_BOOKMARKS: dict[str, Object] = {  # an empty object of the kind, as Go writes it; recorded
    "pods": {"spec": _NO_POD, "status": {}},
    "deployments": {
        "spec": {"replicas": 0, "selector": None, "template": {"metadata": {}, "spec": _NO_POD}, "strategy": {}},
        "status": {},
    },
}


def line(event: str, encoded: bytes) -> bytes:
    """One event as it goes over the wire."""
    return b'{"type":"%s","object":%s}\n' % (event.encode(), encoded)


def error_line(error: Refusal) -> bytes:
    """The last line of a watch that cannot go on."""
    return line("ERROR", msgspec.json.encode(error.status()))


def expired(rv: int) -> Refusal:
    """410 for a watch from here on, though every change is known: the fault ``gone``."""
    return Refusal(410, "Expired", f"too old resource version: {rv} ({rv + 1})")


class Watch(Stream):
    """A running watch. ``offer`` takes changes in, ``run`` writes them out."""

    malformed = b'{"type":"MODIFIED","object":{"kind":\n'

    def __init__(
        self,
        res: Resource,
        namespace: str | None,
        labels: Selector,
        fields: FieldSelector,
        *,
        encode: Callable[[Object], bytes] | None,
    ) -> None:
        """``encode`` is for clients that want another form of the object; None: JSON, shared with other watches."""
        super().__init__(res.plural, namespace)
        self.res, self.labels, self.fields, self._encode = res, labels, fields, encode
        self._after = 0  # versions up to this one have been seen

    def begin(self, rv: int, state: list[Object] | None = None) -> None:
        """Sends what comes after this version, and before that ``state``, for a client that has none."""
        for obj in state or ():
            self._add(line("ADDED", self._encode(obj) if self._encode else msgspec.json.encode(obj)))
        self._after = rv

    def offer(self, change: Change) -> None:
        """Makes a line of a committed change if it concerns what this watch selects."""
        if change.rv <= self._after or self._stalled or self._ending:
            return
        metadata = change.object["metadata"]
        if self.namespace is not None and metadata.get("namespace") != self.namespace:
            return
        was = self._matches(change.object if change.previous is None else change.previous)
        before = was and (change.previous is not None or change.type == "DELETED")
        after = change.type != "DELETED" and self._matches(change.object)
        if not before and not after:
            return
        left = before and not after and change.type != "DELETED"  # it is still there, but selected no longer
        event = "DELETED" if not after else "MODIFIED" if before else "ADDED"
        encoded = change.encoded_previous if left else change.encoded
        self._add(line(event, self._encode(msgspec.json.decode(encoded)) if self._encode else encoded))
        if len(self._pending) > BACKLOG:
            self._ending = True
        self._wake.set()

    async def run(
        self, response: web.StreamResponse, version: Callable[[], int], seconds: float, bookmarks: float | None
    ) -> bool:
        """Writes until the watch ends, at the latest after ``seconds``, with a bookmark every ``bookmarks`` seconds.

        Returns False where the connection is to be cut, in place of an orderly end.
        """
        time = asyncio.get_running_loop().time
        end = time() + seconds
        bookmark = time() + bookmarks if bookmarks else end
        while True:
            self._wake.clear()  # first, so that what arrives during a write is not forgotten
            if not self._stalled and not await self._flush(response):
                return False
            if not self._stalled and ((self._ending and not self._pending) or time() >= end):
                return True
            if time() >= bookmark and bookmarks and not self._stalled:
                bookmark += bookmarks
                self._add(self._bookmark(version()))
                continue
            late = self._pending[0][0] if self._pending else end
            with suppress(TimeoutError):
                async with asyncio.timeout_at(None if self._stalled else min(bookmark, end, late)):
                    await self._wake.wait()

    def _last_word(self) -> bytes:
        return error_line(expired(self._after))

    def _matches(self, obj: Object) -> bool:
        return self.labels.matches(obj["metadata"].get("labels")) and self.fields.matches(obj)

    def _bookmark(self, rv: int) -> bytes:
        head = {"kind": self.res.kind, "apiVersion": self.res.api_version, "metadata": {"resourceVersion": str(rv)}}
        return line("BOOKMARK", msgspec.json.encode(head | _BOOKMARKS.get(self.resource, {})))

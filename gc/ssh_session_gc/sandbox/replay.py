"""A recording of a real cluster, served again: every object as it was, at its time, over the same API server.

Knows the form of the recordings (tests/data). Simulates nothing: no kubelet runs, so a Pod that is deleted stays,
with its deletionTimestamp, and later lines of the recording about it are skipped.
"""

import asyncio
import json
import ssl
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from ssh_session_gc.sandbox.api.authorization import Identity
from ssh_session_gc.sandbox.api.faults import Faults
from ssh_session_gc.sandbox.api.objects import DEPLOYMENTS, NAMESPACES, PODS, Change, ChangeType, Object
from ssh_session_gc.sandbox.api.server import ApiServer
from ssh_session_gc.sandbox.api.storage import Store

STREAMS = {"deployment": DEPLOYMENTS, "owner-pods": PODS, "session-pods": PODS}
STAMP = "ssh-session-gc/owner-pod-"


class Recorded(NamedTuple):
    """One change of a recording; ``at`` is in seconds from its start."""

    at: float
    stream: str
    type: ChangeType | Literal["BOOKMARK"]
    object: Object


class Replay:
    """Serves one recording from its beginning, on the event loop's clock. Use as an async context manager."""

    def __init__(
        self,
        path: Path,
        *,
        strip_stamp: bool = False,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        tokens: Mapping[str, Identity] | None = None,
    ) -> None:
        """``strip_stamp`` drops the annotations that name a session's creator. Raises OSError, and ValueError where
        the file is no recording."""
        entries = [json.loads(line) for line in path.read_text().splitlines() if line]
        if not entries or "wall" not in entries[0]:
            raise ValueError(f"{path.name} is no recording: its first line has no wall clock")
        loop = asyncio.get_running_loop()
        self.began = datetime.fromisoformat(entries[0]["wall"]).timestamp()
        """Epoch seconds of the recording's start."""
        start = loop.time()
        self.store = Store(lambda: self.began + loop.time() - start)
        self.faults = Faults()
        self.server = ApiServer(self.store, faults=self.faults, tls=tls, tokens=tokens)
        self.deleted: dict[str, float] = {}
        """The time (epoch seconds) at which each Pod, by uid, was deleted through the API."""
        self._strip, self._port = strip_stamp, port
        self._pending = list(self._read(entries))
        self.length = float(entries[-1]["t"])
        """Seconds from the first line to the last."""
        self._replaying = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        for namespace in ("ssh-sessions", "containerssh"):
            self.store.create(NAMESPACES, None, {"metadata": {"name": namespace}})
        self.store.subscribe(self._heard)
        while self._pending and self._pending[0].at <= 0:
            self._put(self._pending.pop(0))
        await self.server.start(port=self._port)
        self._task = asyncio.create_task(self._run(), name="replay")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.server.stop()

    def sessions(self) -> list[Object]:
        """The session Pods that are there now."""
        return self.store.list(PODS, "ssh-sessions")

    async def _run(self) -> None:
        while self._pending:
            await asyncio.sleep(max(0.0, self.began + self._pending[0].at - self.store.now()))
            while self._pending and self.began + self._pending[0].at <= self.store.now():
                self._put(self._pending.pop(0))

    def _read(self, entries: list[dict[str, Any]]) -> Iterator[Recorded]:
        # The lists were made in the recording's first moments and show what was there before it. Their objects go in
        # by version, so that each can keep its own.
        lists = [entry for entry in entries if "list" in entry]
        before = [(entry["stream"], item) for entry in lists for item in entry["list"]["items"]]
        for stream, item in sorted(before, key=lambda each: int(each[1]["metadata"]["resourceVersion"])):
            yield Recorded(0.0, stream, "ADDED", self._object(item))
        for entry in lists:
            yield Recorded(0.0, entry["stream"], "BOOKMARK", {"metadata": entry["list"]["metadata"]})
        for entry in entries:
            if "event" in entry:
                yield Recorded(
                    entry["t"], entry["stream"], entry["event"]["type"], self._object(entry["event"]["object"])
                )

    def _object(self, recorded: Object) -> Object:
        annotations = recorded["metadata"].get("annotations")
        if self._strip and annotations:
            kept = {name: text for name, text in annotations.items() if not name.startswith(STAMP)}
            return recorded | {"metadata": recorded["metadata"] | {"annotations": kept}}
        return recorded

    def _put(self, entry: Recorded) -> None:
        metadata = entry.object["metadata"]
        if entry.type == "BOOKMARK":
            self.store.advance_rv(int(metadata["resourceVersion"]))
        elif metadata["uid"] not in self.deleted:
            self._replaying = True
            # Deletions here have moved the version on; the recording's versions go on from there.
            version = max(self.store.rv + 1, int(metadata["resourceVersion"]))
            versioned = entry.object | {"metadata": metadata | {"resourceVersion": str(version)}}
            exact = version == int(metadata["resourceVersion"])
            self.store.put_raw(entry.type, STREAMS[entry.stream], entry.object if exact else versioned)
            self._replaying = False

    def _heard(self, change: Change) -> None:
        metadata = change.object["metadata"]
        gone = change.type == "DELETED" or "deletionTimestamp" in metadata
        if gone and not self._replaying and change.resource is PODS:
            self.deleted.setdefault(metadata["uid"], self.store.now())

"""The logs of containers over HTTP, ``pods/log``: parameters, refusals, and the lines as they come.

Knows what an API server checks and what a kubelet then answers, in the words of the recordings in tests/data, and
where these say nothing, in those of Kubernetes' sources. Where the lines come from, the node knows.
"""

import asyncio
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from aiohttp import web

from ssh_session_gc.sandbox.api.faults import Fault, Faults
from ssh_session_gc.sandbox.api.listeners import Listeners
from ssh_session_gc.sandbox.api.objects import NODES, Object
from ssh_session_gc.sandbox.api.refusals import Refusal, not_found
from ssh_session_gc.sandbox.api.request import Target
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.api.stream import Stream
from ssh_session_gc.sandbox.api.strikes import cut, hang

_RFC3339 = "2006-01-02T15:04:05Z07:00"
_PARTS = (
    *(("2006", r"\d{4}"), ("-", "-"), ("01", r"\d\d"), ("-", "-"), ("02", r"\d\d"), ("T", "T"), ("15", r"\d\d")),
    *((":", ":"), ("04", r"\d\d"), (":", ":"), ("05", r"\d\d(?:[.,]\d+)?"), ("Z07:00", r"Z|[+-]\d\d:\d\d")),
)
"""The parts of a time, as Go calls them."""
_PULL = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}
"""What a container waits for, where a kubelet has other words for it than the reason."""


class Line(Protocol):
    """One line, without its end."""

    @property
    def at(self) -> float:
        """The node's clock, in seconds since the epoch."""

    @property
    def text(self) -> bytes:
        """The line."""

    @property
    def stamp(self) -> str:
        """``at`` as RFC 3339 with nine digits after the point."""


class Log(Protocol):
    """What one run of a container wrote."""

    @property
    def now(self) -> Callable[[], float]:
        """The node's clock."""

    @property
    def lines(self) -> Sequence[Line]:
        """The lines so far."""

    @property
    def oldest(self) -> int:
        """Which of them is the first that whoever begins to read gets: those before it are in older files."""

    @property
    def ended(self) -> bool:
        """Whether no more lines come."""

    @property
    def changed(self) -> Listeners[Any]:
        """Told after each line, at the end, and when the node answers again."""


class Node(Protocol):
    """A node, as one asks it for logs."""

    @property
    def answers(self) -> bool:
        """Whether the API server reaches it."""

    def log(self, pod: Object, container: str, *, previous: bool) -> Log | None:
        """What the container's latest run wrote, or the one that ended before; None where there was none."""


Nodes = Callable[[str], Node | None]
"""The node of this name."""


def unknown(_: str) -> None:
    """No node at all."""


@dataclass(frozen=True, slots=True)
class Options:
    """The parameters of a request."""

    container: str
    follow: bool
    previous: bool
    timestamps: bool
    since_time: float | None  # epoch seconds, whole
    since_seconds: int | None
    tail_lines: int | None
    limit_bytes: int | None

    @classmethod
    def of(cls, query: Mapping[str, str], pod: str) -> "Options":
        """The parameters in a query. Raises Refusal 400, and 422 where they contradict each other."""
        options = cls(
            container=query.get("container", ""),
            follow=_flag(query, "follow"),
            previous=_flag(query, "previous"),
            timestamps=_flag(query, "timestamps"),
            since_time=_time(query["sinceTime"]) if query.get("sinceTime") else None,
            since_seconds=_number(query, "sinceSeconds"),
            tail_lines=_number(query, "tailLines"),
            limit_bytes=_number(query, "limitBytes"),
        )
        if causes := list(options._causes()):
            raise _invalid(pod, causes)
        return options

    def _causes(self) -> list[Object]:
        causes = []
        if self.tail_lines is not None and self.tail_lines < 0:
            causes.append(_cause("tailLines", self.tail_lines, "must be greater than or equal to 0"))
        if self.limit_bytes is not None and self.limit_bytes < 1:
            causes.append(_cause("limitBytes", self.limit_bytes, "must be greater than 0"))
        if self.since_seconds is not None and self.since_time is not None:
            message = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
            causes.append({"reason": "FieldValueForbidden", "message": message, "field": "[]"})
        elif self.since_seconds is not None and self.since_seconds < 1:
            causes.append(_cause("sinceSeconds", self.since_seconds, "must be greater than 0"))
        return causes


class LogStream(Stream):
    """The lines of a log on their way to one client."""

    malformed = b'\x00\xff{"timestamp":\n'

    def __init__(self, namespace: str | None, node: Node, log: Log, options: Options) -> None:
        super().__init__("pods/log", namespace)
        self._node, self._log, self._options = node, log, options
        self._end = math.inf if options.follow else len(log.lines)
        # The last lines are counted first, and then those that are too old left out, as kubelets do.
        tail = log.oldest if options.tail_lines is None else len(log.lines) - options.tail_lines
        self._next = max(log.oldest, tail)
        self._since = options.since_time
        if options.since_seconds is not None:
            self._since = log.now() - options.since_seconds
        self._left = options.limit_bytes

    async def run(self, response: web.StreamResponse) -> bool:
        """Writes until the log or the client's interest ends. Returns False where the connection is to be cut."""
        unsubscribe = self._log.changed.subscribe(lambda _: self._wake.set())
        try:
            while True:
                self._wake.clear()
                over = self._take()
                if not self._stalled:
                    if not await self._flush(response):
                        return False
                    if not self._pending and (over or self._ending):
                        return True
                late = self._pending[0][0] if self._pending and not self._stalled else None
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(late):
                        await self._wake.wait()
        finally:
            unsubscribe()

    def _take(self) -> bool:
        """Takes the lines that are new. Returns whether no more will come."""
        if not self._node.answers or self._stalled or self._ending:
            return False
        while self._next < min(len(self._log.lines), self._end) and self._left != 0:
            line = self._log.lines[self._next]
            self._next += 1
            if self._since is None or line.at >= self._since:
                stamp = f"{line.stamp} ".encode() if self._options.timestamps else b""
                written = (stamp + line.text + b"\n")[: self._left]
                self._left = None if self._left is None else self._left - len(written)
                self._add(written)
        return self._left == 0 or self._next >= self._end or self._log.ended


class Logs:
    """The logs that one server serves."""

    def __init__(self, store: Store, faults: Faults, nodes: Nodes) -> None:
        self._store, self._faults, self._nodes = store, faults, nodes
        self._followed: dict[LogStream, None] = {}

    def __len__(self) -> int:
        return len(self._followed)

    async def serve(
        self, request: web.Request, target: Target, fault: Fault | None, told: Callable[[int], None]
    ) -> web.StreamResponse:
        """Answers with a log; tells ``told`` the status once it is sent. Raises Refusal: 400, 404, 422."""
        options = Options.of(request.query, target.name)
        pod = self._store.get(target.res, target.namespace, target.name)
        container = _container(pod, options.container)
        if not (name := pod["spec"].get("nodeName")):
            told(204)
            return web.Response(status=204)
        if (node := self._nodes(name)) is None:
            raise not_found(NODES, name)
        if not node.answers:
            told(0)
            await hang()
        log = node.log(pod, container, previous=options.previous)
        if log is None:
            raise _without_log(pod, container, options.previous)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        response.enable_chunked_encoding()
        try:
            await response.prepare(request)
        except ConnectionResetError:  # the client has left already
            return response
        told(200)
        await self._write(request, response, LogStream(target.namespace, node, log, options), fault)
        return response

    async def _write(
        self, request: web.Request, response: web.StreamResponse, stream: LogStream, fault: Fault | None
    ) -> None:
        if fault is not None:
            stream.strike(fault)
        self._followed[stream] = self._faults.watches[stream] = None
        try:
            if not await stream.run(response):
                cut(request)
                await hang()
        finally:
            self._followed.pop(stream, None)
            self._faults.watches.pop(stream, None)


def _container(pod: Object, wanted: str) -> str:
    """The name of the container that is meant. Raises Refusal 400."""
    spec, pod_name = pod["spec"], pod["metadata"]["name"]
    names = [each["name"] for each in spec.get("containers", ())]
    first = [each["name"] for each in spec.get("initContainers") or ()]
    if not wanted and len(names) == 1:
        return str(names[0])
    if not wanted:
        message = f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(names)}]"
        message += f" or one of the init containers: [{' '.join(first)}]" if first else ""
        raise Refusal(400, "BadRequest", message)
    if wanted not in (*names, *first):
        raise Refusal(400, "BadRequest", f"container {wanted} is not valid for pod {pod_name}")
    return wanted


def _without_log(pod: Object, container: str, previous: bool) -> Refusal:
    """400 for a container that has written nothing, as its kubelet words it."""
    status = pod.get("status", {})
    statuses = [*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ())]
    found = next((each for each in statuses if each["name"] == container), None)
    what = f'container "{container}" in pod "{pod["metadata"]["name"]}"'
    if found is None:
        message = f"{what} is not available"
    elif previous:
        message = f"previous terminated {what} not found"
    elif "waiting" in found.get("state", {}):
        reason = found["state"]["waiting"].get("reason", "")
        message = f"{what} is waiting to start: {_PULL.get(reason, reason)}"
    elif "terminated" in found.get("state", {}):
        message = f"{what} is terminated"
    else:
        message = f"{what} is waiting to start - no logs yet"
    return Refusal(400, "BadRequest", message)


def _invalid(pod: str, causes: Sequence[Object]) -> Refusal:
    worded = [f"{cause['field']}: {cause['message']}" for cause in causes]
    listed = worded[0] if len(worded) == 1 else f"[{', '.join(worded)}]"
    message = f'PodLogOptions "{pod}" is invalid: {listed}'
    return Refusal(422, "Invalid", message, {"name": pod, "kind": "PodLogOptions", "causes": list(causes)})


def _cause(field: str, value: int, why: str) -> Object:
    return {"reason": "FieldValueInvalid", "message": f"Invalid value: {value}: {why}", "field": field}


def _flag(query: Mapping[str, str], key: str) -> bool:
    return query.get(key, "false").lower() not in ("false", "0")


def _number(query: Mapping[str, str], key: str) -> int | None:
    if not (text := query.get(key)):
        return None
    if not re.fullmatch(r"[+-]?\d+", text, re.ASCII):
        raise Refusal(400, "BadRequest", f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def _time(text: str) -> float:
    """A time in whole seconds, for that is how it reaches the kubelet. Raises Refusal 400 in Go's words."""
    rest = text
    for part, pattern in _PARTS:
        if (found := re.match(pattern, rest, re.ASCII)) is None:
            raise Refusal(
                400, "BadRequest", f'parsing time "{text}" as "{_RFC3339}": cannot parse "{rest}" as "{part}"'
            )
        rest = rest[found.end() :]
    if rest:
        raise Refusal(400, "BadRequest", f'parsing time "{text}": extra text: "{rest}"')
    try:
        return datetime.fromisoformat(re.sub(r"[.,]\d+", "", text)).timestamp()
    except ValueError:
        raise Refusal(400, "BadRequest", f'parsing time "{text}": day out of range') from None

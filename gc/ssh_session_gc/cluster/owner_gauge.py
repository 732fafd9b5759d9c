"""The source of what owners count: the metrics of each owner that runs, asked for at its Pod's address.

Knows whom to ask, when, and what of an answer may be believed. Does not know the names of the metrics
(``containerssh.gauge``) or what follows from a count (``core.gauge``). Nobody waits for this source, and a count that
does not come says nothing.

Whatever listens on that port is asked: it gets no credentials, its redirects are not followed, and neither its size
nor its slowness costs more than the limits here.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp

from ssh_session_gc.cluster.connections import Connections
from ssh_session_gc.cluster.owner_pods import OwnerPods
from ssh_session_gc.cluster.sessions import SessionPods
from ssh_session_gc.cluster.source import Report
from ssh_session_gc.containerssh.gauge import LONGEST_ANSWER, PATH, parse
from ssh_session_gc.core.connections import untold
from ssh_session_gc.core.gauge import Count, Idle, counted
from ssh_session_gc.core.model import Incarnation, OwnerState, Run
from ssh_session_gc.kube.errors import one_line
from ssh_session_gc.kube.listeners import Listeners
from ssh_session_gc.kube.servertime import ServerTime
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics, Stream

PAUSE = 15.0
"""Seconds between two questions to an owner, at the least."""
PATIENCE = 5.0
"""Seconds for a whole answer."""
AT_ONCE = 16
"""Owners that are asked at the same time."""
_HINT = "is metrics.enable on in ContainerSSH, on this port, and may we reach it? retrying; what it counts is unknown"


class Uncounted(Exception):
    """There is no count: one line that says why. ``cause`` is the metric's."""

    def __init__(self, cause: str, why: str) -> None:
        super().__init__(why)
        self.cause = cause


@asynccontextmanager
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """What owners are asked with."""
    connector = aiohttp.TCPConnector(limit=AT_ONCE, force_close=True)
    # Neither a proxy nor a cookie: nothing but the Pod itself may answer.
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
    ) as made:
        yield made


async def ask(http: aiohttp.ClientSession, owner: Incarnation, port: int) -> Count:
    """What an owner counts now. Raises Uncounted."""
    where = f"[{owner.address}]" if ":" in owner.address else owner.address
    url, who = f"http://{where}:{port}{PATH}", f"the metrics of {owner.pod} on port {port}"
    if not owner.address:
        raise Uncounted("broken", f"{owner.pod} has no address")
    try:
        async with asyncio.timeout(PATIENCE), http.get(url, headers=_HEADERS, allow_redirects=False) as response:
            if response.status != 200:
                raise Uncounted("refused", f"{who}: status {response.status}")
            if "Age" in response.headers:
                raise Uncounted("refused", f"{who}: a cache answered for it")
            # Without its length, half an answer would look like a whole one.
            whole = response.content_length is not None or "Transfer-Encoding" in response.headers
            body = bytearray()
            while whole and len(body) <= LONGEST_ANSWER and (more := await response.content.readany()):
                body += more
            kind = response.headers.get("Content-Type", "")
    except TimeoutError:
        raise Uncounted("broken", f"{who} did not come in time") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Uncounted("broken", f"{who} cannot be read: {one_line(error)}") from None
    count = parse(bytes(body), kind) if whole and len(body) <= LONGEST_ANSWER else None
    if count is None:
        raise Uncounted("malformed", f"{who} are not ContainerSSH's")
    return count


_HEADERS = {
    "Accept": "application/openmetrics-text, text/plain",
    "Accept-Encoding": "identity",
    "Cache-Control": "no-cache",  # a count from before would be one of another moment
    "User-Agent": "ssh-session-gc",
}


class Answer(NamedTuple):
    """What an owner counted, and when it was asked and answered."""

    counts: Count
    asked: float
    came: float


class OwnerGauge:
    """Asks the owners once in a while, as long as there are sessions whose end nothing else would tell."""

    stream = Stream.OWNER_METRICS

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        time: ServerTime,
        sessions: SessionPods,
        owners: OwnerPods,
        connections: Connections,
    ) -> None:
        self._port, self._metrics, self._time = settings.owner_metrics_port, metrics, time
        self._sessions, self._owners, self._connections = sessions, owners, connections
        self._report = Report(self.stream, metrics)
        self.changes: Listeners[None] = Listeners()
        """Told when ``idle`` has changed."""
        self.idle: dict[Run, Idle] = {}
        """When nobody was connected to whom; only of those who have nobody at present. Replaced, never changed."""
        self._moved = False
        """Whether the clock has moved since the present round began."""
        if settings.owner_metrics_port and settings.policy.ownerless:
            metrics.synced(self.stream, synced=False)

    async def follow(self) -> None:
        """Asks until cancelled."""
        async with client() as http:
            while True:
                owners, self._moved = self._to_ask(), False
                answers = await asyncio.gather(*(self._ask(http, owner) for owner in owners))
                self._settle(() if self._moved else zip(owners, answers, strict=True))
                if self._owners.has_synced and None not in answers:
                    self._report.restored()
                await asyncio.sleep(PAUSE)

    def clock_moved(self) -> None:
        """Forgets what was dated by the API server's clock, which was set, and what is being asked."""
        self._moved = True
        self._replace({})

    def _to_ask(self) -> Sequence[Incarnation]:
        said = self._connections.of
        needed = any(untold(session, said(uid)) for uid, session in self._sessions.by_uid.items())
        return [owner for owner in self._owners.known.owners if owner.state is OwnerState.RUNNING] if needed else ()

    async def _ask(self, http: aiohttp.ClientSession, owner: Incarnation) -> Answer | None:
        """Asks one owner; None where it says nothing that counts."""
        asked = self._time.now()
        try:
            count = await ask(http, owner, self._port)
        except Uncounted as error:
            self._report.interrupted(error.cause, str(error), _HINT)
            self._report.lost()
            return None
        came = self._time.now()
        self._metrics.event(self.stream, came)
        return Answer(count, asked, came)

    def _settle(self, answers: Iterable[tuple[Incarnation, Answer | None]]) -> None:
        """Takes in what came of a round. Of whoever has ended, or restarted, meanwhile nothing is kept: it may have
        been asked before or after that."""
        alive = {owner.run for owner in self._owners.known.owners if owner.alive}
        idle = {run: stretch for run, stretch in self.idle.items() if run in alive}
        for owner, answer in answers:
            if answer is not None and owner.run in alive:
                stretch = counted(idle.pop(owner.run, None), *answer)
                if stretch is not None:
                    idle[owner.run] = stretch
        self._replace(idle)

    def _replace(self, idle: dict[Run, Idle]) -> None:
        if idle != self.idle:
            self.idle = idle
            self.changes.tell(None)

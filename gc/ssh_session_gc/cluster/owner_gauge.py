"""The source of what owners count: the metrics of each owner that runs, asked for at its Pod's address.

Knows whom to ask, when, and what of an answer may be believed. Does not know the names of the metrics
(``containerssh.gauge``) or what follows from a count (``core.gauge``). Nobody waits for this source, and a count that
does not come says nothing.

Whatever listens on that port is asked: it gets no credentials, its redirects are not followed, and neither its size
nor its slowness costs more than the limits here.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

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
        if settings.owner_metrics_port and settings.policy.ownerless:
            metrics.synced(self.stream, synced=False)

    async def follow(self) -> None:
        """Asks until cancelled."""
        async with client() as http:
            while True:
                answers = await asyncio.gather(*(self._ask(http, owner) for owner in self._to_ask()))
                if self._owners.has_synced and all(answers):
                    self._report.restored()
                await asyncio.sleep(PAUSE)

    def clock_moved(self) -> None:
        """Forgets what was dated by the API server's clock, which was set."""
        self._settle({})

    def _to_ask(self) -> Sequence[Incarnation]:
        said = self._connections.of
        needed = any(untold(session, said(uid)) for uid, session in self._sessions.by_uid.items())
        running = [owner for owner in self._owners.known.owners if owner.state is OwnerState.RUNNING]
        alive = {owner.run for owner in self._owners.known.owners if owner.alive}
        self._settle({run: idle for run, idle in self.idle.items() if run in alive})
        return running if needed else ()

    async def _ask(self, http: aiohttp.ClientSession, owner: Incarnation) -> bool:
        """Asks one owner. Returns whether it said anything that counts."""
        asked = self._time.now()
        try:
            count = await ask(http, owner, self._port)
        except Uncounted as error:
            self._report.interrupted(error.cause, str(error), _HINT)
            self._report.lost()
            return False
        came, run = self._time.now(), owner.run
        self._metrics.event(self.stream, came)
        # One that has restarted meanwhile may have been asked before or after it.
        if any(each.run == run and each.alive for each in self._owners.known.owners):
            idle = counted(self.idle.get(run), count, asked, came)
            others = {each: stretch for each, stretch in self.idle.items() if each != run}
            self._settle(others if idle is None else {**others, run: idle})
        return True

    def _settle(self, idle: dict[Run, Idle]) -> None:
        if idle != self.idle:
            self.idle = idle
            self.changes.tell(None)

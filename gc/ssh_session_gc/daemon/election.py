"""Takes part in the election of a leader, by a Lease, and tells for how long one may act as the leader.

Knows how to take, renew and give back the lease, and what to do when that fails. The rules are ``core.election``'s.
Written here rather than taken from kubernetes_asyncio, whose module lets a connection error escape, waits for a
renewal for ever, goes by the wall clock and never gives a lease back.
"""

import asyncio
import math
import os
import socket
import uuid
from collections.abc import Callable

import msgspec
import structlog

from ssh_session_gc.core.election import (
    RENEW_DEADLINE,
    RENEW_EVERY,
    RETRY_EVERY,
    Lease,
    Seen,
    given_back,
    holder,
    may_take,
    taken,
)
from ssh_session_gc.core.text import printable
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.errors import ApiError, Unreachable
from ssh_session_gc.kube.listeners import Listeners
from ssh_session_gc.kube.resources import LEASES
from ssh_session_gc.kube.sleep import slept
from ssh_session_gc.settings import LeaseRef

log = structlog.stdlib.get_logger()

PATIENCE = 3.0
"""Seconds for one request: a renewal that hangs leaves time for others before the deadline."""
FAREWELL = 1.0
"""Seconds to give the lease back when the program stops."""


class Elector:
    """Takes part in the election. Without one it leads for ever, otherwise while it can renew its lease."""

    def __init__(self, api: Api, ref: LeaseRef | None) -> None:
        self._api, self._ref = api, ref
        self._time = asyncio.get_running_loop().time
        self.identity = f"{os.environ.get('HOSTNAME') or socket.gethostname()}_{uuid.uuid4()}"
        """Who we are, in the lease; another one after each start."""
        self._until = math.inf if ref is None else -math.inf
        self._slept = 0.0
        """What this machine had slept when the last renewal that succeeded was asked for."""
        self._seen: Seen | None = None
        self._news = News(ref, self.identity)

    @property
    def until(self) -> float:
        """The local time (``loop.time()``) up to which nobody else can be the leader; infinity without election. If
        this machine sleeps before, that clock stands still and others begin."""
        return self._until

    def subscribe(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        """Has the listener told whenever we begin or cease to lead. Returns what ends that."""
        return self._news.turns.subscribe(listener)

    def leads(self) -> bool:
        """Whether we may act now. Whoever has slept may not, until the lease was renewed: it may be another's."""
        return self._time() < self._until and (self._ref is None or not slept(self._slept, self._api.time.asleep()))

    async def run(self) -> None:
        """Takes part until cancelled."""
        if self._ref is None:
            self._tell()
            return
        while True:
            self._tell()  # that our time has ended, where we slept through its end
            sent, asleep = self._time(), self._api.time.asleep()
            try:
                async with asyncio.timeout(PATIENCE):
                    ours = await self._try(self._ref)
            except (ApiError, Unreachable, TimeoutError, msgspec.DecodeError) as error:
                self._news.trouble(error, leading=self.leads())
            else:
                self._news.all_is_well()
                # From when it was asked for: the server may have written it at once and answered late.
                self._until = sent + RENEW_DEADLINE if ours else -math.inf
                self._slept = asleep
            self._tell()
            led = self._news.leading
            pause = RENEW_EVERY if led else RETRY_EVERY
            # A leader that cannot renew must notice the end of its time, not only when it next tries.
            await asyncio.sleep(max(0.05, min(pause, self._until - self._time()) if led else pause))

    async def give_back(self) -> None:
        """Gives the lease back, if we have it: somebody else can go on at once."""
        if self._ref is None or self._seen is None or not self.leads():
            return
        self._until = -math.inf
        lease = given_back(self._seen.lease, self._api.time.now())
        try:
            async with asyncio.timeout(FAREWELL):
                await self._api.request("update", LEASES, self._ref.namespace, self._ref.name, body=lease)
        except (ApiError, Unreachable, TimeoutError) as error:
            log.info("lease_not_given_back", error=str(error), hint="others take over when it has run out")
        else:
            log.info("lease_given_back", lease=str(self._ref))

    async def _try(self, ref: LeaseRef) -> bool:
        """Takes or renews the lease. Returns whether it is ours now."""
        if self._seen is not None and self.leads():
            return await self._write(ref, self._seen.lease)
        try:
            found = await self._request("get", ref, ref.name)
        except ApiError as error:
            if not error.not_found:
                raise
            found = None
        now = self._time()
        if found is not None:
            self._seen = self._seen.again(found, now) if self._seen else Seen(found, now)
        # A lease that somebody deleted is still the holder's until it would have run out.
        if self._seen is not None and not may_take(self._seen, self.identity, now):
            return False
        return await self._write(ref, found)

    async def _write(self, ref: LeaseRef, found: Lease | None) -> bool:
        """Writes it as ours. Returns whether nobody else wrote it meanwhile."""
        lease = taken(found, ref.name, self.identity, self._api.time.now())
        try:
            verb, name = ("create", "") if found is None else ("update", ref.name)
            self._seen = Seen(await self._request(verb, ref, name, lease), self._time())
        except ApiError as error:
            if error.code == 409:
                # Somebody wrote it: maybe we, with an answer that was lost. A look tells.
                self._seen = Seen(await self._request("get", ref, ref.name), self._time())
            elif not error.not_found:
                raise
            return False
        return True

    async def _request(self, verb: str, ref: LeaseRef, name: str, body: Lease | None = None) -> Lease:
        answer = await self._api.request(verb, LEASES, ref.namespace, name, body=body)
        return msgspec.json.decode(answer, type=Lease)

    def _tell(self) -> None:
        self._news.tell(leading=self.leads(), leader=holder(self._seen.lease) if self._seen else None)


class News:
    """Says what is new of the election: who leads, and why the lease cannot be had."""

    def __init__(self, ref: LeaseRef | None, identity: str) -> None:
        self._ref, self._identity = ref, identity
        self.turns: Listeners[bool] = Listeners()
        self.leading = False
        self._leader: str | None = None
        self._troubles: set[str] = set()
        """The kinds of trouble that were logged since all was well."""

    def tell(self, *, leading: bool, leader: str | None) -> None:
        """Says who leads, where that is new."""
        if leading != self.leading:
            self.leading = leading
            if self._ref is not None:
                log.info("leading" if leading else "not_leading", lease=str(self._ref), identity=self._identity)
            self.turns.tell(leading)
        if not leading and leader and leader not in (self._leader, self._identity):
            log.info("standing_by", lease=str(self._ref), leader=printable(leader))
        self._leader = leader

    def trouble(self, error: Exception, *, leading: bool) -> None:
        """Says that the lease cannot be had, once for each kind of reason."""
        why = str(error) or "the API server did not answer in time"
        if isinstance(error, ApiError) and error.forbidden:
            why = f"{why}; grant get, create and update on leases in namespace {self._ref and self._ref.namespace}"
        kind = str(error.code) if isinstance(error, ApiError) else "unreachable"
        if kind not in self._troubles:
            self._troubles.add(kind)
            log.warning("lease_unavailable", lease=str(self._ref), error=why, leading=leading)

    def all_is_well(self) -> None:
        """Has trouble said anew when it comes back."""
        self._troubles.clear()

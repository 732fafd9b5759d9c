"""When each session is to be looked at next: the last verdict on it, its due, and what keeps it back.

Knows the words of a workqueue: what is due, what is being processed, what backs off. Does not know what is done with
a session whose time has come (``validation``, ``workers``), or why all of them may have to wait (``holds``).
"""

import asyncio
import math
import random
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ssh_session_gc.cluster.cluster import Cluster
from ssh_session_gc.core.model import Reason, Session, Verdict
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import judge
from ssh_session_gc.daemon.timers import Timers
from ssh_session_gc.kube.servertime import ServerTime

RETRY = 15.0
"""Seconds for which a session backs off whose deletion failed, or whose owners could not be read."""
EARLY = 0.002
"""Seconds before a due at which a long sleep ends, to be followed by a short one: long timers fire late."""


class Settled(NamedTuple):
    """What needs no second time for a while: a deletion that was accepted, or announced in a dry run."""

    reasons: tuple[Reason | None, ...]
    """Those of the verdict that was acted upon and of the one by what the streams know, which may be behind."""
    force: bool
    version: str | None
    """The resourceVersion that was deleted; None for any. What an accepted deletion makes of it has a
    ``deletionTimestamp``: another version without one is of a cluster that knows nothing of that deletion."""
    until: float
    """The moment of our own clock until which this stands."""

    def stands(self, session: Session, verdict: Verdict) -> bool:
        """Whether it was this verdict, and this Pod does not speak against it."""
        same = verdict.reason in self.reasons and self.force == verdict.force
        return same and (self.version in (None, session.resource_version) or session.deletion is not None)


class Queue:
    """The sessions, each with its verdict. More attributes than most, since whatever the daemon keeps of a session
    between two looks is kept, and forgotten, here."""

    def __init__(self, cluster: Cluster, time: ServerTime, policy: Policy) -> None:
        self._cluster, self._time, self._policy = cluster, time, policy
        self.verdicts: dict[str, Verdict] = {}
        """The last verdict on each session, by uid."""
        self._timers = Timers()
        self.processing: set[str] = set()
        """Sessions that were taken and not released yet."""
        self.backoff: dict[str, float] = {}
        """Sessions that are not to be taken before this moment of our own clock (``loop.time()``), which nobody
        sets."""
        self.settled: dict[str, Settled] = {}
        """What is done about a session, as far as we know."""
        self.refusals: dict[str, int] = {}
        """How many turns in a row came to nothing, as the session changed each time it was to be deleted."""
        self._local = asyncio.get_running_loop().time
        self._woken = asyncio.Event()

    def __len__(self) -> int:
        """How many sessions wait for their time."""
        return len(self._timers)

    def judge_all(self) -> None:
        """Judges all sessions anew."""
        if sessions := self._cluster.sessions.by_uid:  # before the first of them nobody may have told the time
            owners, now = self._cluster.owners, self._time.now()
            for session in sessions.values():
                self._judge(session, owners, now)

    def judge(self, session: Session) -> None:
        """Judges one session anew and sets its timer."""
        self._judge(session, self._cluster.owners, self._time.now())

    def forget(self, uid: str) -> None:
        """Keeps nothing of a session that is gone. One that is being processed is forgotten when it is released."""
        for per_session in (self.verdicts, self.backoff, self.settled, self.refusals):
            per_session.pop(uid, None)
        self._timers.cancel(uid)

    def take(self) -> Iterator[str]:
        """The sessions whose time has come, the earliest first. They are being processed until they are released."""
        if self._timers:  # before the first of them nobody may have told the time
            for uid in self._timers.take(self._time.now()):
                self.processing.add(uid)
                yield uid

    def release(self, uids: Iterable[str], wait: float = 0.0) -> None:
        """Ends the processing of these sessions. They are not taken for ``wait`` seconds and a little more."""
        for uid in uids:
            self.processing.discard(uid)
            if session := self._cluster.sessions.by_uid.get(uid):
                if wait:
                    self.backoff[uid] = self._local() + wait * random.uniform(1.0, 1.2)  # noqa: S311
                else:
                    self.backoff.pop(uid, None)
                    self.refusals.pop(uid, None)
                self.judge(session)

    def settle(self, uid: str, verdict: Verdict, version: str | None = None, wait: float = math.inf) -> None:
        """Does not take this session again for the same verdict, for so many seconds and as long as its Pod is of
        this version. It may be gone already."""
        if uid in self._cluster.sessions.by_uid:
            reasons = verdict.reason, self.verdicts[uid].reason
            self.settled[uid] = Settled(reasons, verdict.force, version, self._local() + wait)

    def refused(self, uid: str) -> int:
        """Counts one more turn that came to nothing. Returns how many there were in a row."""
        times = self.refusals.get(uid, 0) + 1
        if uid in self._cluster.sessions.by_uid:
            self.refusals[uid] = times
        return times

    def wake(self) -> None:
        """Ends the sleep."""
        self._woken.set()

    def begin_turn(self) -> None:
        """Begins a turn. Whatever wakes from now on ends the sleep at its end."""
        self._woken.clear()

    async def sleep(self, *, held: bool) -> None:
        """Returns when the next session is due, or when woken. With ``held``, only when woken."""
        due = None if held else self._timers.next()
        delay = None if due is None else max(0.0, due - self._time.now())
        if delay is not None and delay > 2 * EARLY:
            delay -= EARLY
        try:
            async with asyncio.timeout(delay):
                await self._woken.wait()
        except TimeoutError:
            pass

    def _judge(self, session: Session, owners: Owners, now: float) -> None:
        uid = session.uid
        verdict = self.verdicts[uid] = judge(session, owners, self._policy, now, self._cluster.connections.of(uid))
        look = verdict.due
        wait = self._wait(session, verdict) if uid in self.backoff or uid in self.settled else 0.0
        if look is None or wait == math.inf or uid in self.processing:
            self._timers.cancel(uid)
            return
        if wait > 0:
            look = max(look, now + wait)
        if self._timers.set(uid, look):
            self._woken.set()

    def _wait(self, session: Session, verdict: Verdict) -> float:
        """Seconds for which a session is not to be taken, whatever its due; infinity where nothing is left to do."""
        until = self.backoff.get(session.uid, 0.0)
        done = self.settled.get(session.uid)
        if done is not None and done.stands(session, verdict):
            until = max(until, done.until)
        return until - self._local()

"""The source of the sessions: the session Pods, by uid.

Knows the sessions as they are now, and when each was created and started, whatever wrong clocks say. Does not know
what a Pod says of a session (``kube.pods``) or what becomes of it.

**Nobody is older than we have seen them.** ``creationTimestamp`` is written by whichever API server took the request,
by its own clock, and each clock may be set.

============================  ========================================================================================
a session that                was created
============================  ========================================================================================
is in the first list          when its ``creationTimestamp`` says, and no later than when the time was sure
appears on the watch          when its ``creationTimestamp`` says, if that is less than a second ago
is in a later list, or comes  when its ``creationTimestamp`` says, if that is not before the last news
as soon as a watch goes on
the same, and it says else    when it appeared
is known                      as before: what its Pod says later changes nothing
the same, and the clock is    as long ago as before
set
============================  ========================================================================================
"""

import asyncio
import math
from collections.abc import Sequence

import msgspec
import structlog

from ssh_session_gc.cluster.source import Hopeless, Source
from ssh_session_gc.core.model import Session
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.listing import Collection
from ssh_session_gc.kube.pods import sessions
from ssh_session_gc.kube.reflector import Reflector
from ssh_session_gc.kube.resources import PODS
from ssh_session_gc.kube.servertime import ServerTime
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.log import session_fields
from ssh_session_gc.telemetry.metrics import Metrics, Stream

log = structlog.stdlib.get_logger()

CUT = 1.0
"""Seconds by which a ``creationTimestamp`` is early: it is cut to whole ones."""
REMEMBERED = 256
"""Sessions that are remembered after they have gone."""
BACKLOG = 2.0
"""Seconds after the beginning of a watch in which it brings what happened before."""


def session_pods(settings: Settings) -> Collection[Session]:
    """The session Pods."""
    decoder = sessions(settings.session_container, shared=settings.shared_namespace)
    return Collection(PODS, settings.session_namespace, decoder, labels=settings.session_selector)


class SessionPods(Source):
    """The sessions by uid."""

    stream = Stream.SESSIONS

    def __init__(self, settings: Settings, metrics: Metrics, time: ServerTime) -> None:
        super().__init__(settings, metrics, time)
        self.by_uid: dict[str, Session] = {}
        self._unreadable: set[str] = set()
        """What was logged of Pods that cannot be read."""
        self._local = asyncio.get_running_loop().time
        self._backlog = (0.0, 0.0)
        """Until when (``loop.time()``) what comes may have happened unwatched, and since when nobody watched."""
        self._listed = False
        """Whether there was a list: what is new since then has appeared under our eyes."""
        self._certain = False
        """Whether the time has ever been sure. Until then sessions of the first list are dated by nothing but their
        ``creationTimestamp``: if the first answers were wrong, it is not."""
        self._appeared: set[str] = set()
        """uids of those that we dated ourselves before the time was sure."""
        self._left: dict[str, Session] = {}
        """Those that match the selector no longer, or are gone, the latest last: one that comes back is as old as it
        was."""
        self._said: dict[str, float] = {}
        """By uid, the starts that lay in the future. Those sessions started when they were seen running instead."""

    async def follow(self, api: Api, silence: float) -> None:
        """Keeps in step until cancelled. Raises Hopeless."""
        await Reflector(api, session_pods(self._settings), self, silence=silence).run()

    def listed(self, items: Sequence[Session], broken: Sequence[str]) -> None:
        """Takes in a complete list. Notices, too, what was deleted while nobody watched."""
        self._unreadable &= set(broken)
        for why in broken:
            self.unreadable(why)
        if self.by_uid:  # the first list, the largest at once, has nobody to miss
            for uid in self.by_uid.keys() - {session.uid for session in items}:
                self.drop(uid)
        now = self._time.now()
        # None of those that are new was there at the last news, and all are there now.
        since = -math.inf if self.last_news is None else self.last_news
        for session in items:
            self._take(session, now, since)
        self._listed = True
        self.changes.tell(None)

    @property
    def unreadable_pods(self) -> int:
        """How many Pods cannot be read at present, as far as is known: those that the last list had, or that changed
        since."""
        return len(self._unreadable)

    def changed(self, item: Session) -> None:
        """Takes in a session that appeared or changed."""
        self._readable(item)
        now, (until, since) = self._time.now(), self._backlog
        self._take(item, now, since if self._local() < until else now - CUT)
        self.changes.tell(item.uid)

    def _take(self, session: Session, now: float, since: float) -> None:
        """``since``: what is new to us cannot have been created before."""
        before = self.by_uid.get(session.uid)
        known = before or self._left.pop(session.uid, None)
        session = self._dated(session, since) if known is None else _as_known(session, known)
        # A new one that says nothing odd is taken at its word: a list is full of them.
        if (started := session.started) is not None and (before is not None or started > now + 1.0):
            seen = math.inf if before is None or before.started is None else before.started
            session = _with_start(session, self._start(session.uid, started, seen, now))
        if self._certain and session.finished is not None and session.finished > now + CUT:
            # It is over, and yet to come by its node's clock: since when is what was seen of it.
            seen = math.inf if before is None or before.finished is None else before.finished
            session = msgspec.structs.replace(session, finished=min(seen, now))
        if session.invalid and (before is None or before.invalid != session.invalid):
            self._metrics.invalid_annotations.inc(len(session.invalid))
            log.warning(
                "annotation_unreadable",
                **session_fields(session, self._settings.session_namespace),
                annotations=list(session.invalid),
                hint='keep is "true" or "false", ttl a duration such as 90s or 2d; as it is, it is spared to max-ttl',
            )
        self.by_uid[session.uid] = session

    def sync(self, out_of_sync: str | None) -> None:
        """Notes, too, that what comes at once may be what happened while nobody watched."""
        super().sync(out_of_sync)
        if out_of_sync is None and self.last_news is not None:
            self._backlog = self._local() + BACKLOG, self.last_news

    def time_is_sure(self) -> None:
        """Notes that the time is sure: from now on all sessions keep their ages, whatever is set."""
        if self._certain:
            return
        self._certain = True
        self._appeared.clear()
        latest, now = self._time.latest(), self._time.now()
        for uid, known in self.by_uid.items():
            session = _created(known, min(known.created, latest), known.dated)
            if session.finished is not None and session.finished > now + CUT:
                session = msgspec.structs.replace(session, finished=now)
            self.by_uid[uid] = session

    def clock_moved(self, seconds: float) -> None:
        """Leaves everybody as old as before, and moves the starts that were dated by the API server's clock."""
        super().clock_moved(seconds)
        self._left.clear()  # which are dated by the other time
        now = self._time.now()
        # The new time is known less exactly at first: it must not make anybody older when it is narrowed down.
        moved = seconds + self._time.latest() - now
        for uid, known in self.by_uid.items():
            session, started = known, known.started
            if self._certain or uid in self._appeared:
                dated = session.created if session.dated is None else session.dated
                session = _created(session, session.created + moved, dated)
                if session.deletion is not None:
                    end = max(session.deletion, session.deletion + moved)
                    session = msgspec.structs.replace(session, deletion=end)
                if session.finished is not None:
                    over = min(now, max(session.finished, session.finished + moved))
                    session = msgspec.structs.replace(session, finished=over)
            if started is not None:
                said, seen = (self._said[uid], started + seconds) if uid in self._said else (started, started)
                if session is not known:
                    seen = min(seen, started + seconds)  # it had started as long after its creation as before
                session = _with_start(session, self._start(uid, said, seen, now))
            self.by_uid[uid] = session

    def _dated(self, session: Session, since: float) -> Session:
        """A session that is new to us, and is there now."""
        if not self._listed:
            return session
        if not self._certain:
            self._appeared.add(session.uid)
        latest = self._time.latest()
        if since <= session.created <= latest:
            return session
        # After a sleep nobody knows how late it can be.
        return _created(session, latest if latest < math.inf else max(session.created, self._time.now()), None)

    def _start(self, uid: str, said: float, seen: float, now: float) -> float:
        """When a session started that says ``said``, and was known to run at ``seen``. What runs has started by now,
        even if its node's clock is ahead and says otherwise."""
        if min(said, seen) > now + 1.0:
            self._said[uid] = said
            return now
        if said <= seen:
            self._said.pop(uid, None)
        return min(said, seen)

    def deleted(self, item: Session) -> None:
        """Forgets a session that is gone, or does not match the selector any more."""
        self._readable(item)
        self.drop(item.uid)

    def drop(self, uid: str) -> None:
        """Forgets this session."""
        if session := self.by_uid.pop(uid, None):
            self._left[uid] = session
            if len(self._left) > REMEMBERED:
                del self._left[next(iter(self._left))]
            self._said.pop(uid, None)
            self._appeared.discard(uid)
            self.changes.tell(uid)

    def restarted(self, cause: str, detail: str) -> None:
        """Raises Hopeless where a permission is missing before the first list: there is nothing to do here at all."""
        super().restarted(cause, detail)
        if cause == "forbidden" and not self.has_synced:
            namespace = self._settings.session_namespace
            raise Hopeless(f"{detail}; grant get, list, watch and delete on pods in namespace {namespace}")

    def _readable(self, item: Session) -> None:
        if self._unreadable:
            self._unreadable = {why for why in self._unreadable if not why.startswith(f"{item.name}: ")}

    def unreadable(self, why: str) -> None:
        """Logs it, once. What cannot be read cannot be judged, and stays."""
        if why in self._unreadable:
            return
        self._unreadable.add(why)
        log.error("session_unreadable", error=why, hint="this Pod is left alone; is the API newer than this program?")


def _as_known(session: Session, known: Session) -> Session:
    """A session as its Pod tells it now, as old as it is known to be."""
    session = _created(session, known.created, known.dated)
    if known.dated is None:
        return session
    # What the Pod says may be by the time that was, or by that which is. It started by the one by which that is
    # earlier; it ended, and the grace of its deletion does, by the one by which that is later.
    moved, started = known.created - known.dated, session.started
    finished, deletion = session.finished, session.deletion
    return msgspec.structs.replace(
        session,
        started=None if started is None else min(started, started + moved),
        finished=None if finished is None else max(finished, finished + moved),
        deletion=None if deletion is None else max(deletion, deletion + moved),
    )


def _created(session: Session, created: float, dated: float | None) -> Session:
    if created == session.created and dated == session.dated:
        return session
    # A start is never told to be before the Pod's creation: where it is at that, it may have been any time before.
    started = created if session.started == session.created else session.started
    return msgspec.structs.replace(session, created=created, dated=dated, started=started)


def _with_start(session: Session, started: float) -> Session:
    return session if started == session.started else msgspec.structs.replace(session, started=started)

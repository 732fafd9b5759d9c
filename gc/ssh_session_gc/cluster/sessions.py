"""The source of the sessions: the session Pods, by uid.

Knows the sessions as they are now, and when each started, though a node's clock may be ahead. Does not know what a
Pod says of a session (``kube.pods``) or what becomes of it.
"""

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


def session_pods(settings: Settings) -> Collection[Session]:
    """The session Pods."""
    return Collection(
        PODS, settings.session_namespace, sessions(settings.session_container), labels=settings.session_selector
    )


class SessionPods(Source):
    """The sessions by uid."""

    stream = Stream.SESSIONS

    def __init__(self, settings: Settings, metrics: Metrics, time: ServerTime) -> None:
        super().__init__(settings, metrics, time)
        self.by_uid: dict[str, Session] = {}
        self._unreadable: set[str] = set()
        """What was logged of Pods that cannot be read."""
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
        for session in items:
            self._take(session, now)
        self.changes.tell(None)

    @property
    def unreadable_pods(self) -> int:
        """How many Pods cannot be read at present, as far as is known: those that the last list had, or that changed
        since."""
        return len(self._unreadable)

    def changed(self, item: Session) -> None:
        """Takes in a session that appeared or changed."""
        self._readable(item)
        self._take(item, self._time.now())
        self.changes.tell(item.uid)

    def _take(self, session: Session, now: float) -> None:
        before, started = self.by_uid.get(session.uid), session.started
        # A new one that says nothing odd is taken at its word: a list is full of them.
        if started is not None and (before is not None or started > now + 1.0):
            seen = math.inf if before is None or before.started is None else before.started
            session = _with_start(session, self._start(session.uid, started, seen, now))
        if session.invalid and (before is None or before.invalid != session.invalid):
            self._metrics.invalid_annotations.inc(len(session.invalid))
            log.warning(
                "annotation_unreadable",
                **session_fields(session, self._settings.session_namespace),
                annotations=list(session.invalid),
                hint='keep is "true" or "false", ttl a duration such as 90s or 2d; as it is, it is spared to max-ttl',
            )
        self.by_uid[session.uid] = session

    def clock_moved(self, seconds: float) -> None:
        """Moves the starts that were dated by the API server's clock."""
        super().clock_moved(seconds)
        now = self._time.now()
        for uid, session in self.by_uid.items():
            if (started := session.started) is not None:
                said, seen = (self._said[uid], started + seconds) if uid in self._said else (started, started)
                self.by_uid[uid] = _with_start(session, self._start(uid, said, seen, now))

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
        if self.by_uid.pop(uid, None):
            self._said.pop(uid, None)
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


def _with_start(session: Session, started: float) -> Session:
    return session if started == session.started else msgspec.structs.replace(session, started=started)

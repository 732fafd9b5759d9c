"""What the cluster looks like, as the three streams tell it.

Holds the sessions and the owners, and whether anything can be said of owners at all: not before their streams
are in step, not while they are out of it, not before the workload was seen. Judges nothing; it tells whoever
listens what changed. All times are the API server's, in epoch seconds.
"""

import math
from collections.abc import Callable, Sequence

import msgspec
import structlog

from ssh_session_gc.core.model import Session
from ssh_session_gc.core.owners import Gap, OwnerPod, Owners
from ssh_session_gc.kube import facts
from ssh_session_gc.kube.wire import Malformed, Pod, Workload
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics, Stream

log = structlog.stdlib.get_logger()

Clock = Callable[[], float]


class View:
    """The state of the cluster."""

    def __init__(self, settings: Settings, metrics: Metrics, now: Clock) -> None:
        self._settings = settings
        self.session_changed: Callable[[str], None] = lambda _: None
        """Called with the uid of a session that appeared, changed or went."""
        self.all_changed: Callable[[], None] = lambda: None
        """Called when all sessions were listed, or something about the owners changed, or whether they are known."""
        self.hopeless: Callable[[str], None] = lambda _: None
        """Called with the reason why the sessions cannot be read at all."""
        self.sessions = SessionPods(self, settings, metrics, now)
        self.workload = OwnerWorkload(self, settings, metrics, now)
        self.owner_pods = OwnerPods(self, settings, metrics, now)
        self.owners = Owners(unknown="the cluster has not been read yet")
        self.settle()

    @property
    def feeds(self) -> tuple["Feed", ...]:
        """The streams that are watched, as things stand: a workload that is not there has no Pods to watch."""
        if not self._settings.policy.ownerless:
            return (self.sessions,)
        if self._settings.owner is None:
            return (self.sessions, self.owner_pods)
        found = self.workload.selector or self.workload.trouble
        return (self.sessions, self.workload, self.owner_pods) if found else (self.sessions, self.workload)

    def clock_moved(self, seconds: float) -> None:
        """The API server's clock is elsewhere than thought: what was dated by it, by us, moves along."""
        if abs(seconds) > 1.0:
            for feed in (self.sessions, self.workload, self.owner_pods):
                feed.clock_moved(seconds)
            self.settle()

    def settle(self) -> None:
        """Puts together what the two streams about owners say."""
        unknown = self.workload.why_unknown() or self.owner_pods.why_unknown() or None
        owners = msgspec.structs.replace(self.owner_pods.known, unknown=unknown)
        if owners != self.owners:
            self.owners = owners
            self.all_changed()


UNREAD = "it has not been read yet"
"""The first trouble of every stream."""


class Feed:
    """What every stream has: whether it is in step, and since when."""

    stream: Stream

    def __init__(self, view: View, settings: Settings, metrics: Metrics, now: Clock) -> None:
        self._view, self._settings, self._metrics, self._now = view, settings, metrics, now
        self.synced_once = False
        self.trouble = UNREAD
        """Why the stream is out of step; "" while it is in step."""
        self.last_news: float | None = None
        """When it last brought anything; None before the first list."""
        self._reported = ""

    def sync(self, trouble: str) -> None:
        """The stream is in step (no ``trouble``), or has fallen behind and why."""
        if not trouble:
            self.synced_once = True
            if self._reported:
                self._reported = ""
                log.info("stream_restored", stream=self.stream)
        self.trouble = trouble
        self._metrics.synced(self.stream, not trouble)

    def clock_moved(self, seconds: float) -> None:
        """Moves what was dated by the API server's clock."""
        if self.last_news is not None:
            self.last_news += seconds

    def arrived(self) -> None:
        """Something came: a list, an event, a bookmark."""
        self.last_news = self._now()
        self._metrics.event(self.stream, self.last_news)

    def restarted(self, cause: str, detail: str) -> None:
        """A list or a watch ended and is taken up again. Said once for each cause, until it is over."""
        self._metrics.restarted(self.stream, cause)
        if cause == "closed":
            log.debug("watch_ended", stream=self.stream)
        elif cause != self._reported:
            self._reported = cause
            hint = (
                "grant get, list and watch on it in that namespace, by a Role" if cause == "forbidden" else "retrying"
            )
            log.warning("stream_interrupted", stream=self.stream, cause=cause, error=detail, hint=hint)


class SessionPods(Feed):
    """The sessions by uid: a Sink for the stream of session Pods."""

    stream = Stream.SESSIONS

    def __init__(self, view: View, settings: Settings, metrics: Metrics, now: Clock) -> None:
        super().__init__(view, settings, metrics, now)
        self.by_uid: dict[str, Session] = {}
        self._unreadable: set[str] = set()
        """What was said of Pods that cannot be read, each once."""
        self._said: dict[str, float] = {}
        """By uid, the starts that lay in the future; those sessions started when they were seen running instead."""

    def listed(self, items: Sequence[Session], broken: Sequence[str]) -> None:
        """All of them. Notices, too, what was deleted while nobody watched."""
        self._unreadable &= set(broken)
        for why in broken:
            self.unreadable(why)
        if self.by_uid:  # the first list, the largest at once, has nobody to miss
            for uid in self.by_uid.keys() - {session.uid for session in items}:
                self.drop(uid)
        now = self._now()
        for session in items:
            self._take(session, now)
        self._view.all_changed()

    def changed(self, item: Session) -> None:
        """A session appeared or changed."""
        self._take(item, self._now())
        self._view.session_changed(item.uid)

    def _take(self, session: Session, now: float) -> None:
        before, started = self.by_uid.get(session.uid), session.started
        # A new one that says nothing odd is taken at its word: a list is full of them.
        if started is not None and (before is not None or started > now + 1.0):
            seen = math.inf if before is None or before.started is None else before.started
            session = _with_start(session, self._start(session.uid, started, seen, now))
        if session.invalid and (before is None or before.invalid != session.invalid):
            self._metrics.invalid_annotations.inc(len(session.invalid))
            log.warning(
                "annotation_ignored",
                namespace=self._settings.session_namespace,
                pod=session.name,
                uid=session.uid,
                user=session.user,
                connection_id=session.connection_id,
                client_ip=session.client_ip,
                annotations=list(session.invalid),
                hint='keep is "true" or "false", ttl a duration such as 90s or 1h30m',
            )
        self.by_uid[session.uid] = session

    def clock_moved(self, seconds: float) -> None:
        """Moves the starts that were dated by the API server's clock."""
        super().clock_moved(seconds)
        now = self._now()
        for uid, session in self.by_uid.items():
            if (started := session.started) is not None:
                said, seen = (self._said[uid], started + seconds) if uid in self._said else (started, started)
                self.by_uid[uid] = _with_start(session, self._start(uid, said, seen, now))

    def _start(self, uid: str, said: float, seen: float, now: float) -> float:
        """When a session started that says so, and was known to run at ``seen``: what runs has started by now,
        whatever a node's clock says that is ahead."""
        if min(said, seen) > now + 1.0:
            self._said[uid] = said
            return now
        if said <= seen:
            self._said.pop(uid, None)
        return min(said, seen)

    def deleted(self, item: Session) -> None:
        """A session is gone, or does not match the selector any more."""
        self.drop(item.uid)

    def drop(self, uid: str) -> None:
        """There is no such session (any more)."""
        if self.by_uid.pop(uid, None):
            self._said.pop(uid, None)
            self._view.session_changed(uid)

    def restarted(self, cause: str, detail: str) -> None:
        """Before the first list a missing permission means that there is nothing to do here at all."""
        super().restarted(cause, detail)
        if cause == "forbidden" and not self.synced_once:
            namespace = self._settings.session_namespace
            self._view.hopeless(f"{detail}; grant get, list, watch and delete on pods in namespace {namespace}")

    def unreadable(self, why: str) -> None:
        """What cannot be read cannot be judged: it stays."""
        if why in self._unreadable:
            return
        self._unreadable.add(why)
        log.error("session_unreadable", error=why, hint="this Pod is left alone; is the API newer than this program?")


class OwnerWorkload(Feed):
    """The owner workload: a Sink for a collection of one or none."""

    stream = Stream.WORKLOAD

    def __init__(self, view: View, settings: Settings, metrics: Metrics, now: Clock) -> None:
        super().__init__(view, settings, metrics, now)
        self.selector = settings.owner_selector
        """The label selector of the owner's Pods; empty until the workload was seen."""
        self.selector_changed: Callable[[], None] = lambda: None
        self._present: bool | None = None

    def listed(self, items: Sequence[Workload], broken: Sequence[str]) -> None:
        """The workload, if it is there."""
        for why in broken:
            self.unreadable(why)
        for workload in items:
            self.changed(workload)
        if not items and not broken:
            self._is(False)

    def changed(self, item: Workload) -> None:
        """The workload appeared or changed; its selector is followed."""
        try:
            selector = facts.selector(item)
        except Malformed as error:
            self.unreadable(str(error))
            return
        self._is(True)
        if selector and selector != self.selector:
            self.selector = selector
            self.selector_changed()

    def deleted(self, item: Workload) -> None:  # noqa: ARG002 - there is only one
        """It is gone. Its selector is remembered: its Pods own sessions until they end."""
        self._is(False)

    def unreadable(self, why: str) -> None:
        """Goes on with the selector known so far."""
        log.error("owner_unreadable", error=why, hint="is the API newer than this program?")

    def sync(self, trouble: str) -> None:
        """In step or not."""
        super().sync(trouble)
        self._view.settle()

    def why_unknown(self) -> str:
        """Why nothing can be said of owners; "" where something can."""
        owner = self._settings.owner
        if owner is None or not self._settings.policy.ownerless:
            return ""
        if self.trouble:
            return f"{owner} is not known: {self.trouble}"
        return "" if self.selector else f"{owner} was not found and never seen"

    def _is(self, present: bool) -> None:
        if present != self._present:
            self._present = present
            if present:
                log.info("owner_found", owner=str(self._settings.owner))
            else:
                hint = "its Pods are followed until they end" if self.selector else "check --owner"
                log.warning("owner_not_found", owner=str(self._settings.owner), hint=hint)


class OwnerPods(Feed):
    """The owners: a Sink for the stream of the owner workload's Pods."""

    stream = Stream.OWNER_PODS

    def __init__(self, view: View, settings: Settings, metrics: Metrics, now: Clock) -> None:
        super().__init__(view, settings, metrics, now)
        self.known = Owners()
        self.out_of_date: Callable[[], None] = lambda: None
        """Called when only a new list can tell how things are."""
        self._outdated = False
        self._seen = False
        self._unreadable = ""

    def listed(self, items: Sequence[Pod], broken: Sequence[str]) -> None:
        """All of them. What ran before and is not among them is gone."""
        if self._outdated:  # as at the start
            self.known, self.last_news, self._outdated = Owners(), None, False
        self._unreadable = broken[0] if broken else ""
        self._seen |= bool(items)
        # The stretch since the last news, which may be a bookmark, is one that nobody watched.
        self.known = self.known.listed([self._read(pod) for pod in items], self._now(), self.last_news)
        self._view.settle()

    def changed(self, item: Pod) -> None:
        """One appeared or changed. Raises Malformed where only a list can tell whether all can be read again."""
        self._seen = True
        self._list_anew()
        self.known = self.known.saw(self._read(item), self._now())
        self._view.settle()

    def deleted(self, item: Pod) -> None:
        """One is gone; its last state may tell when its container ended. Raises Malformed as ``changed`` does."""
        self._list_anew()
        now = self._now()
        self.known = self.known.saw(self._read(item), now).lost(item.metadata.uid, now)
        self._view.settle()

    def clock_moved(self, seconds: float) -> None:
        """Moves what was dated by the API server's clock: since when owners are watched, and when they were not. What
        the Pods themselves say was read by the light of the old time, and is read anew."""
        super().clock_moved(seconds)
        gap = self.known.last_gap and Gap(self.known.last_gap.start + seconds, self.known.last_gap.end + seconds)
        began, missed = self.known.watched_since + seconds, self.known.first_gap + seconds
        self.known = msgspec.structs.replace(self.known, watched_since=began, last_gap=gap, first_gap=missed)
        self._outdated = True
        self.out_of_date()

    def confirm(self, fresh: Owners) -> None:
        """Takes over which ends were found to be true by looking the Pods up, so that nobody looks again."""
        # A Pod that lives on may well restart its container: it has to be looked up again.
        doubted = {owner.pod_uid for owner in fresh.owners if owner.alive or not owner.confirmed}
        settled = {owner.pod_uid for owner in self.known.owners if not owner.confirmed} - doubted
        kept = (owner for owner in self.known.owners if owner.pod_uid not in settled)
        told = (owner for owner in fresh.owners if owner.pod_uid in settled)
        self.known = msgspec.structs.replace(self.known, owners=(*kept, *told))
        self._view.settle()

    def unreadable(self, why: str) -> None:
        """The list that follows at once says so."""

    def _list_anew(self) -> None:
        if self._unreadable:
            raise Malformed(f"once more from the start, as an owner Pod could not be read: {self._unreadable}")

    def sync(self, trouble: str) -> None:
        """In step or not."""
        super().sync(trouble)
        self._view.settle()

    def why_unknown(self) -> str:
        """Why nothing can be said of owners; "" where something can."""
        if not self._settings.policy.ownerless:
            return ""
        if self.trouble:
            return f"the owner's Pods are not known: {self.trouble}"
        if self._unreadable:
            return f"an owner Pod cannot be read: {self._unreadable}"
        if self._settings.owner is None and not self._seen:
            return "no Pod that the owner selector matches was ever seen"
        return ""

    def _read(self, pod: Pod) -> OwnerPod:
        return facts.owner_pod(pod, self._settings.owner_container)


def _with_start(session: Session, started: float) -> Session:
    return session if started == session.started else msgspec.structs.replace(session, started=started)

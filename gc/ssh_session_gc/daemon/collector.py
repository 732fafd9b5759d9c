"""The collector: knows when each session is next due, sleeps until then, and deletes what is due.

There is no sweep and no polling: a change of the view judges what it touches, and a timer waits for the earliest
due of all. Knows what follows a verdict and a deletion. Does not know how to judge (``core.policy``), to read
owners afresh (``fresh``) or to delete (``deletion``).
"""

import asyncio
import random
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import structlog

from ssh_session_gc.core.evidence import evidence
from ssh_session_gc.core.model import Action, Reason, Session, Verdict
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.rules.judge import judge
from ssh_session_gc.core.survey import Survey, survey
from ssh_session_gc.core.times import format_instant
from ssh_session_gc.daemon.deletion import Deleter, NotLeading, Result
from ssh_session_gc.daemon.election import Elector
from ssh_session_gc.daemon.events import Recorder
from ssh_session_gc.daemon.fresh import read_owners
from ssh_session_gc.daemon.limiter import Limiter
from ssh_session_gc.daemon.timers import Timers
from ssh_session_gc.daemon.view import View
from ssh_session_gc.kube.client import Api, ApiError, Unreachable
from ssh_session_gc.kube.facts import SESSIONS
from ssh_session_gc.kube.reflector import list_all
from ssh_session_gc.kube.resources import PODS
from ssh_session_gc.kube.retries import retried
from ssh_session_gc.kube.wire import Malformed
from ssh_session_gc.settings import DryRun, Settings
from ssh_session_gc.telemetry.metrics import Metrics, Outcome

log = structlog.stdlib.get_logger()

FORBIDDEN_RETRY = 60.0
"""Seconds until a forbidden deletion is tried again: somebody has to grant the permission first."""
ERROR_RETRY = 15.0
"""Seconds until a session whose deletion failed, or whose owners could not be read, is tried again."""
LONGEST_RETRY = 300.0
"""Seconds that a Retry-After may ask for at the most, as for the streams."""
STIR = 0.002
"""Seconds before a session is due at which we wake up to sleep on: out of a long sleep one wakes up late."""
FAREWELL = 1.0
"""Seconds that deletions under way get to finish when the program stops."""


class Checked(NamedTuple):
    """The owners as read afresh for a session, and who had created it as far as it said then."""

    owners: Owners
    stamp_uid: str


class Collector:
    """Judges the sessions of a view and deletes those that are due."""

    def __init__(
        self, view: View, api: Api, settings: Settings, metrics: Metrics, recorder: Recorder, elector: Elector
    ) -> None:
        self._view, self._api, self._settings, self._elector = view, api, settings, elector
        self._metrics, self._recorder = metrics, recorder
        self._policy = settings.policy
        self.deleter = Deleter(api, settings, elector)
        self._limiter = Limiter(settings.max_deletes_per_minute)
        self.verdicts: dict[str, Verdict] = {}
        """The last verdict on each session, by uid."""
        self._timers = Timers()
        self._time = asyncio.get_running_loop().time
        """For how long something waits goes by our own clock: nobody sets that one."""
        self._not_before: dict[str, float] = {}
        self._busy: set[str] = set()
        """Sessions in the hands of a worker or of a fresh read."""
        self._done: dict[str, tuple[Reason | None, bool]] = {}
        """What needs no second time: the deletion was accepted, or announced in a dry run, for this verdict."""
        self._failed: set[str] = set()
        """Sessions whose failed deletion was already reported in an Event."""
        self._forbidden_until = 0.0
        """No deletion is tried before; set while the permission is missing."""
        self._closing = False
        self._all_changed = False
        self._wake = asyncio.Event()
        self._unchecked: asyncio.Queue[str] = asyncio.Queue()
        """Sessions that are Ownerless as far as the streams tell."""
        self._due: asyncio.Queue[tuple[str, Checked | None]] = asyncio.Queue()
        view.session_changed = self._session_changed
        view.all_changed = self._all_to_judge
        api.clock_changed = self._clock_changed

    async def run(self) -> None:
        """Collects until cancelled; deletions under way then get a moment to finish, and nothing new begins."""
        tasks = {asyncio.create_task(self._work()) for _ in range(self._settings.concurrency)}
        tasks.add(asyncio.create_task(self._check()))
        for task in tasks:
            task.add_done_callback(lambda _: self._wake.set())
        try:
            while True:
                self._wake.clear()
                for task in tasks:
                    if task.done():
                        task.result()  # it ends only by a mistake of ours, which must not stay hidden
                if self._all_changed:
                    self._all_changed = False
                    self._judge_all()
                self._hand_out()
                await self._until_next()
        finally:
            self._closing = True
            under_way = tasks & self.deleter.in_flight
            for task in tasks - under_way:
                task.cancel()
            if under_way:
                await asyncio.wait(under_way, timeout=FAREWELL)
            for task in under_way:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def leading_changed(self) -> None:
        """To be called when it has become our turn to delete, or somebody else's."""
        self._wake.set()

    def survey(self) -> Survey:
        """How the sessions and owners stand now; nothing before the API server's first answer."""
        try:
            now = self._api.now()
        except ValueError:
            return Survey()
        sessions, verdicts = self._view.sessions.by_uid, self.verdicts
        judged = ((session, verdicts[uid]) for uid, session in sessions.items() if uid in verdicts)
        return survey(judged, self._view.owners, self._policy, now)

    def _session_changed(self, uid: str) -> None:
        if session := self._view.sessions.by_uid.get(uid):
            self._judge(session, self._view.owners, self._api.now())
        else:
            for per_session in (self.verdicts, self._not_before, self._done):
                per_session.pop(uid, None)
            self._timers.cancel(uid)
            self._failed.discard(uid)

    def _clock_changed(self, moved: float) -> None:
        self._view.clock_moved(moved)
        self._all_to_judge()

    def _all_to_judge(self) -> None:
        # Owners change in bursts, during a rollout or a list: all sessions are judged once after it, and at once.
        self._all_changed = True
        self._wake.set()

    def _judge_all(self) -> None:
        if sessions := self._view.sessions.by_uid:  # before the first of them nobody may have told the time
            owners, now = self._view.owners, self._api.now()
            for session in sessions.values():
                self._judge(session, owners, now)

    def _judge(self, session: Session, owners: Owners, now: float) -> None:
        """Judges one session and sets its timer."""
        uid = session.uid
        verdict = self.verdicts[uid] = judge(session, owners, self._policy, now)
        done = uid in self._done and self._done[uid] == (verdict.reason, verdict.force)
        if verdict.due is None or uid in self._busy or done:
            self._timers.cancel(uid)
            return
        look = verdict.due
        if uid in self._not_before and (pause := self._not_before[uid] - self._time()) > 0:
            look = max(look, now + pause)
        if self._timers.set(uid, look):
            self._wake.set()

    def _hand_out(self) -> None:
        """Gives all sessions whose time has come to the workers; the Ownerless by way of a fresh read."""
        if not self._may_act():
            return
        if not self._timers:
            return
        for uid in self._timers.take(self._api.now()):
            self._busy.add(uid)
            if self.verdicts[uid].reason is Reason.OWNERLESS:
                self._unchecked.put_nowait(uid)
            else:
                self._due.put_nowait((uid, None))

    def _may_act(self) -> bool:
        """A standby judges, so that it can say what is orphaned, and leaves the rest to the leader; and who is not
        sure of the time waits until it is."""
        return self._elector.leads() and self._api.sure_of_time

    async def _until_next(self) -> None:
        look = self._timers.next() if self._may_act() else None
        delay = None if look is None else max(0.0, look - self._api.now())
        if delay is not None and delay > 2 * STIR:
            delay -= STIR
        try:
            async with asyncio.timeout(delay):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _check(self) -> None:
        while True:
            batch = [await self._unchecked.get()]
            while not self._unchecked.empty():
                batch.append(self._unchecked.get_nowait())
            await self._check_owners(batch)

    async def _check_owners(self, uids: list[str]) -> None:
        """Reads the owners afresh, and hands those to the workers that are still due after it."""
        sessions = [s for uid in uids if (s := self._view.sessions.by_uid.get(uid))]
        owners, selector, news = self._view.owners, self._view.workload.selector, self._view.owner_pods.last_news
        try:
            fresh = await retried(read_owners, self._api, self._settings, owners, selector, sessions, news)
        except (ApiError, Unreachable, Malformed) as error:
            log.warning(
                "owners_unreadable",
                error=str(error),
                sessions=len(uids),
                hint="nobody is collected as Ownerless until the owners can be read",
            )
            # The other rules go on without them.
            fresh = msgspec.structs.replace(self._view.owners, unknown=str(error))
        else:
            self._view.owner_pods.confirm(fresh)
        now = self._api.now()
        for session in sessions:
            verdict = judge(session, fresh, self._policy, now)
            if verdict.action is Action.COLLECT:
                self._due.put_nowait((session.uid, Checked(fresh, session.stamp_uid)))
                continue
            if not fresh.unknown and verdict.reason is not Reason.OWNERLESS:
                log.info("session_kept", **self._facts(session, verdict, fresh, now), outcome="kept")
            # Where the streams do not know it yet they will catch up, and until then it is looked at once in a while.
            behind = judge(session, self._view.owners, self._policy, now).action is Action.COLLECT
            pause = ERROR_RETRY if fresh.unknown else max(self._policy.owner_grace, ERROR_RETRY)
            self._release([session.uid], pause if behind else 0.0)
        self._release(set(uids) - {session.uid for session in sessions})

    async def _work(self) -> None:
        while not self._closing:
            uid, checked = await self._due.get()
            await self._limiter.wait()
            wait = await self._collect(uid, checked)
            self._release([uid], wait)

    def _release(self, uids: Iterable[str], wait: float = 0.0) -> None:
        for uid in uids:
            self._busy.discard(uid)
            if session := self._view.sessions.by_uid.get(uid):
                if wait:
                    self._not_before[uid] = self._time() + wait * random.uniform(1.0, 1.2)  # noqa: S311
                else:
                    self._not_before.pop(uid, None)
                self._judge(session, self._view.owners, self._api.now())

    async def _collect(self, uid: str, checked: "Checked | None") -> float:
        """Deletes one session, if it is still due. Returns the seconds to wait before it is looked at again."""
        session = self._view.sessions.by_uid.get(uid)
        if session is None:
            return 0.0
        if (wait := self._forbidden_until - self._time()) > 0:
            return wait
        if checked is not None and checked.stamp_uid != session.stamp_uid:
            return 0.0  # another creator was looked at; once more from the start
        owners = self._view.owners if checked is None else checked.owners
        # It may have changed while it waited for its turn: what it is now is what counts.
        verdict = judge(session, owners, self._policy, self._api.now())
        if verdict.action is not Action.COLLECT or verdict.reason is None:
            return 0.0
        if verdict.reason is Reason.OWNERLESS and checked is None:
            return 0.0  # it comes back, by way of a fresh read
        try:
            result = await self.deleter.delete(session, verdict)
        except NotLeading:
            return 0.0
        self._metrics.deletions.labels(verdict.reason, result.outcome).inc()
        return await self._conclude(session, verdict, owners, result)

    async def _conclude(self, session: Session, verdict: Verdict, owners: Owners, result: Result) -> float:
        now = self._api.now()
        facts = self._facts(session, verdict, owners, now) | {"outcome": str(result.outcome)}
        match result.outcome:
            case Outcome.DELETED | Outcome.DRY_RUN:
                if session.uid in self._view.sessions.by_uid:  # it may be gone by the time of the answer
                    self._done[session.uid] = (verdict.reason, verdict.force)
                self._forbidden_until = 0.0
                if result.outcome is Outcome.DRY_RUN:
                    log.info("session_would_be_collected", **facts)
                    return 0.0
                self._metrics.deletion_lag.labels(verdict.reason).observe(max(0.0, now - (verdict.due or now)))
                log.info("session_collected", **facts)
                self._recorder.record(session, "Normal", "SessionCollected", f"{verdict.reason}: {facts['evidence']}")
                return 0.0
            case Outcome.GONE:
                log.info("session_gone", **facts)
                self._view.sessions.drop(session.uid)
                return 0.0
            case Outcome.CHANGED:
                log.info("session_changed", **facts)
                return await self._read_again(session, facts)
            case Outcome.FORBIDDEN:
                return self._forbidden(session, result.detail, facts)
        log.warning("deletion_failed", error=result.detail, **facts)
        self._report_failure(session, result.detail)
        return max(ERROR_RETRY, min(result.retry_after, LONGEST_RETRY))

    def _forbidden(self, session: Session, detail: str, facts: dict[str, object]) -> float:
        """Says it once. A missing permission stops all deletions; an admission policy may protect one Pod alone."""
        everybody = 'cannot delete resource "pods"' in detail
        hint = f"grant verb delete on pods in namespace {self._settings.session_namespace}"
        if not everybody:
            hint = "is it protected by an admission policy? ssh-session-gc/keep exempts it here, too"
        if not (self._forbidden_until if everybody else session.uid in self._failed):
            log.error("deletion_forbidden", error=detail, hint=hint, **facts)
        self._report_failure(session, detail)
        if everybody:
            self._forbidden_until = self._time() + FORBIDDEN_RETRY
        return FORBIDDEN_RETRY

    def _report_failure(self, session: Session, detail: str) -> None:
        if session.uid not in self._failed and self._settings.dry_run is DryRun.NONE:
            if session.uid in self._view.sessions.by_uid:
                self._failed.add(session.uid)
            self._recorder.record(session, "Warning", "SessionDeletionFailed", detail)

    async def _read_again(self, session: Session, facts: dict[str, object]) -> float:
        """Brings one session up to date without waiting for the watch. Returns the seconds to wait.

        Read as the streams read, by the selector: what does not match it any more is no session.
        """
        found: list[Session] = []

        def take(items: list[Session], _: list[str]) -> None:
            found.extend(items)

        query = {"labelSelector": self._settings.session_selector, "fieldSelector": f"metadata.name={session.name}"}
        try:
            await list_all(self._api, PODS, self._settings.session_namespace, query, SESSIONS, take)
        except (ApiError, Unreachable, Malformed):
            return ERROR_RETRY
        sessions = self._view.sessions
        now = next((each for each in found if each.uid == session.uid), None)
        if sessions.by_uid.get(session.uid) is not session:
            pass  # the watch was faster, and may know more by now
        elif now is None:
            sessions.drop(session.uid)  # gone, or no session any more, or another one has its name now
        elif now.resource_version == session.resource_version:
            return ERROR_RETRY  # nothing newer there, and yet refused: do not spin
        else:
            sessions.changed(now)
        latest = sessions.by_uid.get(session.uid)
        if latest is not None and latest.deletion is not None:
            # A connection that breaks after the request was carried out looks like one that broke before.
            hint = "by an earlier attempt of ours whose answer was lost, or by somebody else"
            log.info("session_deleted_already", hint=hint, **facts)
        return 0.0

    def _facts(self, session: Session, verdict: Verdict, owners: Owners, now: float) -> dict[str, object]:
        """Everything that a log line says of a session, in the words of the contract."""
        owner = verdict.ownership.owner if verdict.ownership else None
        return {
            "namespace": self._settings.session_namespace,
            "pod": session.name,
            "uid": session.uid,
            "user": session.user,
            "connection_id": session.connection_id,
            "client_ip": session.client_ip,
            "reason": verdict.reason and str(verdict.reason),
            "due": None if verdict.due is None else format_instant(verdict.due),
            "age_seconds": round(now - session.created, 3),
            "owner": owner.pod if owner else None,
            "evidence": evidence(session, verdict, owners, self._policy, now),
            "dry_run": str(self._settings.dry_run),
        }

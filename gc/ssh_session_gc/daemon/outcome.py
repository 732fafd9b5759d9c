"""What follows from a deletion: its log line, its Event, its metrics, and when the session is looked at again.

Knows every outcome. Does not know how a session was deleted (``deletion``) or why (``core.rules``).
"""

import structlog

from ssh_session_gc.cluster.cluster import Cluster
from ssh_session_gc.cluster.reads import read_session
from ssh_session_gc.core.model import Session
from ssh_session_gc.daemon.deletion import Result
from ssh_session_gc.daemon.events import Recorder
from ssh_session_gc.daemon.holds import FORBIDDEN_RETRY, Holds
from ssh_session_gc.daemon.lines import facts
from ssh_session_gc.daemon.queue import RETRY, Queue
from ssh_session_gc.daemon.validation import Due
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.errors import ApiError, Malformed, Unreachable
from ssh_session_gc.settings import DryRun, Settings
from ssh_session_gc.telemetry.metrics import Metrics, Outcome

log = structlog.stdlib.get_logger()

LONGEST_RETRY = 300.0
"""Seconds that a Retry-After may ask for at the most, as for the streams, and that a session waits at the most that
changes faster than it can be deleted."""
SHOWN = 60.0
"""Seconds in which an accepted deletion shows, by its mark or as the Pod is gone. Where nothing shows it is asked for
again: the cluster may have been restored from a backup, and if only the watch is late, the version refuses it."""
SHOWN_BY_FORCE = 3600.0
"""The same for one with grace 0. It leaves no new mark, and its Pod stays for as long as it has finalizers."""

Line = dict[str, object]


class Outcomes:
    """Concludes deletions."""

    def __init__(
        self,
        cluster: Cluster,
        api: Api,
        settings: Settings,
        metrics: Metrics,
        recorder: Recorder,
        queue: Queue,
        holds: Holds,
    ) -> None:
        self._cluster, self._api, self._settings, self._metrics = cluster, api, settings, metrics
        self._recorder, self._queue, self._holds = recorder, queue, holds
        self.reported: set[str] = set()
        """Sessions whose failed deletion was already reported in an Event."""

    def forget(self, uid: str) -> None:
        """Keeps nothing of a session that is gone."""
        self.reported.discard(uid)

    async def conclude(self, due: Due, result: Result) -> float:
        """Logs, counts and records one. Returns the seconds to wait before the session is looked at again."""
        session, verdict, owners, _ = due
        now = self._api.time.now()
        self._metrics.deletions.labels(verdict.reason, result.outcome).inc()
        line = facts(session, verdict, owners, self._settings, now, due.connection) | {"outcome": str(result.outcome)}
        match result.outcome:
            case Outcome.DRY_RUN:
                self._queue.settle(session.uid, verdict)
                self._holds.allow()
                log.info("session_would_be_collected", **line)
                return 0.0
            case Outcome.DELETED:
                shown = SHOWN_BY_FORCE if verdict.force else SHOWN
                self._queue.settle(session.uid, verdict, session.resource_version, shown)
                self._holds.allow()
                self._metrics.deletion_lag.labels(verdict.reason).observe(max(0.0, now - (verdict.due or now)))
                log.info("session_collected", **line)
                self._recorder.record(session, "Normal", "SessionCollected", f"{verdict.reason}: {line['evidence']}")
                return 0.0
            case Outcome.GONE:
                log.info("session_gone", **line)
                self._cluster.sessions.drop(session.uid)
                return 0.0
            case Outcome.CHANGED:
                log.info("session_changed", **line)
                return await self._read_again(session, line)
            case Outcome.FORBIDDEN:
                return self._forbidden(session, result.detail, line)
        log.warning("deletion_failed", error=result.detail, **line)
        self._report_failure(session, result.detail)
        return max(RETRY, min(result.retry_after, LONGEST_RETRY))

    def put_off(self, due: Due) -> float:
        """Gives up on a session for now that changed each time. Returns the seconds to wait, more each time in a row.

        Deleting it by uid alone would succeed, and might delete what nobody has judged: a session that was exempted
        a moment ago, say.
        """
        session, verdict, owners, connection = due
        times = self._queue.refused(session.uid)
        wait = min(RETRY * 2.0 ** min(times - 1, 16), LONGEST_RETRY)
        line = facts(session, verdict, owners, self._settings, self._api.time.now(), connection)
        hint = "who writes to this Pod all the time? managedFields says (kubectl get -o yaml --show-managed-fields)"
        log.warning("session_changes_too_fast", times=times, wait_seconds=wait, hint=hint, **line)
        self._report_failure(session, "it changed each time before its deletion was accepted")
        return wait

    async def _read_again(self, session: Session, line: Line) -> float:
        """Brings one session up to date without waiting for the watch. Returns the seconds to wait."""
        sessions = self._cluster.sessions
        try:
            now = await read_session(self._api, self._settings, session)
        except (ApiError, Unreachable, Malformed):
            return RETRY
        if sessions.by_uid.get(session.uid) is not session:
            pass  # the watch was faster, and may know more by now
        elif now is None:
            sessions.drop(session.uid)  # gone, or no session any more, or another one has its name now
        elif now.resource_version == session.resource_version:
            return RETRY  # nothing newer there, and yet refused: do not spin
        else:
            sessions.changed(now)
        latest = sessions.by_uid.get(session.uid)
        if latest is not None and latest.deletion is not None:
            # A connection that breaks after the request was carried out looks like one that broke before.
            hint = "by an earlier attempt of ours whose answer was lost, or by somebody else"
            log.info("session_deleted_already", hint=hint, **line)
        return 0.0

    def _forbidden(self, session: Session, detail: str, line: Line) -> float:
        """Logs it once. A missing permission stops all deletions; an admission policy may protect one Pod alone."""
        everybody = 'cannot delete resource "pods"' in detail
        hint = f"grant verb delete on pods in namespace {self._settings.session_namespace}"
        if not everybody:
            hint = "is it protected by an admission policy? ssh-session-gc/keep exempts it here, too"
        if not (self._holds.forbidden if everybody else session.uid in self.reported):
            log.error("deletion_forbidden", error=detail, hint=hint, **line)
        self._report_failure(session, detail)
        if everybody:
            self._holds.forbid()
        return FORBIDDEN_RETRY

    def _report_failure(self, session: Session, detail: str) -> None:
        if session.uid not in self.reported and self._settings.dry_run is DryRun.NONE:
            if session.uid in self._cluster.sessions.by_uid:
                self.reported.add(session.uid)
            self._recorder.record(session, "Warning", "SessionDeletionFailed", detail)

"""The collector: the rooms that a session passes through, each once, on its way out.

    cluster ──change──▶ queue ──due──▶ validation ──valid──▶ workers ──DELETE──▶ outcome
                          ▲   holds?       │ not due             │ changed, failed   │
                          └────────────────┴──────release────────┴───────────────────┘

There is no sweep and no polling: a change in the cluster judges what it touches, and a timer waits for the earliest
due of all. Knows the way through the rooms. Does not know what happens in any of them.
"""

import asyncio

from ssh_session_gc.cluster.cluster import Cluster
from ssh_session_gc.core.model import SessionState
from ssh_session_gc.core.survey import Survey, survey
from ssh_session_gc.daemon.deletion import Deleter
from ssh_session_gc.daemon.election import Elector
from ssh_session_gc.daemon.events import Recorder
from ssh_session_gc.daemon.holds import Holds
from ssh_session_gc.daemon.limiter import Limiter
from ssh_session_gc.daemon.outcome import Outcomes
from ssh_session_gc.daemon.queue import Queue
from ssh_session_gc.daemon.validation import Validation
from ssh_session_gc.daemon.workers import Workers
from ssh_session_gc.kube.client import Api
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics

FAREWELL = 1.0
"""Seconds that deletions under way get to finish when the program stops."""


class Collector:
    """Judges the sessions of a cluster and deletes those that are due."""

    def __init__(
        self, cluster: Cluster, api: Api, settings: Settings, metrics: Metrics, recorder: Recorder, elector: Elector
    ) -> None:
        self._cluster, self._time, self._settings = cluster, api.time, settings
        self._all_changed = False
        self.queue = Queue(cluster, api.time, settings.policy)
        self._holds = Holds(elector, api.time)
        self.validation = Validation(cluster, api, settings, self.queue)
        self.outcomes = Outcomes(cluster, api, settings, metrics, recorder, self.queue, self._holds)
        limiter, deleter = Limiter(settings.max_deletes_per_minute), Deleter(api, settings, elector)
        self.workers = Workers(self.queue, self.validation, self._holds, limiter, deleter, self.outcomes)
        cluster.subscribe(self._changed)
        elector.subscribe(lambda _: self.queue.wake())

    async def run(self) -> None:
        """Collects until cancelled; deletions under way then get a moment to finish, and nothing new begins."""
        tasks = {asyncio.create_task(self.workers.run()) for _ in range(self._settings.concurrency)}
        tasks.add(asyncio.create_task(self.validation.run()))
        for task in tasks:
            task.add_done_callback(lambda _: self.queue.wake())
        try:
            while True:
                self.queue.begin_turn()
                for task in tasks:
                    if task.done():
                        task.result()  # it ends only by a mistake of ours, which must not stay hidden
                if self._all_changed:
                    self._all_changed = False
                    self.queue.judge_all()
                if self._holds.why() is None:
                    for uid in self.queue.take():
                        self.validation.put(uid)
                await self.queue.sleep(held=self._holds.why() is not None)
        finally:
            self.workers.close()
            under_way = tasks & self.workers.deleter.in_flight
            for task in tasks - under_way:
                task.cancel()
            if under_way:
                await asyncio.wait(under_way, timeout=FAREWELL)
            for task in under_way:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def survey(self) -> Survey:
        """How the sessions and owners stand now; nothing before the API server's first answer."""
        try:
            now = self._time.now()
        except ValueError:
            return Survey()
        sessions, verdicts = self._cluster.sessions.by_uid, self.queue.verdicts
        judged = (
            (session, verdicts[uid], self._cluster.connections.of(uid))
            for uid, session in sessions.items()
            if uid in verdicts
        )
        counts = survey(judged, self._cluster.owners, self._settings.policy, now)
        counts.owner_known &= self.validation.owners_known
        counts.sessions[SessionState.UNREADABLE] = self._cluster.sessions.unreadable_pods
        return counts

    def _changed(self, uid: str | None) -> None:
        if uid is None:
            # Owners change in bursts, during a rollout or a list: all sessions are judged once after it, and at once.
            self._all_changed = True
            self.queue.wake()
        elif session := self._cluster.sessions.by_uid.get(uid):
            self.queue.judge(session)
        else:
            self.queue.forget(uid)
            self.outcomes.forget(uid)

"""What is really so in the simulated world: which processes live, who is in which session, when each began and ended.

The collectors know nothing of it. A deletion is judged here at the moment at which the API server is about to accept
it; times are by a clock that nobody sets.
"""

import math
from collections.abc import Container
from contextlib import suppress
from datetime import datetime
from functools import partial

from ssh_session_gc.core.model import KEEP, TTL, Reason, Verdict
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.sandbox import TrueSession, World
from ssh_session_gc.sandbox.api.objects import PODS, Change, Object
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.node.kubelet import Kubelet
from ssh_session_gc.sandbox.node.programs import Process
from tests.simulation.telling import Telling

TTLS = {"90s": 90.0, "10m": 600.0, "3h": 10800.0}
"""What may stand in the annotation and is a duration; anything else is longer than any limit, or cannot be read."""
BY_STATUS = 1.0
"""Seconds by which a time in a status may be early: it is cut to whole ones."""
BY_DATE = 1.5
"""Seconds by which a session may seem older than it is: its date is cut to whole ones, and API servers are apart."""
NOTICED = 90.0
"""Seconds in which collectors notice that a clock was set; who comes meanwhile is dated by either."""
BY_SUCCESSOR = 3.0
"""Seconds by which an owner may seem to have ended early whose end nobody saw: it had when the next one in its Pod
started, and that start is taken for as early as the clocks allow."""


class Truth:
    """Judges deletions and leftovers in one world by what is really so in it."""

    def __init__(self, world: World, policy: Policy, telling: Telling) -> None:
        self._world, self._policy, self._telling = world, policy, telling
        self._now = world.store.true_now
        self._apart = False
        """Whether nodes were ever far ahead of the API server."""
        self._set = -math.inf
        """When an API server's clock was set last. What had ended before that may seem to have ended at any time."""
        self.hidden: Container[str] = ()
        """uids of owner Pods that have lost their label: nobody follows what they say."""
        self.misdated: Container[str] = ()
        """uids of sessions whose age nobody can know."""
        self.late: Container[str] = ()
        """uids of sessions that a collector heard of late: to it they may be younger than they are."""
        self.unread: Container[str] = ()
        """Connections whose lines may be in a file that nobody reads any more."""
        self._empty_since: float | None = None
        """Since when nobody is connected to any owner; None where somebody may be."""
        self._deleted: dict[str, float] = {}
        """When the deletion of a session was first accepted, by uid."""
        self.shells: dict[str, Process] = {}
        """The first process of each session, by uid."""
        self._started: dict[Process, float] = {}
        self._ended: dict[Process, float] = {}
        self._skews: dict[Process, float] = {}
        """Seconds by which its node's clock was ahead when it started, or ended, the lesser of both."""
        world.store.subscribe(self._changed)
        for kubelet in world.kubelets.values():
            kubelet.started.subscribe(partial(self._process_started, kubelet))
            kubelet.ended.subscribe(partial(self._process_ended, kubelet))

    def _changed(self, change: Change) -> None:
        metadata = change.object["metadata"]
        if change.resource is PODS and "deletionTimestamp" in metadata:
            self._deleted.setdefault(metadata["uid"], self._now())

    def _process_started(self, kubelet: Kubelet, process: Process) -> None:
        self._started[process], self._skews[process] = self._now(), kubelet.skew
        self.shells.setdefault(process.pod_uid, process)

    def _process_ended(self, kubelet: Kubelet, process: Process) -> None:
        self._ended[process] = self._now()
        self._skews[process] = min(self._skews[process], kubelet.skew)

    def clock_set(self) -> None:
        """Notes that an API server's clock was set."""
        self._set = self._now()
        self._apart |= any(kubelet.skew > NOTICED for kubelet in self._world.kubelets.values())

    def wrong(self, pod: Object, verdict: Verdict, policy: Policy, *, stranger: bool) -> str:
        """What is wrong with deleting this Pod now by this verdict and these limits; "" where nothing is.

        ``stranger``: the collector never saw its owner, but by looking that one up. Since when it is gone nobody can
        tell then; that it is gone must be true all the same.
        """
        metadata, now, reason = pod["metadata"], self._now(), verdict.reason
        session = self._world.containerssh.sessions.get(metadata["uid"])
        if session is None or "containerssh_connection_id" not in metadata["labels"]:
            return "it is no session"
        if metadata.get("annotations", {}).get(KEEP) == "true":
            return "it is exempt"
        if "deletionTimestamp" in metadata:
            # What is forced was due when it was deleted; by now it is on its way out.
            patience = BY_DATE + now - self._deleted[session.uid]
            return "" if verdict.force and patience > policy.force_after > 0 else "it has been deleted already"
        age = now - session.created + BY_DATE
        if _spared(pod) and age < policy.max_ttl - 0.001:
            return "somebody wanted to keep it"
        if session.uid in self.misdated and reason in (Reason.OVER_AGE, Reason.START_TIMEOUT, Reason.OWNERLESS):
            return ""
        match reason:
            case Reason.OVER_AGE if not policy.max_age or age < self.limit(pod, policy) - 0.001:
                return f"it is {age:.3f} s old and may be {self.limit(pod, policy):g}"
            case Reason.OWNERLESS if session.creator.alive:
                return "its owner lives"
            case Reason.OWNERLESS if not stranger and (
                self._over_for(session.creator) < policy.owner_grace - BY_SUCCESSOR
            ):
                return f"its owner has ended {self._over_for(session.creator):.3f} s ago"
            case Reason.ABANDONED if session.live:
                return "somebody is in it"
            case Reason.ABANDONED if session.persistent:
                return "it is kept on purpose"
            case Reason.ABANDONED if now - self._left(session) < policy.abandoned_grace - BY_STATUS:
                return f"its user has left {now - self._left(session):.3f} s ago"
            case Reason.FINISHED if session.uid not in self.shells:
                return ""  # a backup brought it back after its end, and it never ran
            case Reason.FINISHED if not session.finished:
                return "it has not finished"
            case Reason.FINISHED if self._over_for(self.shells[session.uid]) < policy.finished_grace - BY_STATUS:
                return f"it has finished {self._over_for(self.shells[session.uid]):.3f} s ago"
            case Reason.START_TIMEOUT if age < policy.start_timeout - 0.001:
                return f"it has had {age:.3f} s to start"
            case Reason.START_TIMEOUT if session.live or self._says_started(pod, session):
                return "it started in time"
        return ""

    def limit(self, pod: Object, policy: Policy) -> float:
        """The age that this session may reach."""
        notes = pod["metadata"].get("annotations", {})
        if _spared(pod):
            return policy.max_ttl
        return min(TTLS.get(notes[TTL], math.inf), policy.max_ttl) if TTL in notes else policy.max_age

    def excepted(self, session: TrueSession) -> bool:
        """Whether it may stay for longer than others: it is exempt, or gone, or no session any more."""
        pod = self.pod(session)
        if pod is None or "containerssh_connection_id" not in pod["metadata"]["labels"]:
            return True
        return (
            pod["metadata"].get("annotations", {}).get(KEEP) == "true"
            or self.limit(pod, self._policy) > self._policy.max_age
        )

    def tellable(self, session: TrueSession, *, stamped: bool, bound: float) -> bool:
        """Whether the outside has shown for ``bound`` seconds by now that it is an orphan."""
        if self.excepted(session):
            return False
        pod = self.pod(session)
        assert pod is not None
        now = self._now()
        shell = self.shells.get(session.uid)
        if pod["status"].get("phase") in ("Succeeded", "Failed"):
            return shell is None or now - self._ended.get(shell, 0.0) > bound
        if not self._world.kubelets[pod["spec"]["nodeName"]].connected.is_set():
            return False
        if session.created < self._set + NOTICED:
            # By one clock or the other it has started in time, and may be anybody's: only a log tells, and that of a
            # node that was far ahead may have told what is yet to come.
            return not self._apart and self._said(session, bound)
        timeout = self._policy.start_timeout + BY_STATUS
        late = shell is None or self._started[shell] - session.created + min(0.0, self._skews[shell]) > timeout
        undated = session.uid in self.misdated or session.uid in self.late
        if late and self._policy.start_timeout and not undated:
            return now - session.created > self._policy.start_timeout + bound
        if self._said(session, bound) or self._counted(bound):
            return True
        if undated or session.creator.alive or session.given_up or session.closed:
            return False  # its creator gave it up: nobody but its age can tell
        # Without the stamp, any owner that is old enough may have made it.
        others = [replica.process for replica in self._world.containerssh.replicas]
        if stamped:
            others = [process for process in others if process.pod_uid == session.creator.pod_uid]
        if any(self._started[process] < self._set for process in others):
            return False  # it is dated by another clock: it may own anybody
        starts = (self._started[process] + min(0.0, self._skews[process]) for process in others)
        return all(started > session.created + 5.0 for started in starts) and (
            now - self._ended[session.creator] > bound
        )

    def look(self) -> None:
        """Notes whether anybody is connected to any owner. To be called every few seconds, once faults have ended."""
        replicas = self._world.containerssh.replicas
        reached = replicas and all(each.online and each.process.pod_uid not in self.hidden for each in replicas)
        if not reached or any(each.counts.current or each.process.terminating.is_set() for each in replicas):
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = self._now()

    def _left(self, session: TrueSession) -> float:
        """Since when nobody is in it who was: ContainerSSH's log told so, or the last connection to it has ended."""
        ends = [each.ended or self._end(each.process) - BY_SUCCESSOR for each in session.connections]
        return min(math.inf if session.left is None else session.left, max(ends, default=-math.inf))

    def _said(self, session: TrueSession, bound: float) -> bool:
        """Whether the log of its owner, which lives, has told for so many seconds that nobody uses it any more."""
        if not self._telling.logs or session.left is None or not session.creator.alive:
            return False
        hidden = session.creator.pod_uid in self.hidden or session.connection in self.unread
        replica = next(each for each in self._world.containerssh.replicas if each.process is session.creator)
        return replica.online and not hidden and self._now() - session.left > bound

    def _counted(self, bound: float) -> bool:
        """Whether every owner has counted nobody for so many seconds. Where logs tell who is connected, and not
        always who has gone, they are believed."""
        told = self._telling.gauge and not (self._telling.logs and self._telling.level == "debug")
        return told and self._empty_since is not None and self._now() - self._empty_since > bound

    def pod(self, session: TrueSession) -> Object | None:
        """Its Pod, if that is still there."""
        with suppress(Refusal):
            pod = self._world.store.get(PODS, "ssh-sessions", session.name)
            if pod["metadata"]["uid"] == session.uid:
                return pod
        return None

    def _over_for(self, process: Process) -> float:
        """For how many seconds it is over, as far as can be told."""
        return math.inf if self._end(process) < self._set else self._now() - self._end(process)

    def _end(self, process: Process) -> float:
        """When it ended, which may be never; by its node's clock where that is behind, as nothing else says it."""
        return self._ended.get(process, math.inf) + min(0.0, self._skews[process])

    def _says_started(self, pod: Object, session: TrueSession) -> bool:
        """Whether its status, as it stands in the store, tells of a start in time."""
        for status in pod["status"].get("containerStatuses", ()):
            run = status["state"].get("running") or status["state"].get("terminated")
            if run is not None and run["startedAt"] is not None:
                shell, started = self.shells.get(session.uid), datetime.fromisoformat(run["startedAt"]).timestamp()
                # Its node's clock may have been set since: the process itself tells.
                if shell is not None and int(shell.started) == started:
                    return self._started[shell] - session.created <= self._policy.start_timeout
        return False


def _spared(pod: Object) -> bool:
    """Whether somebody wanted to keep it, in words that nobody can read."""
    return pod["metadata"].get("annotations", {}).get(KEEP, "") not in ("", "true", "false")

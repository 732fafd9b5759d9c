"""ContainerSSH's processes: they come and go with their containers, and all their memory with them.

Knows when a process starts and ends and which parts take it from there: how users come, ``arrival`` knows, how they
leave, ``departure``, and how a process ends, ``shutdown``. Keeps the truth about every session up to date.
"""

import asyncio
import random
from collections.abc import Callable
from functools import partial

from ssh_session_gc.sandbox.api.objects import PODS, Change, Object
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.containerssh import lines
from ssh_session_gc.sandbox.containerssh.arrival import Arrivals
from ssh_session_gc.sandbox.containerssh.departure import Departures
from ssh_session_gc.sandbox.containerssh.layouts import ARTICLE, CONSOLE, Layout, Mode
from ssh_session_gc.sandbox.containerssh.leaks import Leaks
from ssh_session_gc.sandbox.containerssh.log import LogLevel
from ssh_session_gc.sandbox.containerssh.metrics import MetricsPorts
from ssh_session_gc.sandbox.containerssh.register import Register
from ssh_session_gc.sandbox.containerssh.removal import Removal
from ssh_session_gc.sandbox.containerssh.replica import Replica
from ssh_session_gc.sandbox.containerssh.shutdown import shut_down
from ssh_session_gc.sandbox.containerssh.truth import TrueSession
from ssh_session_gc.sandbox.node.kubelet import Kubelet
from ssh_session_gc.sandbox.node.nodes import DISRUPTED
from ssh_session_gc.sandbox.node.programs import Process

POD_START = 60.0
"""Seconds that ContainerSSH waits for a Pod (its ``timeouts.podStart``)."""


class ContainerSSH:
    """All processes of the cluster: one wherever an owner container runs."""

    def __init__(
        self,
        store: Store,
        *,
        layout: Layout = ARTICLE,
        mode: Mode | None = None,
        stamp: bool = False,
        pod_start: float = POD_START,
        clean_shutdown: bool = False,
        log_level: LogLevel = "debug",
        metrics: MetricsPorts | None = None,
        leaks: float = 0.0,
        rng: random.Random | None = None,
    ) -> None:
        """``mode``: in place of the layout's. ``stamp``: an admission policy writes the creating Pod's name and uid
        onto each session.
        ``clean_shutdown``: after SIGTERM a process ends its sessions and then itself, as version 0.6 does. Otherwise
        it takes its time and dies, as the stand-in of the older recordings does.
        ``log_level``: "notice" leaves only the errors in the log. ``metrics``: where it serves its metrics.
        ``leaks``: the probability that a user who leaves leaves the Pod behind, in mode ``connection``."""
        self._store, self._layout, self._clean = store, layout, clean_shutdown
        self._log_level, self._metrics = log_level, metrics
        rng = rng or random.Random()  # noqa: S311 - connection ids
        self.register = Register(mode or layout.mode)
        self._kubelets: list[Kubelet] = []
        self.removal = Removal(store, layout.session_namespace)
        self._departures = Departures(store, self.register, self.removal)
        self.arrivals = Arrivals(
            store, layout, self.register, self._departures, stamp=stamp, pod_start=pod_start, rng=rng
        )
        self._leaks = Leaks(leaks, rng, self._departures)
        self._unsubscribe: Callable[[], None] = lambda: None

    @property
    def replicas(self) -> list[Replica]:
        """The processes that run, oldest first."""
        return self.register.replicas

    @property
    def sessions(self) -> dict[str, TrueSession]:
        """Every session that ever was, by uid."""
        return self.register.sessions

    def start(self) -> None:
        """Follows the store from now on."""
        self._unsubscribe = self._store.subscribe(self._heard)

    async def stop(self) -> None:
        """Follows the store no longer, and ends all waiting."""
        self._unsubscribe()
        waiting = [task for replica in self.replicas for task in replica.waiting]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    def serve(self, kubelet: Kubelet) -> None:
        """Follows a kubelet: an owner container that it starts is a process."""
        self._kubelets.append(kubelet)
        kubelet.started.subscribe(partial(self._process_started, kubelet))
        kubelet.stopping.subscribe(self._process_stopping)
        kubelet.ended.subscribe(self._process_ended)

    # Users leave

    def close(self, session: TrueSession) -> None:
        """Has the session's user end the program and leave: ContainerSSH deletes the Pod if it still remembers it and
        reaches the API server, and otherwise tries again for a minute. In the other modes it deletes nothing."""
        if (seat := self.register.seat(session)) is None:
            return
        if self.register.mode == "session" and self._end_program(session):
            return
        connection, replica = seat
        if self.register.mode == "connection" and self._leaks.leak(session, connection, replica):
            return
        if session.up and not connection.mute:
            replica.write(lines.exited(connection.login, 0))
        self._departures.depart(session, connection, replica, killed=False)

    def hang_up(self, session: TrueSession) -> None:
        """Has the user's client go while the program runs, which in mode ``session`` runs on."""
        if (seat := self.register.seat(session)) is not None:
            self._departures.depart(session, *seat, killed=session.up)

    def leave(self, session: TrueSession) -> None:
        """Has the user be gone after ``ssh -t HOST true``: ContainerSSH's log tells so, and the Pod stays (recorded).
        Does nothing where the Pod is not up yet, as no program can have run in it."""
        if self.register.mode == "session":
            self.close(session)  # the Pod ends with its program
        elif (seat := self.register.seat(session)) is not None and session.up:
            self._departures.leave_after_command(session, *seat)

    def leave_unsaid(self, session: TrueSession) -> None:
        """Has the user leave where the audit log cannot be written: only the gauge tells of it, and the Pod stays."""
        if (seat := self.register.seat(session)) is not None:
            self._departures.leave_unsaid(session, *seat)

    def _end_program(self, session: TrueSession) -> bool:
        """Ends the program that a session is, in mode ``session``. Returns whether it had begun."""
        for kubelet in self._kubelets:
            if (process := kubelet.processes.get((session.uid, CONSOLE))) is not None:
                kubelet.end(process, 0)
                return True
        return False

    # Processes start and end

    def _process_started(self, kubelet: Kubelet, process: Process) -> None:
        if (process.namespace, process.container) == (self._layout.owner_namespace, self._layout.container):
            replica = Replica(process, kubelet, self._log_level)
            self.replicas.append(replica)
            if self._metrics is not None:
                self._metrics.open(process, kubelet, replica.counts)
            replica.write(*lines.start())

    def _process_stopping(self, process: Process) -> None:
        if self._metrics is not None:
            self._metrics.close(process)
        for replica in [r for r in self.replicas if r.process is process and self._clean]:
            replica.begin(shut_down(replica, self.register, self._departures), f"shutdown {process.pod}")

    def _process_ended(self, process: Process) -> None:
        session = self.sessions.get(process.pod_uid)
        if session is not None and process.container == CONSOLE:
            session.finished = True
            if self.register.mode == "session":
                self._departures.program_ended(session, process.exit_code)
        if self._metrics is not None:
            self._metrics.close(process)
        for replica in [r for r in self.replicas if r.process is process]:
            # All that it knew is gone with it.
            self.replicas.remove(replica)
            for task in replica.waiting:
                task.cancel()

    # The cluster tells

    def _heard(self, change: Change) -> None:
        session = self.sessions.get(change.object["metadata"].get("uid", "")) if change.resource is PODS else None
        if session is None:
            return
        if not session.up and _available(change.object):
            session.up = True
            self.arrivals.came_up(session)
        if change.type == "DELETED":
            session.gone = True
        asked = change.type == "DELETED" or "deletionTimestamp" in change.object["metadata"]
        if asked and session.deleted is None and session.uid not in self.removal.asked:
            session.deleted, session.was_live = self._store.true_now(), session.live
            conditions = change.object["status"].get("conditions", ())
            session.evicted = any(condition["type"] == DISRUPTED for condition in conditions)
        if session.gone:
            self._departures.thrown_out(session)


def _available(pod: Object) -> bool:
    """Whether a Pod has come up: it runs, and none of its containers does so without being ready."""
    statuses = pod["status"].get("containerStatuses", ())
    return pod["status"].get("phase") == "Running" and not any(
        "running" in each["state"] and not each["ready"] for each in statuses
    )

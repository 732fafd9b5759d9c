"""What a Pod's status says of its session container: whether it ever started, whether it has ended for good, and
whether ContainerSSH can ever have let anybody in.

Knows what each state, its absence and its oddities mean. Does not know what follows from it (``core.rules``) or how
the container is chosen (``pods``).

**No fact, no death**: only what the status says for certain is told; whatever is missing, null or odd counts as if
the container had started with its Pod and went on.

=====================================  =====================  ========================================================
the status of the session container    started                ended for good
=====================================  =====================  ========================================================
there is none; the Pod is Pending      never, if no other     no
                                       has one
there is none; another phase           with its Pod           no: the phase says it
an empty state; the Pod is Pending     never                  no
an empty state; another phase          with its Pod           no
waiting, and nothing ran before        never                  no
running                                ``startedAt``          no
terminated                             ``startedAt``          ``finishedAt``, if it is not to be restarted
the same, by a failed start            never                  the same
``lastState``, restarted once          its ``startedAt``      by the state
the same, and that was a failed start  by the state           by the state
restarted more often, or no            with its Pod           by the state
``lastState`` though restarted
the same, but nothing runs, and all    never                  by the state
that the status tells of failed
=====================================  =====================  ========================================================

The facts are from the Kubernetes API (``ContainerStatus``), a kubelet 1.36 with containerd, and the recordings.
"""

from datetime import datetime
from typing import NamedTuple

from ssh_session_gc.kube.wire import Condition, Container, ContainerStatus, Pod, State, Terminated

FAILED_STARTS = frozenset(("StartError", "ContainerCannotRun"))
"""Reasons of the kubelet's for a container that ended without having run."""
SKEW = 30.0
"""Seconds by which a time in a status may be before its Pod's creation, for a clock that is a little behind."""
LOST = "ContainerStatusUnknown"
"""The reason of a container that the kubelet could not find any more: it says nothing of when it ran."""
FINAL = frozenset(("Succeeded", "Failed"))


class Shell(NamedTuple):
    """What is certain of the session container. Times are the node's clock, in epoch seconds."""

    started: float | None
    """Its first start; its Pod's creation, where that is not known but nothing says that there was none. None: it has
    never started."""
    waiting: str
    """Why it does not run (yet), in the kubelet's words."""
    finished: float | None
    """When it ended for good, though the Pod may go on."""
    stopped: float | None
    """When its last run ended, while it waits to be restarted."""
    never_ready: bool
    """Its Pod was not Ready for a moment since it started: ContainerSSH gave up on it (recorded)."""


def shell(pod: Pod, container: Container | None, ahead: float) -> Shell:
    """What this Pod says of its session container; None where it has none by that name.

    ``ahead``: seconds by which its node's clock runs ahead of the API server's.
    """
    created, phase = pod.metadata.creation_timestamp.timestamp(), pod.status.phase
    if container is None:
        return Shell(created, "", None, None, False)
    status = status_of(pod, container.name)
    if status is None:
        unplaced = phase == "Pending" and not pod.status.container_statuses
        return Shell(None if unplaced else created, "", None, None, False)
    state = status.state or State()
    never = not (state.running or state.terminated or state.waiting) and phase != "Pending"
    started = created if never else _first_start(status, state, created, ahead)
    waiting = state.waiting.reason if state.waiting else ""
    finished = _end(pod, container, state)
    stopped = None if finished is not None or phase in FINAL else _stopped(status, state)
    return Shell(started, waiting, finished, stopped, _never_ready(pod.status.conditions, status, state, created))


def status_of(pod: Pod, container: str) -> ContainerStatus | None:
    """The status of a container; None where it has none (yet)."""
    # The kubelet sorts the statuses by name: position says nothing.
    for status in pod.status.container_statuses or ():
        if status.name == container:
            return status
    return None


def _first_start(status: ContainerStatus, state: State, created: float, ahead: float) -> float | None:
    """Its first start. The status remembers two runs; where it had more, the first one is not among them."""
    last = status.last_state.terminated if status.last_state else None
    forgotten = status.restart_count > 1 or (status.restart_count == 1 and last is None)
    runs = [run for run in (last, state.terminated) if run is not None]
    ran = next((run for run in runs if not _failed_to_start(run)), None)
    if state.running is not None:
        if forgotten:
            return created
        return _start((state.running if ran is None else ran).started_at, created, ahead)
    if ran is not None:
        return created if forgotten else _start(ran.started_at, created, ahead)
    # It does not run, and whatever it is known to have tried has failed.
    return created if forgotten and not runs else None


def _failed_to_start(run: Terminated) -> bool:
    never = run.started_at is not None and run.started_at.timestamp() <= 0
    return run.reason in FAILED_STARTS or (never and run.reason != LOST)


def _start(at: datetime | None, created: float, ahead: float) -> float:
    return created if at is None else max(created, at.timestamp() - ahead)


def _end(pod: Pod, container: Container, state: State) -> float | None:
    """When it ended for good; None where it has not, or is to be restarted, or nobody can tell."""
    ended = state.terminated
    if ended is None or ended.finished_at is None or ended.reason == LOST or container.restart_policy_rules:
        return None
    policy = container.restart_policy or pod.spec.restart_policy
    # An API server always says which; a manifest may not, and then what ended well has ended.
    for_good = policy == "Never" or (policy in ("OnFailure", None) and ended.exit_code == 0)
    return ended.finished_at.timestamp() if for_good else None


def _stopped(status: ContainerStatus, state: State) -> float | None:
    """When the last run ended of what does not run now; None where nobody can tell, or where it failed to start."""
    last = status.last_state.terminated if status.last_state else None
    run = state.terminated or (None if state.running else last)
    if run is None or run.finished_at is None or _failed_to_start(run):
        return None
    return run.finished_at.timestamp()


def _never_ready(conditions: list[Condition] | None, status: ContainerStatus, state: State, created: float) -> bool:
    """Whether Ready has been False since before it started, which it then never was. That it is False now says
    nothing: it turns with the node's health."""
    if status.restart_count or state.running is None or state.running.started_at is None:
        return False
    if any(each.type == "ContainersReady" and each.status != "False" for each in conditions or ()):
        return False  # its containers are, and only its node does not report
    for condition in conditions or ():
        if condition.type == "Ready" and condition.status == "False" and condition.last_transition_time:
            # The kubelet turns it, or the control plane where the node is lost. What is from long before its Pod is
            # by a clock that was set, and says nothing.
            since = condition.last_transition_time
            return since <= state.running.started_at and since.timestamp() > created - SKEW
    return False

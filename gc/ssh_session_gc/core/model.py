"""The values that the core speaks of: sessions, owners and what may be said of them.

Knows what each fact means and where Kubernetes states it. Does not know how facts are read off the wire
(``kube.pods``), how owners follow from what a Pod says (``owners``) or what follows from all of it (``rules``).

msgspec structs rather than dataclasses: frozen, a tenth of the cost to build, and outside the garbage
collector's rounds, which counts with a hundred thousand sessions.
"""

from enum import StrEnum
from typing import NamedTuple

import msgspec

from ssh_session_gc.core.gauge import Idle

CONNECTION_ID = "containerssh_connection_id"
"""The label that ContainerSSH puts on every Pod that it makes."""
KEEP = "ssh-session-gc/keep"
TTL = "ssh-session-gc/ttl"
OWNER_POD_UID = "ssh-session-gc/owner-pod-uid"
OWNER_POD_NAME = "ssh-session-gc/owner-pod-name"


class Session(msgspec.Struct, frozen=True, gc=False):
    """One session Pod, known by uid, never by name alone.

    ``created`` is the API server's clock. ``started`` and ``finished`` are the kubelet's; both clocks are cut
    to whole seconds (Kubernetes API conventions, metav1.Time). Whoever saw the Pod appear knows better than a
    ``creationTimestamp`` by a wrong clock: there, ``created`` is what was seen (``cluster.sessions``).
    """

    uid: str
    name: str
    resource_version: str
    created: float
    phase: str
    user: str = ""
    connection_id: str = ""
    client_ip: str = ""
    started: float | None = None
    """First start of the session's container; its Pod's creation, where that is not known but nothing says that there
    was none. None: it has never started."""
    waiting: str = ""
    """Why the container is not running yet: the kubelet's waiting reason, such as ``ImagePullBackOff``."""
    finished: float | None = None
    """When the last container ended, or the session's container for good; None before."""
    stopped: float | None = None
    """When the last run of its container ended, while it waits to be restarted; None where nobody knows, as well."""
    never_ready: bool = False
    """It runs, and has not been Ready for a moment: ContainerSSH gave up on it."""
    deletion: float | None = None
    """``deletionTimestamp``: when the grace of an accepted deletion is over."""
    keep: bool = False
    ttl: float | None = None
    """The session's own limit of age in seconds, from its annotation; infinity where that cannot be read."""
    spared: bool = False
    """Its ``keep`` cannot be read: it is exempt from every rule until it is as old as any may get."""
    stamp_uid: str = ""
    """uid of the Pod that created the session, where an admission policy wrote it down."""
    stamp_name: str = ""
    invalid: tuple[str, ...] = ()
    """Annotations of ours that could not be read."""
    persistent: bool = False
    """ContainerSSH keeps it on purpose (``mode: persistent``), whether or not somebody is in it."""
    attached: bool = False
    """Its user's program is the container itself (``mode: session``), so one connection may have several."""
    foreign: bool = False
    """It lies where ContainerSSH runs, without the label that ContainerSSH puts on every Pod that it makes: it may be
    ContainerSSH itself."""
    dated: float | None = None
    """When it was created by the API server's clock before that was set; None while it was not. What owners tell is
    dated by nodes' clocks, which were set at other times, or never."""

    @property
    def created_by(self) -> float:
        """When it had been created at the latest, by either clock: whoever had started by then may own it."""
        return self.created if self.dated is None or self.dated < self.created else self.dated


class OwnerState(StrEnum):
    """The state of one incarnation of the owner container."""

    RUNNING = "Running"
    STARTING = "Starting"
    ENDED = "Ended"
    UNREACHABLE = "Unreachable"
    """Its node is cut off. The container may well be running, so it counts as alive."""


class Run(NamedTuple):
    """One run of the owner container, told from the others by its start."""

    pod_uid: str
    started: float | None


class Incarnation(msgspec.Struct, frozen=True, gc=False):
    """One incarnation of the ContainerSSH container: (Pod uid, container, started … finished)."""

    pod: str
    pod_uid: str
    container: str
    state: OwnerState
    earliest_start: float
    """The earliest moment at which it can have created a session: its start, or the earliest start possible. Infinity
    while its Pod has no node."""
    started: float | None = None
    finished: float | None = None
    """When it ended, or the first moment at which it had certainly ended. Set exactly when ENDED."""
    ending: str = ""
    """How it ended, for people: ``exit 137, Error``."""
    first: bool = False
    """Its Pod had no incarnation before. Whatever that Pod created while this one lives is its own."""
    confirmed: bool = True
    """False where nothing but the Pod's disappearance says that it ended (see ``ownership.to_look_up``)."""
    address: str = ""
    """The Pod's IP address, while the container runs."""

    @property
    def run(self) -> Run:
        """The run of the container that this is."""
        return Run(self.pod_uid, self.started)

    @property
    def alive(self) -> bool:
        """Whether its container may be running."""
        return self.state is not OwnerState.ENDED


class Ownership(msgspec.Struct, frozen=True, gc=False):
    """Who owns a session: ``owner`` is alive and could have created it, or it is the last that could have.

    ``since`` is when the session lost its last owner; None while it may have one. ``exact`` is False where an
    owner may have lived that nobody saw, so that "since" is to be read as "at the latest since".
    """

    owner: Incarnation | None
    since: float | None
    exact: bool
    idle: Idle | None = None
    """When nobody was connected to any owner that may be alive and could have created it, as their gauges say."""


class Reason(StrEnum):
    """Why a session is collected. Spelled so in metrics, logs, Events and output."""

    OVER_AGE = "OverAge"
    OWNERLESS = "Ownerless"
    ABANDONED = "Abandoned"
    START_TIMEOUT = "StartTimeout"
    FINISHED = "Finished"


class Action(StrEnum):
    """What to do with a session now."""

    KEEP = "Keep"
    """Nothing, and nothing is due as things stand."""
    WAITING = "Waiting"
    """Nothing yet: it is due later."""
    COLLECT = "Collect"
    """Delete it: it is due."""


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What the rules say of one session now.

    ``due`` is the moment at which it turns, or turned, to Collect: None for Keep. ``ownership`` is None where
    nothing is known of owners, or nobody asked.
    """

    action: Action
    reason: Reason | None = None
    due: float | None = None
    ownership: Ownership | None = None
    force: bool = False
    """Delete with grace 0: its deletion was accepted long ago and nothing came of it."""

    def at(self, now: float) -> "Verdict":
        """The same verdict at another time: as long as the facts stand, only what is due changes."""
        if self.due is None:
            return self
        return msgspec.structs.replace(self, action=Action.COLLECT if now >= self.due else Action.WAITING)


class ConnectionState(StrEnum):
    """What is known of a session's connection: the label of the ``connections`` gauge."""

    OPEN = "open"
    ENDED = "ended"
    UNKNOWN = "unknown"


class SessionState(StrEnum):
    """Where a session stands, each in exactly one: the label of the ``sessions`` gauge."""

    OWNED = "owned"
    """An owner may be alive, or nobody can tell, and nothing but its age will end it."""
    WAITING = "waiting"
    """Without an owner, unstarted, finished or due: it is on its way out."""
    EXEMPT = "exempt"
    TERMINATING = "terminating"
    STUCK = "stuck"
    """Its deletion was accepted and the grace is long over, but it is still there."""
    UNREADABLE = "unreadable"
    """Its Pod cannot be read, and is left alone."""

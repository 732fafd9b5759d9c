"""Mistakes made on purpose, by name, each of which the simulation has to notice: how sharp its eyes are.

Each replaces something in the program for the rest of the process. None is a thing of the imagination: they are what
one forgets, simplifies or gets backwards.
"""

import asyncio
import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ssh_session_gc.cluster import owner_pods, reads
from ssh_session_gc.cluster.owner_pods import OwnerPods
from ssh_session_gc.cluster.reads import read_owners
from ssh_session_gc.cluster.sessions import SessionPods
from ssh_session_gc.cluster.source import Source
from ssh_session_gc.cluster.workload import OwnerWorkload
from ssh_session_gc.core import owners, ownership
from ssh_session_gc.core.clock import ServerClock
from ssh_session_gc.core.connections import Connection
from ssh_session_gc.core.election import may_take
from ssh_session_gc.core.model import Incarnation, Ownership, OwnerState, Session
from ssh_session_gc.core.owners import OwnerPod, Owners
from ssh_session_gc.core.rules import judge
from ssh_session_gc.daemon import election, validation
from ssh_session_gc.daemon.deletion import Deleter
from ssh_session_gc.daemon.election import Elector
from ssh_session_gc.daemon.outcome import Outcomes
from ssh_session_gc.daemon.queue import Queue
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.errors import ApiError
from ssh_session_gc.kube.listing import Collection, Listing, list_all
from ssh_session_gc.kube.pods import owner_pod
from ssh_session_gc.kube.reflector import Reflector
from ssh_session_gc.kube.servertime import ServerTime
from ssh_session_gc.kube.wire import Pod
from ssh_session_gc.settings import DryRun, Settings
from tests.simulation import mishearing
from tests.simulation.replacing import replace

Sabotage = Callable[[], None]


# Owners


def no_fresh_read() -> None:
    """Ownerless is believed as the streams tell it."""

    async def known(_: Api, __: Any, known: Owners, *___: Any) -> Owners:
        return known

    replace(validation, "read_owners", known)


def fresh_read_from_the_cache() -> None:
    """The last look at the owners may be answered from a cache that lags."""

    class Cached(Collection[Any]):
        @property
        def query(self) -> dict[str, str]:
            return {**super().query, "resourceVersion": "0"}

    async def cached(api: Api, c: Collection[Any]) -> Listing[Any]:
        return await list_all(api, Cached(c.resource, c.namespace, c.decoder, c.labels, c.fields))

    replace(reads, "list_all", cached)


def no_look_up() -> None:
    """Whoever vanished from the list of owners is taken for gone."""

    async def listed_only(_: Api, __: Any, known: Owners, *___: Any) -> Owners:
        return known

    replace(reads, "look_up", listed_only)


def gone_since_it_vanished() -> None:
    """An owner that nobody saw end is said to have ended when it was last seen."""
    settle = owners.confirmed

    def early(known: Owners, pod_uid: str, _: float) -> Owners:
        before = {(o.pod_uid, o.started): o.finished for o in known.owners}
        settled = settle(known, pod_uid, 0.0).owners
        dated = (msgspec.structs.replace(o, finished=before[o.pod_uid, o.started]) for o in settled)
        return msgspec.structs.replace(known, owners=tuple(dated))

    replace(reads, "confirmed", early)


def looked_up_once_for_all() -> None:
    """A Pod in no list that restarts its container is never looked up again."""

    def confirm(self: OwnerPods, found: Owners) -> None:
        ended = {(o.pod_uid, o.started): o for o in found.owners if o.confirmed and not o.alive}
        now = (o if o.confirmed else ended.get((o.pod_uid, o.started), o) for o in self.known.owners)
        self.known = msgspec.structs.replace(self.known, owners=tuple(now))
        self.changes.tell(None)

    replace(OwnerPods, "confirm", confirm)


def _ended(state: OwnerState) -> None:
    follow = owners.incarnations

    def ended(pod: OwnerPod, before: tuple[Incarnation, ...], at: float) -> tuple[Incarnation, ...]:
        return tuple(
            msgspec.structs.replace(o, state=OwnerState.ENDED, finished=o.earliest_start) if o.state is state else o
            for o in follow(pod, before, at)
        )

    replace(owners, "incarnations", ended)


def unreachable_is_ended() -> None:
    """An owner on a node that does not report is taken for dead."""
    _ended(OwnerState.UNREACHABLE)


def starting_is_ended() -> None:
    """An owner whose container waits, or has no status yet, is taken for dead."""
    _ended(OwnerState.STARTING)


def _read_as(read: Callable[[Pod, str, Sequence[str]], OwnerPod]) -> None:
    for where in (owner_pods, reads):
        replace(where, "owner_pod", read)


def terminating_is_ended() -> None:
    """An owner that drains is taken for dead."""

    def read(pod: Pod, wanted: str, names: Sequence[str] = ()) -> OwnerPod:
        told = owner_pod(pod, wanted, names)
        return msgspec.structs.replace(told, final=True) if told.terminating else told

    _read_as(read)


def sidecar_is_owner() -> None:
    """The first container is taken for ContainerSSH's, whatever its name."""
    _read_as(lambda pod, *_: owner_pod(pod, pod.spec.containers[0].name))


def no_clock_tolerance() -> None:
    """A node's clock is taken for the API server's."""
    told = ownership.ownership

    def exact(session: Session, known: Owners, _: float, *more: Connection) -> Ownership:
        return told(session, known, 0.0, *more)

    replace(ownership, "ownership", exact)
    replace(judge, "ownership", exact)


def nobody_serves_without_the_label() -> None:
    """Only those Pods own that the workload's selector matches."""
    replace(reads, "needs_full_list", lambda *_: False)


def no_gap() -> None:
    """It is forgotten that nobody watched for a while."""
    follow = Owners.listed

    def listed(self: Owners, pods: Any, at: float, since: float | None = None) -> Owners:
        return msgspec.structs.replace(follow(self, pods, at, since), last_gap=None)

    replace(Owners, "listed", listed)


def out_of_step_is_known() -> None:
    """Owners are judged by though the streams about them are out of step."""
    replace(OwnerPods, "why_unknown", lambda _: None)
    replace(OwnerWorkload, "why_unknown", lambda _: None)
    no_fresh_read()


# Deletions


def _body(change: Callable[[dict[str, Any]], None]) -> None:
    send = Deleter.send

    async def changed(self: Deleter, name: str, body: dict[str, Any]) -> None:
        change(body)
        await send(self, name, body)

    replace(Deleter, "send", changed)


def no_uid() -> None:
    """Whatever has that name is deleted."""
    _body(lambda body: body["preconditions"].pop("uid", None))


def no_version() -> None:
    """It is deleted even if it has changed since it was judged."""
    _body(lambda body: body["preconditions"].pop("resourceVersion", None))


def keep_is_for_ever_as_it_was() -> None:
    """An annotation counts as it was when the session was seen first."""
    changed = SessionPods.changed

    def first(self: SessionPods, item: Any) -> None:
        before = dict(self.by_uid)
        changed(self, item)
        for uid, session in before.items():
            if (now := self.by_uid[uid]).keep != session.keep:
                self.by_uid[uid] = msgspec.structs.replace(now, keep=session.keep)
                self.changes.tell(uid)

    replace(SessionPods, "changed", first)


def any_creation() -> None:
    """A creationTimestamp is believed, whoever saw the session appear."""
    replace(SessionPods, "_dated", lambda _, session, __: session)


def ages_with_the_clock() -> None:
    """Where the API server's clock is set, everybody is older or younger at once."""
    replace(SessionPods, "clock_moved", Source.clock_moved)


def first_clock_counts() -> None:
    """What contradicts the answer that came first is not listened to."""
    replace(ServerClock, "_contradicted", lambda self, *_: self)


def dry_run_deletes() -> None:
    """A dry run is none."""
    begin = Deleter.__init__

    def earnest(self: Deleter, api: Api, settings: Settings, elector: Elector) -> None:
        begin(self, api, dataclasses.replace(settings, dry_run=DryRun.NONE), elector)

    replace(Deleter, "__init__", earnest)


def any_date() -> None:
    """A single answer tells the time."""
    replace(ServerTime, "sure", True)


def changed_is_done() -> None:
    """A deletion that met a change is not thought of again."""

    async def forget(self: Outcomes, session: Session, _: Any) -> float:
        self._queue.settle(session.uid, self._queue.verdicts[session.uid])
        return 1.0  # with no wait there would be another attempt at once

    replace(Outcomes, "_read_again", forget)


# The election


def standby_deletes() -> None:
    """Everybody deletes."""
    replace(Elector, "leads", lambda _: True)
    replace(Elector, "until", math.inf)


def leads_too_long() -> None:
    """A leader that cannot renew its lease goes on for a while."""
    replace(election, "RENEW_DEADLINE", 40.0)


def takes_too_early() -> None:
    """A standby does not wait until the lease has run out."""
    replace(election, "may_take", lambda seen, me, now: may_take(seen, me, now + 10.0))


# Streams and memory


def watch_without_list() -> None:
    """After a 410 the watch goes on from whatever there is now, which tells of nothing that went."""
    failed = Reflector._failed

    def go_on(self: Reflector[Any], state: Any) -> None:
        failed(self, state)
        error = state.outcome.exception()
        if isinstance(error, ApiError) and error.code == 410:
            self._version = "0"

    replace(Reflector, "_failed", go_on)


def gives_up() -> None:
    """A stream that was refused does not come back."""

    async def hang(self: Reflector[Any]) -> None:
        await asyncio.Event().wait()

    failed = Reflector._failed

    def give_up(self: Reflector[Any], state: Any) -> None:
        failed(self, state)
        if state.attempt_number >= 3:
            self._list_and_watch = hang.__get__(self)  # type: ignore[method-assign]

    replace(Reflector, "_failed", give_up)


def remembers_the_dead() -> None:
    """What is kept of a session stays when it goes."""
    replace(Queue, "forget", lambda *_: None)


def leaks_tasks() -> None:
    """Each fresh read leaves a task behind."""
    leaks: list[asyncio.Task[bool]] = []

    async def leaking(*more: Any) -> Owners:
        leaks.append(asyncio.create_task(asyncio.Event().wait()))
        return await read_owners(*more)

    replace(validation, "read_owners", leaking)


SABOTAGES: dict[str, int] = {
    "no_fresh_read": 2,
    "fresh_read_from_the_cache": 1,
    "no_look_up": 2,
    "gone_since_it_vanished": 11,
    "looked_up_once_for_all": 4,
    "unreachable_is_ended": 3,
    "starting_is_ended": 4,
    "terminating_is_ended": 3,
    "sidecar_is_owner": 93,
    "no_clock_tolerance": 39,
    "no_gap": 275,
    "nobody_serves_without_the_label": 52,
    "any_creation": 4,
    "ages_with_the_clock": 5,
    "first_clock_counts": 2,
    "dry_run_deletes": 18,
    "out_of_step_is_known": 2,
    "no_uid": 1,
    "no_version": 1,
    "keep_is_for_ever_as_it_was": 5,
    "any_date": 5,
    "changed_is_done": 3,
    "standby_deletes": 4,
    "leads_too_long": 54,
    "takes_too_early": 22,
    "watch_without_list": 14,
    "gives_up": 6,
    "remembers_the_dead": 1,
    "leaks_tasks": 1,
    **mishearing.SABOTAGES,
}
"""Their names, each with the first seed that notices it; another one does where the world has changed since."""


def commit(name: str) -> None:
    """Makes this mistake, for the rest of this process. Raises LookupError."""
    if name not in SABOTAGES:
        raise LookupError(name)
    getattr(mishearing if name in mishearing.SABOTAGES else sys.modules[__name__], name)()

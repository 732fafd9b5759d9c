"""The source of the owners: the Pods that the owner workload selects, and what they said so far.

Knows the history of owners as this stream tells it. Does not know how incarnations follow from a Pod's status
(``core.owners``) or whether a Pod that vanished is really gone (``reads``).
"""

import asyncio
from collections.abc import Sequence

import msgspec

from ssh_session_gc.cluster.source import Source
from ssh_session_gc.cluster.workload import OwnerWorkload
from ssh_session_gc.core.owners import Gap, OwnerPod, Owners
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.listing import Collection
from ssh_session_gc.kube.pods import WHOLE_PODS, owner_pod
from ssh_session_gc.kube.reflector import Reflector
from ssh_session_gc.kube.resources import PODS
from ssh_session_gc.kube.servertime import ServerTime
from ssh_session_gc.kube.wire import Pod
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics, Stream


def selected_pods(settings: Settings, selector: str) -> Collection[Pod]:
    """The Pods of the owners' namespace that this label selector selects; with "" all of them."""
    return Collection(PODS, settings.owner_namespace, WHOLE_PODS, labels=selector)


class OwnerPods(Source):
    """The owners. Its listeners are told None, whatever changed."""

    stream = Stream.OWNER_PODS

    def __init__(self, settings: Settings, metrics: Metrics, time: ServerTime) -> None:
        super().__init__(settings, metrics, time)
        self.known = Owners()
        self._reflector: Reflector[Pod] | None = None
        self._outdated = False
        """Whether what is known was dated by another clock, so that it begins anew with the next list."""
        self._seen = False
        """Whether there ever was a Pod."""
        self._unreadable: str | None = None
        """What is wrong with a Pod of the last list."""

    async def follow(self, api: Api, workload: OwnerWorkload, silence: float) -> None:
        """Keeps in step with the Pods that the workload selects, and with others as soon as it selects others, until
        cancelled."""
        known = asyncio.Event()

        def select(selector: str) -> None:
            known.set()
            if self._reflector is not None:
                self._reflector.relist(selected_pods(self._settings, selector))

        def name(container: str) -> None:
            self.known = self.known.named(container)
            if self._reflector is not None:
                self._reflector.relist()

        self.known = self.known.named(workload.container)
        stops = (workload.selectors.subscribe(select), workload.containers.subscribe(name))
        try:
            if not workload.selector:
                await known.wait()
            pods = selected_pods(self._settings, workload.selector)
            self._reflector = Reflector(api, pods, self, silence=silence)
            await self._reflector.run()
        finally:
            for stop in stops:
                stop()

    @property
    def incomplete(self) -> str | None:
        """Why each change is followed by a list: a Pod could not be read, and only that tells whether all can be."""
        if self._unreadable is None:
            return None
        return f"once more from the start, as an owner Pod could not be read: {self._unreadable}"

    def listed(self, items: Sequence[Pod], broken: Sequence[str]) -> None:
        """Takes in a complete list. What ran before and is not in it is gone."""
        if self._outdated:  # as at the start
            self.known, self.last_news, self._outdated = Owners(containers=self.known.containers), None, False
        self._unreadable = broken[0] if broken else None
        self._seen |= bool(items)
        # The stretch since the last news, which may be a bookmark, is one that nobody watched.
        self.known = self.known.listed([self._read(pod) for pod in items], self._time.now(), self.last_news)
        self.changes.tell(None)

    def changed(self, item: Pod) -> None:
        """Takes in a Pod that appeared or changed."""
        self._seen = True
        self.known = self.known.saw(self._read(item), self._time.now())
        self.changes.tell(None)

    def deleted(self, item: Pod) -> None:
        """Takes in the last state of a Pod that is gone: it may tell when the container ended."""
        now = self._time.now()
        self.known = self.known.saw(self._read(item), now).lost(item.metadata.uid, now)
        self.changes.tell(None)

    def clock_moved(self, seconds: float) -> None:
        """Moves since when owners are watched, and when they were not. What the Pods themselves say was understood by
        the old time, and is read anew."""
        super().clock_moved(seconds)
        gap = self.known.last_gap
        self.known = msgspec.structs.replace(
            self.known,
            watched_since=self.known.watched_since + seconds,
            last_gap=gap and Gap(gap.start + seconds, gap.end + seconds),
        )
        self._outdated = True
        if self._reflector is not None:
            self._reflector.relist()

    def confirm(self, fresh: Owners) -> None:
        """Takes over which ends a look-up found to be true, so that those Pods are not looked up again."""
        # A Pod that lives on may well restart its container: it has to be looked up again.
        doubted = {owner.pod_uid for owner in fresh.owners if owner.alive or not owner.confirmed}
        settled = {owner.pod_uid for owner in self.known.owners if not owner.confirmed} - doubted
        kept = (owner for owner in self.known.owners if owner.pod_uid not in settled)
        told = (owner for owner in fresh.owners if owner.pod_uid in settled)
        self.known = msgspec.structs.replace(self.known, owners=(*kept, *told))
        self.changes.tell(None)

    def unreadable(self, why: str) -> None:
        """Does nothing: the list that follows at once tells of it."""

    def sync(self, out_of_sync: str | None) -> None:
        """Tells the listeners, too: it is a reason why nothing may be known of owners."""
        super().sync(out_of_sync)
        self.changes.tell(None)

    def why_unknown(self) -> str | None:
        """Why nothing can be said of owners; None where something can."""
        if not self._settings.policy.ownerless:
            return None
        if self.out_of_sync:
            return f"the owner's Pods are not known: {self.out_of_sync}"
        if self._unreadable:
            return f"an owner Pod cannot be read: {self._unreadable}"
        if self._settings.owner is None and not self._seen:
            return "no Pod that the owner selector matches was ever seen"
        return None

    def _read(self, pod: Pod) -> OwnerPod:
        return owner_pod(pod, self._settings.owner_container, self.known.containers)

"""The source of the owner workload: the ContainerSSH Deployment, StatefulSet or DaemonSet.

Knows whether it is there, which Pods it selects and in which of their containers ContainerSSH runs. Does not know its
Pods (``owner_pods``).
"""

from collections.abc import Sequence

import structlog

from ssh_session_gc.cluster.source import Source
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.errors import Malformed
from ssh_session_gc.kube.listeners import Listeners
from ssh_session_gc.kube.listing import Collection
from ssh_session_gc.kube.reflector import Reflector
from ssh_session_gc.kube.servertime import ServerTime
from ssh_session_gc.kube.workloads import Maker, replicas_of
from ssh_session_gc.settings import OwnerRef, Settings
from ssh_session_gc.telemetry.metrics import Metrics, Stream

log = structlog.stdlib.get_logger()


class OwnerWorkload(Source):
    """The owner workload: one object or none. Its listeners are told None whenever it is in step, or falls behind."""

    stream = Stream.WORKLOAD

    def __init__(self, settings: Settings, metrics: Metrics, time: ServerTime) -> None:
        super().__init__(settings, metrics, time)
        self.selector = settings.owner_selector
        """The label selector of the owner's Pods; "" until the workload was seen."""
        self.selectors: Listeners[str] = Listeners()
        """Told each new selector."""
        self.container = ""
        """The name of the owner container in its template; "" until the workload was seen."""
        self.containers: Listeners[str] = Listeners()
        """Told each new name of the owner container."""
        self._present: bool | None = None

    async def follow(self, api: Api, owner: OwnerRef, silence: float) -> None:
        """Keeps in step until cancelled."""
        one = Collection(owner.resource, owner.namespace, Decoder(Maker)).named(owner.name)
        await Reflector(api, one, self, silence=silence).run()

    def listed(self, items: Sequence[Maker], broken: Sequence[str]) -> None:
        """Takes in the workload, if it is there."""
        for why in broken:
            self.unreadable(why)
        for workload in items:
            self.changed(workload)
        if not items and not broken:
            self._is(False)

    def changed(self, item: Maker) -> None:
        """Takes in the workload's selector, and before it the owner container, by which its Pods are read."""
        try:
            selector, container = replicas_of(item)
        except Malformed as error:
            self.unreadable(str(error))
            return
        self._is(True)
        if container and container != self.container:
            self.container = container
            self.containers.tell(container)
        if selector and selector != self.selector:
            self.selector = selector
            self.selectors.tell(selector)

    def deleted(self, item: Maker) -> None:  # noqa: ARG002 - there is only one
        """Notes that it is gone. Its selector is remembered: its Pods own sessions until they end."""
        self._is(False)

    def unreadable(self, why: str) -> None:
        """Logs it, and goes on with the selector known so far."""
        log.error("owner_unreadable", error=why, hint="is the API newer than this program?")

    def sync(self, out_of_sync: str | None) -> None:
        """Tells the listeners, too: it is a reason why nothing may be known of owners."""
        super().sync(out_of_sync)
        self.changes.tell(None)

    def why_unknown(self) -> str | None:
        """Why nothing can be said of owners; None where something can."""
        owner = self._settings.owner
        if owner is None or not self._settings.policy.ownerless:
            return None
        if self.out_of_sync:
            return f"{owner} is not known: {self.out_of_sync}"
        return None if self.selector else f"{owner} was not found and never seen"

    def _is(self, present: bool) -> None:
        if present != self._present:
            self._present = present
            if present:
                log.info("owner_found", owner=str(self._settings.owner))
            else:
                hint = "its Pods are followed until they end" if self.selector else "check --owner"
                log.warning("owner_not_found", owner=str(self._settings.owner), hint=hint)

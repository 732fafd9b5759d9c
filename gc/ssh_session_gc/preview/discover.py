"""Reads a cluster for ContainerSSH: its workloads, their configurations, and its session Pods.

Knows what to ask for, and goes on where an answer is refused. How a configuration is read, ``configured`` knows. Does
not know what any of it means (``discovery``).
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from ssh_session_gc.containerssh.configuration import Unreadable, is_one, read
from ssh_session_gc.core.model import CONNECTION_ID
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.errors import ApiError, Malformed, Unreachable
from ssh_session_gc.kube.listing import Collection, list_all
from ssh_session_gc.kube.resources import NAMESPACES, PODS, Resource
from ssh_session_gc.kube.templates import Deployed, Labelled, Namespace
from ssh_session_gc.preview.configured import configuration_of, text_at
from ssh_session_gc.preview.discovery import Finding, Suspect, compare, crowds, settle, suspects
from ssh_session_gc.settings import KINDS

T = TypeVar("T")

AT_ONCE = 16
"""Requests at the same time."""
_deployed, _labelled, _namespaces = Decoder(Deployed), Decoder(Labelled), Decoder(Namespace)


class NothingFound(Exception):
    """There is nothing to show: one line that says why and what to do."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found, and what could not be looked at."""

    findings: list[Finding]
    remarks: list[str]


async def discover(api: Api, namespaces: Sequence[str] = ()) -> Discovery:
    """Every ContainerSSH of the cluster, or of these namespaces. Raises NothingFound."""
    look = _Look(api, tuple(dict.fromkeys(namespaces)))
    try:
        await api.version()  # tells at once whether there is a server
        found = await look.containerssh()
        if not found:
            raise NothingFound(look.nothing())
        crowded = crowds(await look.everywhere(PODS, _labelled, CONNECTION_ID, [each.namespace for each in found]))
    except (Unreachable, Malformed, ApiError) as error:
        raise NothingFound(f"{error}; check the address and the credentials (--kubeconfig, --context)") from None
    return Discovery(compare([settle(each, crowded) for each in found], crowded), look.remarks)


class _Look:
    """One look at a cluster, with what it may not see."""

    def __init__(self, api: Api, namespaces: tuple[str, ...]) -> None:
        self._api, self._given = api, namespaces
        self._known: tuple[str, ...] | None = None
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._workloads = 0
        self.remarks: list[str] = []

    async def containerssh(self) -> list[Finding]:
        """Each ContainerSSH with its configuration, in the order of kinds, namespaces and names."""
        found: list[Suspect] = []
        for kind, resource in KINDS.items():
            workloads = await self.everywhere(resource, _deployed)
            self._workloads += len(workloads)
            found += [suspect for workload in workloads for suspect in suspects(kind, workload)]
        findings = await asyncio.gather(*map(self._finding, found))
        return [finding for finding in findings if finding is not None]

    def nothing(self) -> str:
        """Why there is nothing, and what to do."""
        where = f"namespace {', '.join(self._given)}" if self._given else "any namespace"
        if self.remarks:
            todo = "" if self._given else ", or name ContainerSSH's namespace with --namespace"
            return f"no ContainerSSH found in {where}: {self.remarks[0]}; grant that{todo}"
        looked = f"none of {self._workloads:,} Deployments, StatefulSets and DaemonSets has its image, command or"
        todo = "name the workload yourself with --owner kind/namespace/name"
        return f"no ContainerSSH found in {where}: {looked} configuration; {todo}"

    async def everywhere(
        self, resource: Resource, decoder: Decoder[T], labels: str = "", more: Iterable[str | None] = ()
    ) -> list[T]:
        """The objects of all namespaces, or of those that may be listed; ``more`` are some that are worth a try."""
        if not self._given:
            try:
                return await self._list(resource, "", decoder, labels)
            except ApiError as error:
                if not error.forbidden:
                    raise
                refused = error
        names = [*dict.fromkeys((*(self._given or await self._listable()), *filter(None, more)))]
        if not names:
            self.remarks.append(f"{resource.plural} may not be listed: {refused}")
            return []
        answers = await asyncio.gather(*(self._try(resource, name, decoder, labels) for name in names))
        seen = [answer for answer in answers if answer is not None]
        if len(seen) < len(names):
            where = f"{len(names) - len(seen):,} of {len(names):,} namespaces" if len(names) > 1 else names[0]
            self.remarks.append(f"{resource.plural} may not be listed in {where}")
        return [item for answer in seen for item in answer]

    async def _try(self, resource: Resource, namespace: str, decoder: Decoder[T], labels: str) -> list[T] | None:
        try:
            async with self._turns:
                return await self._list(resource, namespace, decoder, labels)
        except ApiError as error:
            if not error.forbidden:
                raise
            return None

    async def _list(self, resource: Resource, namespace: str, decoder: Decoder[T], labels: str) -> list[T]:
        listing = await list_all(self._api, Collection(resource, namespace, decoder, labels))
        if listing.broken:
            self.remarks.append(f"{len(listing.broken):,} of the {resource.plural} cannot be read and are left out")
        return listing.items

    async def _listable(self) -> tuple[str, ...]:
        """The namespaces that there are, as far as that may be known."""
        if self._known is None:
            try:
                found = await list_all(self._api, Collection(NAMESPACES, "", _namespaces))
                self._known = tuple(each.metadata.name for each in found.items)
            except ApiError as error:
                if not error.forbidden:
                    raise
                self._known = ()
        return self._known

    async def _finding(self, suspect: Suspect) -> Finding | None:
        """What is known of a suspect; None where it is not ContainerSSH."""
        if not suspect.because:
            return await self._unmasked(suspect)
        async with self._turns:
            configuration, source = await configuration_of(self._api, suspect)
        if configuration is None:
            return Finding(suspect, f"not known, ContainerSSH's defaults are assumed: {source}", None, None)
        return Finding(suspect, source, configuration, configuration.namespace)

    async def _unmasked(self, suspect: Suspect) -> Finding | None:
        """A container that nothing but its configuration tells. Other programs' Secrets are none of our business."""
        for place in suspect.places:
            if place.kind != "ConfigMap":
                continue
            try:
                async with self._turns:
                    content = await text_at(self._api, suspect.owner.namespace, place)
                if is_one(content):
                    it = read(content)
                    known = replace(suspect, because=(f"{place.key} in {place} is a configuration of ContainerSSH",))
                    return Finding(known, f"{place.key} in {place}", it, it.namespace)
            except Unreadable:
                continue
        return None

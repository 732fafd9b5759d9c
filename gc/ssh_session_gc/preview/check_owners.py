"""The preflight's questions about the owners: is ContainerSSH where the settings say, and in that container?

Leaves the logs of those that run to ``check_logs`` and their metrics to ``check_metrics``. Does not know how an
answer is shown, or what becomes of a request that fails (``check``).
"""

from collections.abc import AsyncIterator, Iterator, Sequence

from ssh_session_gc.cluster import reads
from ssh_session_gc.cluster.owner_pods import selected_pods
from ssh_session_gc.cluster.sessions import session_pods
from ssh_session_gc.core.model import OwnerState
from ssh_session_gc.core.owners import OwnerPod, Owners
from ssh_session_gc.core.text import counted, printable
from ssh_session_gc.core.times import format_duration
from ssh_session_gc.kube import wire
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.listing import list_all
from ssh_session_gc.kube.pods import owner_pod
from ssh_session_gc.preview.check_logs import check_logs
from ssh_session_gc.preview.check_metrics import check_metrics
from ssh_session_gc.preview.permissions import Finding, Mark
from ssh_session_gc.settings import Settings


async def check_owners(api: Api, settings: Settings) -> AsyncIterator[Finding]:
    """Whether the owners are found, run in the owner container, and are on nodes that report."""
    owner = settings.owner
    if not settings.policy.ownerless:
        yield Finding(Mark.OPEN, "owners are not looked at (--owner none): nobody is Ownerless")
        return
    selector, container = await reads.find_replicas(api, settings)
    if owner is not None and not selector:
        todo = "name ContainerSSH's workload with --owner kind/namespace/name, or its Pods with --owner-selector"
        yield Finding(Mark.BAD, f"there is no {owner}", todo)
        return
    pods = (await list_all(api, selected_pods(settings, selector))).items
    if not pods:
        yield _no_pods(settings, selector)
        return
    found = [owner_pod(pod, settings.owner_container, (container,)) for pod in pods]
    if (missing := _without_container(pods, found)) is not None:
        yield missing
        return
    for finding in _pods(settings, selector, found):
        yield finding
    if (both := await _sessions_too(api, settings, found)) is not None:
        yield both
    async for finding in check_logs(api, settings, filter(_runs, found)):
        yield finding
    # As the daemon does, which asks no node that does not report.
    owners = Owners().listed(found, api.time.now()).owners
    async for finding in check_metrics(settings, (owner for owner in owners if owner.state is OwnerState.RUNNING)):
        yield finding


async def _sessions_too(api: Api, settings: Settings, found: Sequence[OwnerPod]) -> Finding | None:
    """Whether the sessions' selector matches owners as well."""
    if not settings.shared_namespace:
        return None
    uids = {session.uid for session in (await list_all(api, session_pods(settings))).items}
    both = [owner.name for owner in found if owner.uid in uids]
    if not both:
        return None
    what = f"{settings.session_selector} matches {counted(len(both), 'Pod')} of ContainerSSH's own, such as {both[0]}"
    todo = "check --session-selector, and the labels of both"
    return Finding(Mark.BAD, f"{what}: no session, and never collected", todo)


def _no_pods(settings: Settings, selector: str) -> Finding:
    if settings.owner is None:
        todo = "check --owner-selector and --owner-namespace"
        return Finding(Mark.BAD, f"no Pod in namespace {settings.owner_namespace} matches {selector}", todo)
    return Finding(Mark.GOOD, f"{settings.owner} has no Pod at present: every session is without an owner")


def _without_container(pods: Sequence[wire.Pod], found: Sequence[OwnerPod]) -> Finding | None:
    for pod, owner in zip(pods, found, strict=True):
        names = [container.name for container in pod.spec.containers]
        if owner.container not in names:
            has = ", ".join(printable(name, 63) for name in names)
            todo = f"its containers are {has}: name ContainerSSH's with --owner-container"
            return Finding(Mark.BAD, f"Pod {owner.name} has no container {owner.container}", todo)
    return None


def _pods(settings: Settings, selector: str, pods: Sequence[OwnerPod]) -> Iterator[Finding]:
    what = settings.owner or f"selector {selector} in namespace {settings.owner_namespace}"
    running = sum(map(_runs, pods))
    containers = ", ".join(sorted({pod.container for pod in pods}))
    yield Finding(
        Mark.GOOD, f"{what}: {running} of {counted(len(pods), 'Pod')} running ContainerSSH, in container {containers}"
    )
    yield from _nodes(settings, pods)


def _runs(pod: OwnerPod) -> bool:
    return pod.running is not None and not pod.final


def _nodes(settings: Settings, pods: Sequence[OwnerPod]) -> Iterator[Finding]:
    if ahead := [pod for pod in pods if pod.clock_ahead > settings.policy.clock_tolerance]:
        by = format_duration(ahead[0].clock_ahead)
        todo = "set the node's clock (NTP): until then its sessions and owners are hard to tell apart"
        yield Finding(Mark.BAD, f"the clock of the node of Pod {ahead[0].name} is about {by} ahead", todo)
    if unreachable := [pod for pod in pods if pod.unreachable]:
        todo = "its sessions are kept while nobody knows; look after the node"
        yield Finding(Mark.BAD, f"the node of Pod {unreachable[0].name} does not report", todo)

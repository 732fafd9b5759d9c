"""The preflight: would the daemon find what it needs, and be allowed to do what it must?

Knows what the daemon depends on, one question a line, and what to do where the answer is no. Asks with the
credentials that the daemon would have; changes nothing. Does not know how findings are shown.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from typing import TypeVar

from ssh_session_gc.cluster import reads
from ssh_session_gc.core.model import Session
from ssh_session_gc.core.text import counted, printable
from ssh_session_gc.core.times import format_age, format_duration
from ssh_session_gc.kube import wire
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.errors import ApiError, Malformed, Unreachable
from ssh_session_gc.kube.listing import Collection, list_all
from ssh_session_gc.kube.pods import owner_pod, session_of
from ssh_session_gc.kube.resources import (
    CRONJOBS,
    LEASES,
    NAMESPACES,
    PODS,
    SELF_REVIEWS,
)
from ssh_session_gc.preview.permissions import Finding, Mark, ask, lease_need, needs
from ssh_session_gc.settings import LeaseRef, OwnerRef, Settings

T = TypeVar("T")

CLOCK_LIMIT = 60.0
"""Seconds that this machine's clock may be off. Ages do not go by it; certificates, tokens and log lines do."""
OLD_CRONJOB = "ssh-session-gc"
"""The CronJob that this program replaces, in the session namespace."""


async def check(api: Api, settings: Settings) -> AsyncIterator[Finding]:
    """The findings, as they come."""
    try:
        version = await _get(wire.VersionInfo, api.version())
        yield Finding(Mark.GOOD, f"the API server {api.host} answers: {printable(version.git_version, 64)}")
        yield await _credentials(api)
        if not api.time.known:
            yield Finding(
                Mark.BAD, f"the API server {api.host} sends no Date", "ages go by it: is a proxy in between?"
            )
            return
    except (ApiError, Unreachable, Malformed) as error:
        yield Finding(Mark.BAD, str(error), "check the address and the credentials (--kubeconfig, --context)")
        return
    for question in (_clock, _namespace, _permissions, _sessions, _owners, _cron_job):
        try:
            async for finding in question(api, settings):
                yield finding
        except (ApiError, Unreachable, Malformed) as error:
            # A missing permission has a line of its own already; here it says what could not be looked at.
            what = (question.__doc__ or "").partition(".")[0]
            forbidden = isinstance(error, ApiError) and error.code == 403
            yield Finding(Mark.OPEN if forbidden else Mark.BAD, f"{what}: {error}", "" if forbidden else "try again")
    if settings.lease is not None:
        async for finding in _lease(api, settings.lease):
            yield finding


async def _credentials(api: Api) -> Finding:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        who = await _get(wire.SelfReview, api.request("create", SELF_REVIEWS, "", body=body))
    except ApiError as error:
        if error.code not in (403, 404):
            raise
        # Before Kubernetes 1.28 nobody could ask. Whatever is refused below tells.
        return Finding(Mark.OPEN, "the API server does not say whose these credentials are")
    return Finding(Mark.GOOD, f"the credentials are those of {printable(who.status.user_info.username)}")


async def _clock(api: Api, _: Settings) -> AsyncIterator[Finding]:
    """The clocks."""
    # The server's is known to a second only: less than that is nothing to speak of.
    ahead = time.time() - api.time.now()
    off = f"{format_duration(round(abs(ahead)))} {'ahead of' if ahead > 0 else 'behind'} the API server's"
    if abs(ahead) > CLOCK_LIMIT:
        todo = "set it (NTP); ages go by the API server's clock, but certificates, tokens and log lines by this one"
        yield Finding(Mark.BAD, f"this machine's clock is {off}", todo)
    elif abs(ahead) > 2.0:
        yield Finding(Mark.GOOD, f"this machine's clock is {off}, which does no harm: ages go by the API server's")
    else:
        yield Finding(Mark.GOOD, "this machine's clock and the API server's agree")


async def _namespace(api: Api, settings: Settings) -> AsyncIterator[Finding]:
    """The session namespace."""
    name = settings.session_namespace
    try:
        await api.request("get", NAMESPACES, "", name)
    except ApiError as error:
        if not error.not_found:
            raise
        todo = f"create it, or name the right one with --session-namespace: kubectl create namespace {name}"
        yield Finding(Mark.BAD, f"there is no namespace {name}", todo)
    else:
        yield Finding(Mark.GOOD, f"the session namespace {name} exists")


async def _permissions(api: Api, settings: Settings) -> AsyncIterator[Finding]:
    """The permissions."""
    for need in needs(settings):
        yield await ask(api, need)


async def _sessions(api: Api, settings: Settings) -> AsyncIterator[Finding]:
    """The sessions."""
    namespace, selector = settings.session_namespace, settings.session_selector
    try:
        sessions = [session_of(pod) for pod in await _pods(api, namespace, selector)]
    except ApiError as error:
        if error.code != 400:
            raise
        yield Finding(Mark.BAD, f"the selector is not one: {error.message}", "check --session-selector")
        return
    if sessions:
        yield Finding(Mark.GOOD, f"{selector} matches {counted(len(sessions), 'Pod')} in namespace {namespace}")
    elif others := len(await _pods(api, namespace, "")):
        todo = "check --session-selector, and the labels in ContainerSSH's kubernetes.pod.metadata.labels"
        yield Finding(Mark.BAD, f"{selector} matches none of {counted(others, 'Pod')} in namespace {namespace}", todo)
    else:
        yield Finding(Mark.OPEN, f"there is no Pod in namespace {namespace} at present to try {selector} on")
    for finding in (_stamp(sessions), _start_timeout(sessions, settings.policy.start_timeout)):
        yield finding


def _stamp(sessions: Sequence[Session]) -> Finding:
    stamped = sum(bool(session.stamp_uid) for session in sessions)
    if not stamped:
        what = "no session carries the owner stamp: owners are told by their start times, which takes longer"
        return Finding(Mark.OPEN, what if sessions else "there is no session to look for the owner stamp on")
    return Finding(Mark.GOOD, f"the owner stamp is on {stamped:,} of {counted(len(sessions), 'session')}")


def _start_timeout(sessions: Sequence[Session], timeout: float) -> Finding:
    limit = f"start-timeout is {format_duration(timeout)}"
    times = sorted(s.started - s.created for s in sessions if s.started is not None)
    if not timeout:
        return Finding(Mark.OPEN, "start-timeout is 0: what starts too late stays until it is over age")
    if not times:
        return Finding(Mark.OPEN, f"no session has started yet to compare with; {limit}")
    slowest = f"the slowest took {format_duration(max(0.0, times[-1]))}"
    if late := sum(each > timeout for each in times):
        todo = "where ContainerSSH waits that long (timeouts.podStart), people are in them: raise --start-timeout"
        return Finding(
            Mark.BAD, f"{late:,} of {counted(len(times), 'session')} started too late: {slowest}, {limit}", todo
        )
    return Finding(Mark.GOOD, f"{counted(len(times), 'session')} started in time: {slowest}, {limit}")


async def _owners(api: Api, settings: Settings) -> AsyncIterator[Finding]:
    """The owners."""
    owner = settings.owner
    if not settings.policy.ownerless:
        yield Finding(Mark.OPEN, "owners are not looked at (--owner none): nobody is Ownerless")
        return
    selector = await reads.find_selector(api, settings)
    if owner is not None and not selector:
        todo = "name ContainerSSH's workload with --owner kind/namespace/name, or its Pods with --owner-selector"
        yield Finding(Mark.BAD, f"there is no {owner}", todo)
        return
    pods = await _pods(api, settings.owner_namespace, selector)
    for finding in _containers(owner, selector, pods, settings):
        yield finding


def _containers(
    owner: OwnerRef | None, selector: str, pods: Sequence[wire.Pod], settings: Settings
) -> Iterator[Finding]:
    what = f"{owner}" if owner else f"selector {selector} in namespace {settings.owner_namespace}"
    if not pods:
        if owner is None:
            todo = "check --owner-selector and --owner-namespace"
            yield Finding(Mark.BAD, f"no Pod in namespace {settings.owner_namespace} matches {selector}", todo)
        else:
            yield Finding(Mark.GOOD, f"{what} has no Pod at present: every session is without an owner")
        return
    read = [owner_pod(pod, settings.owner_container) for pod in pods]
    without = [
        pod
        for pod, told in zip(pods, read, strict=True)
        if told.container not in {container.name for container in pod.spec.containers}
    ]
    if without:
        has = ", ".join(printable(container.name, 63) for container in without[0].spec.containers)
        todo = f"its containers are {has}: name ContainerSSH's with --owner-container"
        yield Finding(Mark.BAD, f"Pod {without[0].metadata.name} has no container {read[0].container}", todo)
        return
    running = sum(pod.running is not None and not pod.final for pod in read)
    containers = ", ".join(sorted({pod.container for pod in read}))
    yield Finding(
        Mark.GOOD, f"{what}: {running} of {counted(len(read), 'Pod')} running ContainerSSH, in container {containers}"
    )
    if ahead := [pod for pod in read if pod.clock_ahead > settings.policy.clock_tolerance]:
        by = format_duration(ahead[0].clock_ahead)
        todo = "set the node's clock (NTP): until then its sessions and owners are hard to tell apart"
        yield Finding(Mark.BAD, f"the clock of the node of Pod {ahead[0].name} is about {by} ahead", todo)
    if cut_off := [pod.name for pod in read if pod.unreachable]:
        todo = "its sessions are kept while nobody knows; look after the node"
        yield Finding(Mark.BAD, f"the node of Pod {cut_off[0]} does not report", todo)


async def _cron_job(api: Api, settings: Settings) -> AsyncIterator[Finding]:
    """The CronJob that this program replaces."""
    namespace = settings.session_namespace
    try:
        job = await _get(wire.CronJob, api.request("get", CRONJOBS, namespace, OLD_CRONJOB))
    except ApiError as error:
        if not error.not_found:
            raise
        yield Finding(Mark.GOOD, f"no CronJob {OLD_CRONJOB} in namespace {namespace} deletes live sessions")
        return
    if job.spec.suspend:
        yield Finding(Mark.OPEN, f"the CronJob {OLD_CRONJOB} in namespace {namespace} is suspended")
        return
    what = f"the CronJob {OLD_CRONJOB} in namespace {namespace} runs ({printable(job.spec.schedule, 64)})"
    todo = f"it deletes live sessions: kubectl delete cronjob -n {namespace} {OLD_CRONJOB}"
    yield Finding(Mark.BAD, what, todo)


async def _lease(api: Api, lease: LeaseRef) -> AsyncIterator[Finding]:
    try:
        yield await ask(api, lease_need(lease))
        found = await _get(wire.Lease, api.request("get", LEASES, lease.namespace, lease.name))
    except ApiError as error:
        what = f"the lease {lease.namespace}/{lease.name}"
        if error.not_found:
            yield Finding(Mark.GOOD, f"{what} is free: nobody has taken it yet")
        else:
            yield Finding(Mark.BAD, f"{what} cannot be read: {error}", "check --lease-namespace and --lease-name")
        return
    except (Unreachable, Malformed) as error:
        yield Finding(Mark.BAD, f"the lease {lease.namespace}/{lease.name} cannot be read: {error}", "try again")
        return
    renewed = found.spec.renew_time
    when = f", renewed {format_age(max(0.0, api.time.now() - renewed.timestamp()))} ago" if renewed else ""
    holder = f"held by {printable(found.spec.holder_identity)}{when}" if found.spec.holder_identity else "free"
    yield Finding(Mark.GOOD, f"the lease {lease.namespace}/{lease.name} is {holder}")


async def _pods(api: Api, namespace: str, selector: str) -> list[wire.Pod]:
    return (await list_all(api, Collection(PODS, namespace, Decoder(wire.Pod), labels=selector))).items


async def _get(kind: type[T], answer: Awaitable[bytes]) -> T:
    return Decoder(kind).object(await answer)

"""The preflight: would the daemon find what it needs, and be allowed to do what it must?

Asks one question after another with the credentials that the daemon would have, and says what to do about each bad
answer. Changes nothing. Does not know how findings are shown (``cli.check``).
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from ssh_session_gc.core.election import Lease, holder, renewed
from ssh_session_gc.core.text import printable
from ssh_session_gc.core.times import format_age, format_duration
from ssh_session_gc.kube import wire
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.errors import ApiError, Malformed, Unreachable
from ssh_session_gc.kube.resources import CRONJOBS, LEASES, NAMESPACES, SELF_REVIEWS
from ssh_session_gc.preview.check_configuration import check_configuration
from ssh_session_gc.preview.check_owners import check_owners
from ssh_session_gc.preview.check_sessions import check_sessions
from ssh_session_gc.preview.permissions import Finding, Mark, ask, lease_need, needs
from ssh_session_gc.settings import LeaseRef, Settings

T = TypeVar("T")

CLOCK_LIMIT = 60.0
"""Seconds that this machine's clock may be off. Certificates, tokens and log lines go by it; ages do not."""
OLD_CRONJOB = "ssh-session-gc"
"""The CronJob that this program replaces, in the session namespace."""


async def check(api: Api, settings: Settings) -> AsyncIterator[Finding]:
    """The findings, each as soon as it is known."""
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
    for subject, question in _QUESTIONS.items():
        try:
            async for finding in question(api, settings):
                yield finding
        except (ApiError, Unreachable, Malformed) as error:
            # A missing permission is a bad finding of _permissions already; it leaves this question open.
            forbidden = isinstance(error, ApiError) and error.forbidden
            mark, todo = (Mark.OPEN, "") if forbidden else (Mark.BAD, "try again")
            yield Finding(mark, f"{subject}: {error}", todo)
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
        # Kubernetes before 1.28 has no such review. Requests that are refused below tell enough.
        return Finding(Mark.OPEN, "the API server does not say whose these credentials are")
    return Finding(Mark.GOOD, f"the credentials are those of {printable(who.status.user_info.username)}")


async def _clock(api: Api, _: Settings) -> AsyncIterator[Finding]:
    # The server's Date has whole seconds, so smaller differences mean nothing.
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
    for need in needs(settings):
        yield await ask(api, need)


async def _cron_job(api: Api, settings: Settings) -> AsyncIterator[Finding]:
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


async def _lease(api: Api, ref: LeaseRef) -> AsyncIterator[Finding]:
    try:
        yield await ask(api, lease_need(ref))
        lease = await _get(Lease, api.request("get", LEASES, ref.namespace, ref.name))
        at, leader = renewed(lease), holder(lease)
    except ApiError as error:
        if error.not_found:
            yield Finding(Mark.GOOD, f"the lease {ref} is free: nobody has taken it yet")
        else:
            yield Finding(
                Mark.BAD, f"the lease {ref} cannot be read: {error}", "check --lease-namespace and --lease-name"
            )
        return
    except (Unreachable, Malformed, ValueError) as error:
        yield Finding(Mark.BAD, f"the lease {ref} cannot be read: {error}", "try again")
        return
    when = "" if at is None else f", renewed {format_age(max(0.0, api.time.now() - at))} ago"
    yield Finding(Mark.GOOD, f"the lease {ref} is {f'held by {printable(leader)}{when}' if leader else 'free'}")


_QUESTIONS: dict[str, Callable[[Api, Settings], AsyncIterator[Finding]]] = {
    "The clocks": _clock,
    "The session namespace": _namespace,
    "The permissions": _permissions,
    "The sessions": check_sessions,
    "The owners": check_owners,
    "ContainerSSH's configuration": check_configuration,
    "The CronJob that this program replaces": _cron_job,
}
"""Asked in this order; the names are for those that a failure leaves unanswered."""


async def _get(kind: type[T], answer: Awaitable[bytes]) -> T:
    return Decoder(kind).object(await answer)

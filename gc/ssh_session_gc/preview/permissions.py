"""What the daemon must be allowed to do, and whether it is.

Lists every permission that the daemon uses, what it cannot do without it, and the Role rule that grants it. Asks by
SelfSubjectAccessReview, which everybody may create (Kubernetes documentation, "Checking API access").
"""

import asyncio
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.resources import ACCESS_REVIEWS, EVENTS, LEASES, NAMESPACES, POD_LOGS, PODS, Resource
from ssh_session_gc.kube.wire import AccessReview
from ssh_session_gc.settings import LeaseRef, Settings


class Mark(StrEnum):
    """How a question was answered: well, badly, or not at all."""

    GOOD = "✓"
    BAD = "✗"
    OPEN = "-"
    """There was nothing to look at, or no permission to look, and the daemon can do without."""


class Finding(NamedTuple):
    """The answer to one question, and what to do about a bad one."""

    mark: Mark
    what: str
    todo: str = ""


class Need(NamedTuple):
    """Permissions on one resource, and what becomes of the daemon without them."""

    resource: Resource
    namespace: str
    verbs: tuple[str, ...]
    without: str
    name: str = ""
    """The one object that the permission may be confined to; "" where it covers all of them."""


def needs(settings: Settings) -> Iterator[Need]:
    """Every permission that the daemon uses, leader election aside."""
    sessions, owners, watch = settings.session_namespace, settings.owner_namespace, ("get", "list", "watch")
    yield Need(PODS, sessions, (*watch, "delete"), "nothing can be collected")
    yield Need(EVENTS, sessions, ("create",), "there are no Events on the session Pods")
    yield Need(NAMESPACES, sessions, ("get",), "a missing namespace looks like an empty one", sessions)
    if settings.owner is not None:
        without = "nobody is Ownerless"
        yield Need(settings.owner.resource, owners, watch, without, settings.owner.name)
    if settings.policy.ownerless:
        yield Need(PODS, owners, watch, "nobody is Ownerless")
        if settings.owner_logs:
            without = "nobody is Abandoned, and unstamped sessions without an owner stay longer"
            yield Need(POD_LOGS, owners, ("get",), without)


def lease_need(lease: LeaseRef) -> Need:
    """The permissions that leader election uses."""
    without = "no replica can become the leader"
    return Need(LEASES, lease.namespace, ("get", "create", "update"), without, lease.name)


async def ask(api: Api, need: Need) -> Finding:
    """Finds out by access reviews whether our credentials have these permissions. Raises ApiError, Unreachable and
    Malformed."""
    answers = await asyncio.gather(*(_may(api, need, verb) for verb in need.verbs))
    missing = [verb for verb, allowed in zip(need.verbs, answers, strict=True) if not allowed]
    group, plural = need.resource.group, need.resource.qualified
    what = plural + (f"/{need.name}" if need.name else "")
    if need.resource is not NAMESPACES:
        what += f" in namespace {need.namespace}"
    if not missing:
        return Finding(Mark.GOOD, f"may {', '.join(need.verbs)} {what}")
    names = f", resourceNames: [{need.name}]" if need.name and "create" not in missing else ""
    rule = f'{{apiGroups: ["{group}"], resources: [{plural}], verbs: [{", ".join(missing)}]{names}}}'
    todo = f"add to a Role in namespace {need.namespace}: {rule}"
    return Finding(Mark.BAD, f"may not {', '.join(missing)} {what}: {need.without}", todo)


async def _may(api: Api, need: Need, verb: str) -> bool:
    group, plural = need.resource.group, need.resource.plural
    attributes = {"namespace": need.namespace, "verb": verb, "group": group, "resource": plural}
    if need.resource.subresource:
        attributes["subresource"] = need.resource.subresource
    body: dict[str, object] = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        # The object of a create has no name yet, so no rule for it names one.
        "spec": {"resourceAttributes": attributes | ({"name": need.name} if verb != "create" else {})},
    }
    return _reviews.object(await api.request("create", ACCESS_REVIEWS, "", body=body)).status.allowed


_reviews = Decoder(AccessReview)

"""What the daemon must be allowed to do, and whether it is.

Knows every permission that the daemon uses, what becomes of it without, and the Role rule that grants it. Asks by
SelfSubjectAccessReview, which everybody may (Kubernetes documentation, "Checking API access").
"""

import asyncio
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.resources import ACCESS_REVIEWS, EVENTS, LEASES, NAMESPACES, PODS, Resource
from ssh_session_gc.kube.wire import AccessReview
from ssh_session_gc.settings import LeaseRef, Settings


class Mark(StrEnum):
    """What came of one question."""

    GOOD = "✓"
    BAD = "✗"
    OPEN = "-"
    """There is nothing to look at, or no permission to look, and the daemon can do without."""


class Finding(NamedTuple):
    """The answer to one question, and what to do where it is a bad one."""

    mark: Mark
    what: str
    todo: str = ""


class Need(NamedTuple):
    """Permissions on one kind of object, and what becomes of the daemon without them."""

    kind: Resource
    namespace: str
    verbs: tuple[str, ...]
    without: str
    name: str = ""
    """Where the permission may be confined to one object."""


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


def lease_need(lease: LeaseRef) -> Need:
    """What leader election uses."""
    without = "no replica can become the leader"
    return Need(LEASES, lease.namespace, ("get", "create", "update"), without, lease.name)


async def ask(api: Api, need: Need) -> Finding:
    """Whether it may, by access reviews. Raises ApiError, Unreachable and Malformed."""
    answers = await asyncio.gather(*(_may(api, need, verb) for verb in need.verbs))
    missing = [verb for verb, allowed in zip(need.verbs, answers, strict=True) if not allowed]
    what = need.kind.plural + (f"/{need.name}" if need.name else "")
    if need.kind is not NAMESPACES:
        what += f" in namespace {need.namespace}"
    if not missing:
        return Finding(Mark.GOOD, f"may {', '.join(need.verbs)} {what}")
    names = f", resourceNames: [{need.name}]" if need.name and "create" not in missing else ""
    rule = (
        f'{{apiGroups: ["{need.kind.group}"], resources: [{need.kind.plural}], verbs: [{", ".join(missing)}]{names}}}'
    )
    todo = f"add to a Role in namespace {need.namespace}: {rule}"
    return Finding(Mark.BAD, f"may not {', '.join(missing)} {what}: {need.without}", todo)


async def _may(api: Api, need: Need, verb: str) -> bool:
    attributes = {"namespace": need.namespace, "verb": verb, "group": need.kind.group, "resource": need.kind.plural}
    body: dict[str, object] = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        # A create has no name yet, so no rule can be confined to one.
        "spec": {"resourceAttributes": attributes | ({"name": need.name} if verb != "create" else {})},
    }
    return _reviews.object(await api.request("create", ACCESS_REVIEWS, "", body=body)).status.allowed


_reviews = Decoder(AccessReview)

"""Rules for single objects: metadata, preconditions, quota, generation, grace.

Knows those of apiserver's registry strategies, as the recordings show them. When each applies, ``storage`` knows.
"""

from collections.abc import Sequence

from ssh_session_gc.sandbox.api.objects import EVENTS, PODS, Object, Resource
from ssh_session_gc.sandbox.api.refusals import Refusal, another_uid, modified, precondition_failed

SET_BY_SERVER = (
    *("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp"),
    *("deletionGracePeriodSeconds", "generation", "resourceVersion"),
)
"""Fields of the metadata that no client changes."""


def check_namespace(metadata: Object, asked: str) -> None:
    """Fills in the request's namespace. Raises Refusal 400 where the object says another one."""
    if metadata.setdefault("namespace", asked) != asked:
        wrong = "the namespace of the provided object does not match the namespace sent on the request"
        raise Refusal(400, "BadRequest", wrong)


def check_conflict(res: Resource, was: Object, resource_version: str | None, uid: str) -> None:
    """Raises Refusal 409 where an update is of another uid or version than the object's; no version is any."""
    if resource_version and resource_version != was["resourceVersion"]:
        raise modified(res, was["name"])
    if uid != was["uid"]:
        raise another_uid(res, was["name"], uid, was["uid"])


def check_preconditions(res: Resource, was: Object, uid: str | None, resource_version: str | None) -> None:
    """Raises Refusal 409 where a deletion is of another uid or version than the object's; None is of any."""
    if uid is not None and uid != was["uid"]:
        raise precondition_failed(res, was["name"], "UID", uid, was["uid"])
    if resource_version is not None and resource_version != was["resourceVersion"]:
        raise precondition_failed(res, was["name"], "ResourceVersion", resource_version, was["resourceVersion"])


def keep_own_fields(metadata: Object, was: Object) -> None:
    """Puts back what only the server may set, as it was."""
    for field in SET_BY_SERVER:
        metadata.pop(field, None)
    metadata.update((field, was[field]) for field in SET_BY_SERVER if field in was)


def omit_empty(metadata: Object) -> None:
    """Removes the fields that a server leaves out where they are empty."""
    for field in ("labels", "annotations", "finalizers", "ownerReferences"):
        if not metadata.get(field, True):
            del metadata[field]


def check_event(res: Resource, obj: Object) -> None:
    """Raises Refusal 422 for an Event in another namespace than what it is about."""
    if res is not EVENTS:
        return
    about = (obj.get("involvedObject") or {}).get("namespace") or "default"
    if about != obj["metadata"]["namespace"]:
        field, name = "involvedObject.namespace", obj["metadata"]["name"]
        why = f'{field}: Invalid value: "{about}": does not match event.namespace'
        raise Refusal.about(res, name, 422, "Invalid", f'Event "{name}" is invalid: {why}')


def check_quota(pod: Object, quota: Object, pods: Sequence[Object]) -> None:
    """Raises Refusal 403 where the quota has no room for another Pod beside those that its namespace has."""
    limit = quota.get("spec", {}).get("hard", {}).get("pods")
    if limit is None:
        return
    used = sum(each["status"].get("phase") not in ("Succeeded", "Failed") for each in pods)
    if used + 1 > int(limit):
        name = pod["metadata"]["name"]
        amounts = f"requested: pods=1, used: pods={used}, limited: pods={limit}"
        message = f'pods "{name}" is forbidden: exceeded quota: {quota["metadata"]["name"]}, {amounts}'
        raise Refusal.about(PODS, name, 403, "Forbidden", message)


def desired(obj: Object) -> Object:
    """The part that the generation counts the versions of: the spec, without a Pod's node (recorded)."""
    return {field: value for field, value in obj.get("spec", {}).items() if field != "nodeName"}


def grace_period(pod: Object, asked: int | None) -> int:
    """The seconds that a Pod gets to end: none where no node runs it or it has ended already."""
    if not pod["spec"].get("nodeName") or pod["status"].get("phase") in ("Succeeded", "Failed"):
        return 0
    period: int = pod["spec"].get("terminationGracePeriodSeconds", 0) if asked is None else asked
    return 1 if period < 0 else period

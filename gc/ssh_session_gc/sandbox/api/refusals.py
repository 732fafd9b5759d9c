"""Refusals: the errors that answer a request, in the words of the recordings in tests/data.

Knows those that several modules raise; the others are worded where they are raised.
"""

from collections.abc import Mapping
from typing import Any, Self

from ssh_session_gc.sandbox.api.objects import Object, Resource


class Refusal(Exception):
    """An error that answers a request, with what the answer says."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        retry_after: int | None = None,  # seconds
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.details, self.retry_after = dict(details or {}), retry_after
        self.metadata: Object = {}
        if retry_after is not None:
            self.details["retryAfterSeconds"] = retry_after

    @classmethod
    def about(cls, res: Resource, name: str, code: int, reason: str, message: str) -> Self:
        """A refusal about an object, whose details name the object."""
        group = {"group": res.group} if res.group else {}
        return cls(code, reason, message, ({"name": name} if name else {}) | group | {"kind": res.plural})

    def status(self) -> Object:
        """The ``Status`` object that is the body of the answer."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            **({"details": self.details} if self.details else {}),
            "code": self.code,
        }


def not_found(res: Resource, name: str) -> Refusal:
    """404 for an object that is not there."""
    return Refusal.about(res, name, 404, "NotFound", f'{res.qualified} "{name}" not found')


def no_route() -> Refusal:
    """404 for a path that is of nothing."""
    return Refusal(404, "NotFound", "the server could not find the requested resource")


def not_allowed() -> Refusal:
    """405 for a verb that the path does not take."""
    return Refusal(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def already_exists(res: Resource, name: str) -> Refusal:
    """409 for a name that is taken."""
    return Refusal.about(res, name, 409, "AlreadyExists", f'{res.qualified} "{name}" already exists')


def nameless(res: Resource) -> Refusal:
    """422 for an object without a name."""
    why = f'{res.kind} "" is invalid: metadata.name: Required value: name or generateName is required'
    return Refusal.about(res, "", 422, "Invalid", why)


def modified(res: Resource, name: str) -> Refusal:
    """409 for an update of an older version."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return _conflict(res, name, why)


def another_uid(res: Resource, name: str, wanted: str, found: str) -> Refusal:
    """409 for an update of an object that had the name before."""
    why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    return _conflict(res, name, why)


def precondition_failed(res: Resource, name: str, field: str, wanted: str, found: str) -> Refusal:
    """409 for a precondition of a deletion, "UID" or "ResourceVersion"."""
    # This refusal calls the object by its kind, where the others name the resource.
    group = {"group": res.group} if res.group else {}
    kind = f"{res.kind}.{res.group}" if res.group else res.kind
    why = f"the {field} in the precondition ({wanted}) does not match the {field} in record ({found})"
    happened = {"UID": "deleted and then recreated", "ResourceVersion": "modified"}[field]
    message = f'Operation cannot be fulfilled on {kind} "{name}": {why}. The object might have been {happened}'
    return Refusal(409, "Conflict", message, {"name": name} | group | {"kind": res.kind})


def _conflict(res: Resource, name: str, why: str) -> Refusal:
    message = f'Operation cannot be fulfilled on {res.qualified} "{name}": {why}'
    return Refusal.about(res, name, 409, "Conflict", message)

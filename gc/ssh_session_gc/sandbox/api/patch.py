"""The three kinds of PATCH, applied to plain JSON in place.

Knows RFC 7386, RFC 6902 and the part of Kubernetes' strategic merge patch that kubectl's annotate, label, scale,
apply and edit send ("Update API Objects in Place Using kubectl patch"). Knows no resource: lists are merged by the
name of their field. Server-side apply is left out.
"""

from collections.abc import Callable
from typing import Any

from ssh_session_gc.sandbox.api.objects import Object
from ssh_session_gc.sandbox.api.refusals import Refusal

_MERGE_KEYS = {
    **dict.fromkeys(("containers", "initContainers", "ephemeralContainers", "env", "volumes"), "name"),
    "imagePullSecrets": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "conditions": "type",
    "addresses": "type",
    "ownerReferences": "uid",
}
_SETS = ("finalizers",)


def patcher(content_type: str, patch: Any) -> Callable[[Object], None]:
    """A function that applies a patch to an object. Raises Refusal 400 and 415, the function 422."""
    if content_type == "application/json-patch+json":
        if not isinstance(patch, list):
            raise Refusal(400, "BadRequest", "error decoding patch: a JSON patch is a list of operations")
        return lambda obj: _json_patch(obj, patch)
    if content_type not in ("application/merge-patch+json", "application/strategic-merge-patch+json"):
        accepted = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json"
        message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        raise Refusal(415, "UnsupportedMediaType", message)
    if not isinstance(patch, dict):
        raise Refusal(400, "BadRequest", "error decoding patch: a merge patch is an object")
    return lambda obj: _merge(obj, patch, strategic="strategic" in content_type)


def _merge(obj: Object, patch: Object, *, strategic: bool) -> None:
    for key, value in patch.items():
        directive, _, field = key.partition("/")
        if strategic and directive == "$deleteFromPrimitiveList":
            obj[field] = [item for item in obj.get(field) or [] if item not in value]
        elif strategic and key.startswith("$"):
            continue  # the order of elements and the keys to retain: nothing here depends on them
        elif value is None:
            obj.pop(key, None)
        elif isinstance(value, dict):
            if strategic and value.get("$patch") == "replace":
                obj[key] = {name: item for name, item in value.items() if name != "$patch"}
                continue
            if not isinstance(obj.get(key), dict):
                obj[key] = {}
            _merge(obj[key], value, strategic=strategic)
        elif strategic and isinstance(value, list) and (key in _MERGE_KEYS or key in _SETS):
            obj[key] = _merge_list(obj.get(key) or [], value, _MERGE_KEYS.get(key))
        else:
            obj[key] = value


def _merge_list(old: list[Any], patch: list[Any], by: str | None) -> list[Any]:
    if by is None:
        return _ordered(list(dict.fromkeys([*old, *patch])), old, patch)
    if any(item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if "$patch" not in item]
    merged = {item.get(by): item for item in old}
    for item in patch:
        if item.get("$patch") == "delete":
            merged.pop(item.get(by), None)
        else:
            _merge(merged.setdefault(item.get(by), {}), item, strategic=True)
    named = [item.get(by) for item in patch if item.get(by) in merged]
    return [merged[key] for key in _ordered(list(merged), [item.get(by) for item in old], named)]


def _ordered(keys: list[Any], old: list[Any], named: list[Any]) -> list[Any]:
    """Merges two orders as apimachinery's strategic merge does: the patch's for the keys that it names, the old one
    for the rest. Of the heads of both, the one that was further ahead comes first; a new key was ahead of all."""
    rest, ordered = [key for key in keys if key not in named], []
    while named and rest:
        was = old.index(named[0]) if named[0] in old else -1
        ordered.append(rest.pop(0) if old.index(rest[0]) < was else named.pop(0))
    return [*ordered, *named, *rest]


def _json_patch(obj: Object, operations: list[Any]) -> None:
    for operation in operations:
        try:
            _operate(obj, operation)
        except (KeyError, IndexError, ValueError, TypeError):
            message = f"the server rejected our request due to an error in our request: {operation}"
            raise Refusal(422, "Invalid", message) from None


def _operate(obj: Object, operation: Object) -> None:
    what, (holder, key) = operation["op"], _find(obj, operation["path"])
    if what in ("copy", "move"):
        source, name = _find(obj, operation["from"])
        value = source[name]
        if what == "move":
            del source[name]
    elif what in ("add", "replace", "test"):
        value = operation["value"]
    else:
        del holder[key]
        return
    if what == "test":
        if holder[key] != value:
            raise ValueError(operation)
    elif isinstance(holder, list) and what != "replace":
        holder.insert(len(holder) if key == "-" else key, value)
    else:
        holder[key] = value


def _find(obj: Any, path: str) -> tuple[Any, Any]:
    """The holder of the value at a JSON pointer, and the value's key or index in it."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
    for part in parts[:-1]:
        obj = obj[int(part) if isinstance(obj, list) else part]
    last = parts[-1]
    return obj, int(last) if isinstance(obj, list) and last != "-" else last

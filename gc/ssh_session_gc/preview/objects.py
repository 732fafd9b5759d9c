"""The objects in what kubectl printed: ``kubectl get … -o json``, ``-o yaml`` or several of them in a row.

Knows the forms in which kubectl prints objects. Opens no file, and trusts nothing in one: names, uids and labels are
checked here, and what else an object says is checked when it is read (``dump``).

    document                           objects
    ---------------------------------  ------------------------------------------
    {"kind": "Pod", …}                 that Pod
    {"kind": "List", "items": […]}     each item, which may be a list itself
    {"kind": "PodList", "items": […]}  each item, a Pod even if it does not say so
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import yaml

from ssh_session_gc.core.names import parse_name, parse_uid
from ssh_session_gc.core.text import printable
from ssh_session_gc.preview.snapshot import CannotRead

PRINT = "print it with `kubectl get pods,deployments -A -o json`"
_WORKLOADS = {"Deployment": "deployment", "StatefulSet": "statefulset", "DaemonSet": "daemonset"}
"""The spelling of each kind in ``--owner``."""


class Found(NamedTuple):
    """One object of the file."""

    namespace: str
    name: str
    labels: dict[str, str]
    content: dict[str, Any]


@dataclass
class Objects:
    """The objects of a file, by the part that they play."""

    pods: list[Found] = field(default_factory=list)
    workloads: dict[tuple[str, str, str], Found] = field(default_factory=dict)
    """By kind (as ``--owner`` spells it), namespace and name."""
    others: Counter[str] = field(default_factory=Counter)
    """The number of each kind that plays no part."""

    def count_others(self) -> str:
        """``3 Service, 1 Node``: the kinds that play no part, the most frequent first; "" without any."""
        listed = [f"{count} {kind}" for kind, count in self.others.most_common(8)]
        return ", ".join(listed) + (", …" if len(self.others) > len(listed) else "")


def find(data: bytes, source: str) -> Objects:
    """The objects in the bytes of a file, whose name for people is ``source``. Raises CannotRead."""
    objects = Objects()
    for content in _objects(data, source):
        kind = str(content["kind"])
        if kind not in _WORKLOADS and kind != "Pod":
            objects.others[printable(kind, 64)] += 1
            continue
        found = _identify(content, kind, source)
        if kind == "Pod":
            objects.pods.append(found)
        else:
            objects.workloads[_WORKLOADS[kind], found.namespace, found.name] = found
    return objects


def _identify(content: dict[str, Any], kind: str, source: str) -> Found:
    """Checks the names: what is printed may become part of a command."""
    metadata = content.get("metadata")
    if not isinstance(metadata, dict):
        raise CannotRead(f"{source}: a {kind} has no metadata: {PRINT}")
    name, namespace, uid = metadata.get("name"), metadata.get("namespace", "default"), metadata.get("uid", "none")
    try:
        parse_uid(str(uid))
        labels = msgspec.convert(metadata.get("labels") or {}, dict[str, str])
        return Found(parse_name(str(namespace)), parse_name(str(name)), labels, content)
    except (ValueError, msgspec.ValidationError) as error:
        where = printable(f"{namespace}/{name}")
        raise CannotRead(f"{source}: {kind} {where} has a name, uid or label that cannot be: {error}") from None


def _objects(data: bytes, source: str) -> Iterator[dict[str, Any]]:
    """All objects of all documents, those in lists one by one."""
    number = 0
    for number, document in enumerate(_documents(data, source), start=1):
        yield from _flattened(document, "", f"document {number} of {source}")
    if not number:
        raise CannotRead(f"{source} is empty: {PRINT}")


def _flattened(content: Any, kind: str, where: str) -> Iterator[dict[str, Any]]:
    """The object, or those in it where it is a list. ``kind`` is that of an object which does not say it itself."""
    if not isinstance(content, dict) or not isinstance(content.get("kind", kind), str):
        raise CannotRead(f"{where} is no Kubernetes object: {PRINT}")
    kind = content.get("kind", kind)
    items = content.get("items")
    if kind.endswith("List") and isinstance(items, list | None):
        for item in items or ():
            yield from _flattened(item, kind.removesuffix("List"), f"an item in {where}")
    elif not kind:
        raise CannotRead(f"{where} has no kind, so it is no Kubernetes object: {PRINT}")
    else:
        yield {**content, "kind": kind}


def _documents(data: bytes, source: str) -> Iterator[Any]:
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Most files are one JSON document, and this reads it three times as fast.
        yield msgspec.json.decode(data)
        return
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise CannotRead(f"{source} is not text: {PRINT}") from None
    yield from _json(text, source) if text.lstrip()[:1] in ("{", "[") else _yaml(text, source)


def _yaml(text: str, source: str) -> Iterable[Any]:
    try:
        _refuse_depth(text)
        yield from (each for each in yaml.load_all(text, _Loader) if each is not None)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise CannotRead(f"{source} is neither JSON nor YAML: {' '.join(str(error).split())}") from None


def _refuse_depth(text: str) -> None:
    """Raises YAMLError for what is nested so deeply that libyaml's composer would overrun its stack, and end the
    program. Its events come without that; only what may be so deep is looked at, as they take their time."""
    if text.count("[") + text.count("{") < DEEPEST and not _DEEP_LINE.search(text):
        return
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise yaml.YAMLError("it is nested too deeply")


def _json(text: str, source: str) -> Iterable[Any]:
    decoder, at, text = json.JSONDecoder(), 0, text.strip()
    while at < len(text):
        try:
            document, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise CannotRead(f"{source} is broken JSON: {error}") from None
        yield document
        at = _end_of_space(text, at)


def _end_of_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


DEEPEST = 200
"""Levels of an object. A Pod has a dozen."""
_DEEP_LINE = re.compile(rf"^[ ?-]{{{DEEPEST},}}", re.MULTILINE)


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """Leaves dates as text, as Kubernetes writes them, even where an editor has dropped the quotes."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in each if tag != "tag:yaml.org,2002:timestamp"]
    for first, each in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

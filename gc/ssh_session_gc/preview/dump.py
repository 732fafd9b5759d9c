"""The cluster as a file tells of it: what ``kubectl get pods,deployments -A -o json`` (or ``-o yaml``) printed.

Knows the forms in which kubectl prints objects, and plays the API server's part in choosing among them: namespaces
and selectors. What the objects say is read as the daemon reads it (``kube.wire``, ``kube.pods``). Opens no file and
no connection; a file may hold anything, so nothing in it is trusted.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import msgspec
import yaml

from ssh_session_gc.cluster.reads import runs_owner
from ssh_session_gc.core.model import Session
from ssh_session_gc.core.names import parse_name, parse_uid
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.ownership import needs_full_list
from ssh_session_gc.core.plan import Snapshot
from ssh_session_gc.core.text import counted, printable
from ssh_session_gc.core.times import format_duration, format_instant
from ssh_session_gc.kube.errors import Malformed
from ssh_session_gc.kube.pods import owner_pod, session_of
from ssh_session_gc.kube.wire import Pod, Workload
from ssh_session_gc.kube.workloads import selector_of
from ssh_session_gc.preview.snapshot import CannotRead, annotation_remarks, no_sessions

# What a selector selects is settled by the API server; the simulated one knows it, too.
from ssh_session_gc.selectors import BadSelector, Selector
from ssh_session_gc.settings import Settings

T = TypeVar("T")

PRINT = "print it with `kubectl get pods,deployments -A -o json`"
STALE = 600.0
"""Seconds after the newest fact in a file from which on its age is worth a word."""
_WORKLOADS = {"Deployment": "deployment", "StatefulSet": "statefulset", "DaemonSet": "daemonset"}


class Found(NamedTuple):
    """One object of the file."""

    namespace: str
    name: str
    labels: dict[str, str]
    content: dict[str, Any]


@dataclass
class Dump:
    """The objects of a file, by what they are."""

    pods: list[Found] = field(default_factory=list)
    workloads: dict[tuple[str, str, str], Found] = field(default_factory=dict)
    """By kind (as ``--owner`` spells it), namespace and name."""
    others: Counter[str] = field(default_factory=Counter)
    """How many there are of the kinds that play no part."""


def read(data: bytes, source: str, settings: Settings, now: float, *, at: float | None = None) -> Snapshot:
    """The snapshot that a file holds, judged at ``at``, or else ``now`` (epoch seconds). ``source`` is its name, for
    people. Raises CannotRead."""
    dump = _sort(_objects(data, source), source)
    if not dump.pods:
        held = f" (but {_counted(dump.others)})" if dump.others else ""
        raise CannotRead(f"{source} holds no Pod{held}: {PRINT}")
    moment = now if at is None else at
    pods, remarks = _sessions(dump, source, settings)
    sessions = [session_of(pod) for pod in pods]
    owners = _owners(dump, source, settings, sessions, moment)
    if dump.others:
        remarks.append(f"left aside, as they play no part: {_counted(dump.others)}")
    remarks += _dated(source, sessions, owners, now, at)
    return Snapshot(tuple(sessions), owners, moment, (*remarks, *annotation_remarks(sessions)))


def _sessions(dump: Dump, source: str, settings: Settings) -> tuple[list[Pod], list[str]]:
    selected = _select(dump.pods, settings.session_namespace, settings.session_selector, "--session-selector")
    pods: list[Pod] = []
    remarks: list[str] = []
    for found in selected:
        try:
            pods.append(_convert(found, Pod))
        except Malformed as error:
            remarks.append(f"Pod {found.name} cannot be read and is left alone: {error}")
            continue
        if not found.content.get("status"):
            remarks.append(f"Pod {found.name} has no status and counts as not started: is it a manifest? {PRINT}")
    if not selected:
        there = Counter(found.namespace for found in dump.pods)
        if settings.session_namespace in there:
            count = there[settings.session_namespace]
            remarks.append(no_sessions(settings, f"none of {counted(count, 'Pod')} of {source}"))
        else:
            names = ", ".join(list(there)[:5]) + (", …" if len(there) > 5 else "")
            remarks.append(f"{no_sessions(settings, f'no Pod of {source}')}; its Pods are in {names}")
    return pods, remarks


def _owners(dump: Dump, source: str, settings: Settings, sessions: list[Session], at: float) -> Owners:
    """What a daemon that starts at that moment knows of the owners."""
    owner, selector, namespace = settings.owner, settings.owner_selector, settings.owner_namespace
    if not settings.policy.ownerless:
        return Owners()
    replicas = 1
    if owner is not None:
        found = dump.workloads.get((owner.kind, owner.namespace, owner.name))
        if found is None:
            return Owners(unknown=f"{owner} is not in {source} (--owner)")
        try:
            selector = selector_of(_convert(found, Workload))
        except Malformed as error:
            return Owners(unknown=f"{owner} cannot be read: {error}")
        replicas = _replicas(found)
    chosen = _select(dump.pods, namespace, selector, "--owner-selector")
    if replicas and not chosen:
        # A file without the owner's Pods says nothing of them; that all of them had ended would be another matter.
        return Owners(unknown=f"{source} holds no Pod in namespace {namespace} that matches {selector}")
    try:
        pods = [owner_pod(_convert(found, Pod), settings.owner_container) for found in chosen]
        known = Owners().listed(pods, at)
        # A session's creator may be a Pod that the selector does not match; the daemon looks for it as well.
        stamps = {session.stamp_uid for session in sessions}
        names = {found.name for found in chosen}
        unseen = needs_full_list(sessions, known, settings.policy.clock_tolerance)
        for found in dump.pods:
            if found.namespace != namespace or found.name in names:
                continue
            if found.content["metadata"].get("uid") in stamps or unseen:
                pod = _convert(found, Pod)
                if pod.metadata.uid in stamps or runs_owner(pod, known, settings):
                    known = known.saw(owner_pod(pod, settings.owner_container), at)
    except Malformed as error:
        return Owners(unknown=f"an owner Pod cannot be read: {error}")
    return known


def _replicas(workload: Found) -> int:
    """How many Pods the workload says that it has."""
    status = workload.content.get("status")
    known = status if isinstance(status, dict) else {}
    count = known.get("replicas", known.get("currentNumberScheduled"))  # a DaemonSet's
    return count if isinstance(count, int) else 0


def _dated(source: str, sessions: list[Session], owners: Owners, now: float, at: float | None) -> Iterator[str]:
    """What is to be said of the time. Raises CannotRead where it is before everything."""
    born = [s.created for s in sessions] + [o.started for o in owners.owners if o.started is not None]
    times = [*born, *(t for s in sessions for t in (s.started, s.finished) if t is not None)]
    # The end of an owner that only its absence tells of is the moment of judgement itself.
    times += [o.finished for o in owners.owners if o.finished is not None and o.ending]
    if not times:
        return
    newest = format_instant(max(times))
    if at is None:
        if now - max(times) > STALE:
            age = format_duration(round(now - max(times)))
            yield f"nothing in {source} is newer than {newest}, {age} ago: --at {newest} judges as of then"
    elif at < min(born):
        first = format_instant(min(born))
        raise CannotRead(f"--at {format_instant(at)} is before everything in {source}: it begins at {first}")
    elif at < max(times):
        yield f"--at {format_instant(at)} is before the newest fact in {source}, of {newest}: it counts all the same"


def _select(pods: Iterable[Found], namespace: str, selector: str, option: str) -> list[Found]:
    try:
        wanted = Selector.parse(selector)
    except BadSelector as error:
        raise CannotRead(f"{printable(selector)}: {error}; check {option}") from None
    return [found for found in pods if found.namespace == namespace and wanted.matches(found.labels)]


def _convert(found: Found, kind: type[T]) -> T:
    try:
        return msgspec.convert(found.content, kind)
    except msgspec.ValidationError as error:
        raise Malformed(printable(str(error), 200)) from None


def _sort(objects: Iterable[dict[str, Any]], source: str) -> Dump:
    dump = Dump()
    for content in objects:
        kind = str(content["kind"])
        if kind not in _WORKLOADS and kind != "Pod":
            dump.others[printable(kind, 64)] += 1
            continue
        found = _identify(content, kind, source)
        if kind == "Pod":
            dump.pods.append(found)
        else:
            dump.workloads[_WORKLOADS[kind], found.namespace, found.name] = found
    return dump


def _identify(content: dict[str, Any], kind: str, source: str) -> Found:
    """Whose names are names: what is printed may become part of a command."""
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
    """All objects of all documents, those in lists one by one. Raises CannotRead."""
    number = 0
    for number, document in enumerate(_documents(data, source), start=1):
        yield from _flattened(document, "", f"document {number} of {source}")
    if not number:
        raise CannotRead(f"{source} is empty: {PRINT}")


def _flattened(content: Any, kind: str, where: str) -> Iterator[dict[str, Any]]:
    """``kind`` is what an item of a typed list is, which need not say so itself."""
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
        # One JSON document is what it mostly is, and this reads it three times as fast.
        yield msgspec.json.decode(data)
        return
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise CannotRead(f"{source} is not text: {PRINT}") from None
    if text.lstrip()[:1] not in ("{", "["):
        try:
            yield from (each for each in yaml.load_all(text, _Loader) if each is not None)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise CannotRead(f"{source} is neither JSON nor YAML: {' '.join(str(error).split())}") from None
        return
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


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """Without YAML's own dates: Kubernetes writes them as text, and somebody's editor may have dropped the quotes."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in each if tag != "tag:yaml.org,2002:timestamp"]
    for first, each in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _counted(kinds: Counter[str]) -> str:
    listed = [f"{count} {kind}" for kind, count in kinds.most_common(8)]
    return ", ".join(listed) + (", …" if len(kinds) > len(listed) else "")

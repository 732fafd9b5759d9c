"""The cluster's state: objects, their versions, and what changed, as etcd and an API server's registry keep them.

Knows resourceVersions, uids, generations, preconditions, graceful deletion, finalizers, quota and history. Does not
know HTTP, who is asking, or what runs the Pods: whoever plays those reads and writes here, and listens.

Objects are plain JSON and are frozen once stored: a change makes a copy. So whatever was handed out, and the history,
stays as it was. The semantics are those of Kubernetes' "API Concepts" and "Finalizers", of apiserver's generic
registry, and of the recordings in tests/data.
"""

import random
import uuid
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from ssh_session_gc.sandbox.api import defaults
from ssh_session_gc.sandbox.api.listeners import Listeners
from ssh_session_gc.sandbox.api.objects import (
    EVENTS,
    NAMESPACES,
    PODS,
    RESOURCEQUOTAS,
    RESOURCES,
    Change,
    ChangeType,
    Object,
    Resource,
    copied,
    timestamp,
)
from ssh_session_gc.sandbox.api.refusals import Refusal, not_found, precondition_failed
from ssh_session_gc.selectors import FieldSelector, Selector

HISTORY = 10_000
"""Changes that are kept for watches to start from; older ones are compacted away."""
_NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SET_BY_SERVER = (
    *("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp"),
    *("deletionGracePeriodSeconds", "generation", "resourceVersion"),
)


class Store:
    """Every object of the simulated cluster."""

    def __init__(self, now: Callable[[], float], *, history: int = HISTORY, rng: random.Random | None = None) -> None:
        """``now`` gives seconds since the epoch by the cluster's clock; ``rng`` makes names and uids repeatable."""
        self.now = now
        self.rv = 1
        self.compacted = 0
        self._rng = rng or random.Random()  # noqa: S311  names and uids, no secrets
        self._seed, self._names = self._rng.getrandbits(64), dict[str, random.Random]()
        self._objects: dict[Resource, dict[str, Object]] = {res: {} for res in RESOURCES}
        self._keys: dict[Resource, list[str]] = {res: [] for res in RESOURCES}  # sorted, as etcd's are
        self._history: deque[Change] = deque()
        self._limit = history
        self._listeners = Listeners[Change]()
        self._unheard: deque[Change] = deque()
        self._telling = False

    def create(self, res: Resource, namespace: str | None, obj: Object, *, dry_run: bool = False) -> Object:
        """Store a new object with defaults, name, uid and times filled in.

        Raises Refusal: 404 (no such namespace), 409 (exists), 400 and 422 (bad metadata), 403 (over quota).
        """
        new = copied(obj) | {"kind": res.kind, "apiVersion": res.api_version}
        metadata = new.setdefault("metadata", {})
        if res.namespaced:
            if metadata.setdefault("namespace", namespace or "default") != (namespace or "default"):
                wrong = "the namespace of the provided object does not match the namespace sent on the request"
                raise Refusal(400, "BadRequest", wrong)
            if metadata["namespace"] not in self._objects[NAMESPACES]:
                raise not_found(NAMESPACES, metadata["namespace"])
        if not metadata.get("name"):
            if not metadata.get("generateName"):
                why = f'{res.kind} "" is invalid: metadata.name: Required value: name or generateName is required'
                raise Refusal.about(res, "", 422, "Invalid", why)
            metadata["name"] = self._generated(res, metadata.get("namespace"), metadata["generateName"])
        key = _key(res, metadata.get("namespace"), metadata["name"])
        if key in self._objects[res]:
            taken = f'{res.qualified} "{metadata["name"]}" already exists'
            raise Refusal.about(res, metadata["name"], 409, "AlreadyExists", taken)
        for field in _SET_BY_SERVER[2:]:
            metadata.pop(field, None)
        metadata["uid"] = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        metadata["creationTimestamp"] = timestamp(self.now())
        if res is PODS or res.group == "apps":
            metadata["generation"] = 1
        defaults.fill(res.plural, new)
        _check_event(res, new)
        _omit_empty(metadata)
        if res is PODS:
            self._check_quota(new)
        return new if dry_run else self._commit("ADDED", res, key, new, None)

    def get(self, res: Resource, namespace: str | None, name: str) -> Object:
        """The object as it is. Raises Refusal 404."""
        try:
            return self._objects[res][_key(res, namespace, name)]
        except KeyError:
            raise not_found(res, name) from None

    def update(
        self,
        res: Resource,
        namespace: str | None,
        name: str,
        mutate: Callable[[Object], None],
        *,
        resource_version: str | None = None,
        dry_run: bool = False,
    ) -> Object:
        """Change an object: ``mutate`` is given a copy. What only the server may set stays as it was.

        No change, no new version and no event. A deleted object whose grace is over goes with its last finalizer.
        Raises Refusal: 404, 409 (not the version or uid meant).
        """
        old = self.get(res, namespace, name)
        new = copied(old)
        mutate(new)
        was, metadata = old["metadata"], new["metadata"]
        conflict = f'Operation cannot be fulfilled on {res.qualified} "{name}": '
        if resource_version and resource_version != was["resourceVersion"]:
            modified = "the object has been modified; please apply your changes to the latest version and try again"
            raise Refusal.about(res, name, 409, "Conflict", conflict + modified)
        if metadata.get("uid", was["uid"]) != was["uid"]:
            why = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {was['uid']}"
            raise Refusal.about(res, name, 409, "Conflict", conflict + why)
        for field in _SET_BY_SERVER:
            metadata.pop(field, None)
        metadata.update((field, was[field]) for field in _SET_BY_SERVER if field in was)
        _omit_empty(metadata)
        if new == old:
            return old
        if "generation" in was and _desired(new) != _desired(old):
            metadata["generation"] += 1
        if dry_run:
            return new
        key = _key(res, namespace, name)
        if "deletionTimestamp" in was and not was["deletionGracePeriodSeconds"] and not metadata.get("finalizers"):
            self._remove(res, key)
            return new
        return self._commit("MODIFIED", res, key, new, old)

    def delete(
        self,
        res: Resource,
        namespace: str | None,
        name: str,
        *,
        grace: int | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        dry_run: bool = False,
    ) -> Object:
        """Delete an object, gracefully if it is a Pod that a node runs. Gives its last state.

        ``grace`` is in seconds; it may shorten a deletion that is under way, never lengthen it. ``uid`` and
        ``resource_version`` are preconditions. Raises Refusal: 404, 409.
        """
        old = self.get(res, namespace, name)
        was = old["metadata"]
        if uid is not None and uid != was["uid"]:
            raise precondition_failed(res, name, "UID", uid, was["uid"])
        if resource_version is not None and resource_version != was["resourceVersion"]:
            raise precondition_failed(res, name, "ResourceVersion", resource_version, was["resourceVersion"])
        key, finalizers, deleted = _key(res, namespace, name), was.get("finalizers"), "deletionTimestamp" in was
        if res is not PODS and not finalizers:
            return old if dry_run else self._remove(res, key)
        period = 0
        if deleted:
            if res is not PODS or grace is None or grace >= was["deletionGracePeriodSeconds"]:
                return old
            period = grace
        elif res is PODS:
            period = _grace(old, grace)
        new = copied(old)
        # A shortened deletion counts from now too, as recorded.
        new["metadata"] |= {"deletionTimestamp": timestamp(self.now() + period), "deletionGracePeriodSeconds": period}
        if not deleted and "generation" in was:
            new["metadata"]["generation"] += 1
        if dry_run:
            return new
        # Even what goes at once is marked first: a watch sees MODIFIED, then DELETED.
        new = self._commit("MODIFIED", res, key, new, old)
        return new if period or finalizers else self._remove(res, key)

    def list(
        self,
        res: Resource,
        namespace: str | None = None,
        labels: Selector = Selector(),  # noqa: B008  immutable
        fields: FieldSelector = FieldSelector(),  # noqa: B008
    ) -> list[Object]:
        """The objects selected, of one namespace or (None) of all, in the order of their namespaces and names."""
        return [obj for _, obj in self.scan(res, namespace, labels, fields)]

    def scan(
        self,
        res: Resource,
        namespace: str | None,
        labels: Selector,
        fields: FieldSelector,
        *,
        start: str = "",
        rv: int | None = None,
    ) -> Iterator[tuple[str, Object]]:
        """What ``list`` gives, with keys, from the key ``start`` on, as it was at version ``rv`` (None: as it is)."""
        objects, keys = self._objects[res], self._keys[res]
        if rv is not None and rv < self.rv:
            objects = self._as_of(res, rv)
            keys = sorted(objects)
        prefix = f"{namespace}/" if namespace and res.namespaced else ""
        for index in range(bisect_left(keys, max(prefix, start)), len(keys)):
            if not keys[index].startswith(prefix):
                return
            obj = objects[keys[index]]
            if labels.matches(obj["metadata"].get("labels")) and fields.matches(obj):
                yield keys[index], obj

    def since(self, res: Resource, rv: int) -> Sequence[Change]:
        """The changes after a version, oldest first. Raises Refusal 410 if they are no longer all known."""
        if rv < self.compacted:
            raise Refusal(410, "Expired", f"too old resource version: {rv} ({self.compacted})")
        return [change for change in self._after(rv) if change.resource is res][::-1]

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Has ``listener`` called after each commit, in order, before the method that made it returns. Gives back
        what ends that.

        A listener may write: all hear of what it changes after what it was called for.
        """
        return self._listeners.subscribe(listener)

    def compact(self, rv: int | None = None) -> None:
        """Forget the changes up to a version (None: all). A watch or a page from before it is then answered 410."""
        self.compacted = max(self.compacted, self.rv if rv is None else rv)
        while self._history and self._history[0].rv <= self.compacted:
            self._history.popleft()

    def advance_rv(self, rv: int) -> None:
        """Let the newest version be at least this, as if something had changed that nobody here sees."""
        self.rv = max(self.rv, rv)

    def put_raw(self, change_type: ChangeType, res: Resource, obj: Object, rv: int | None = None) -> None:
        """Commit an object exactly as recorded elsewhere, under its own resourceVersion (or ``rv``).

        The change counts as a new one whatever its version says: whoever watches from the newest sees it.
        """
        new: Object = {"kind": res.kind, "apiVersion": res.api_version, **obj}
        key = _key(res, new["metadata"].get("namespace"), new["metadata"]["name"])
        self.rv = max(self.rv + 1, int(new["metadata"]["resourceVersion"]) if rv is None else rv)
        self._record(Change(change_type, res, new, self._objects[res].get(key), self.rv), key)

    def _generated(self, res: Resource, namespace: str | None, prefix: str) -> str:
        # Each prefix draws for itself: what else is created in between depends on the timing.
        rng = self._names.setdefault(prefix, random.Random(f"{self._seed} {prefix}"))  # noqa: S311
        while True:  # an API server too tries again when the name is taken, since 1.30
            name = prefix + "".join(rng.choices(_NAME_ALPHABET, k=5))
            if _key(res, namespace, name) not in self._objects[res]:
                return name

    def _check_quota(self, pod: Object) -> None:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        for quota in self.list(RESOURCEQUOTAS, namespace):
            limit = quota.get("spec", {}).get("hard", {}).get("pods")
            if limit is None:
                continue
            used = sum(
                each["status"].get("phase") not in ("Succeeded", "Failed") for each in self.list(PODS, namespace)
            )
            if used + 1 > int(limit):
                amounts = f"requested: pods=1, used: pods={used}, limited: pods={limit}"
                message = f'pods "{name}" is forbidden: exceeded quota: {quota["metadata"]["name"]}, {amounts}'
                raise Refusal.about(PODS, name, 403, "Forbidden", message)

    def _commit(self, change_type: ChangeType, res: Resource, key: str, new: Object, old: Object | None) -> Object:
        self.rv += 1
        new["metadata"]["resourceVersion"] = str(self.rv)
        self._record(Change(change_type, res, new, old, self.rv), key)
        return new

    def _remove(self, res: Resource, key: str) -> Object:
        old = self._objects[res][key]
        return self._commit("DELETED", res, key, old | {"metadata": dict(old["metadata"])}, old)

    def _record(self, change: Change, key: str) -> None:
        objects, keys = self._objects[change.resource], self._keys[change.resource]
        if change.type == "DELETED":
            if objects.pop(key, None) is not None:
                del keys[bisect_left(keys, key)]
        else:
            if key not in objects:
                insort(keys, key)
            objects[key] = change.object
        self._history.append(change)
        if len(self._history) > self._limit:
            self.compact(self._history[0].rv)
        self._unheard.append(change)
        if self._telling:  # a listener is writing; the loop below, further up the stack, tells of it in its turn
            return
        self._telling = True
        try:
            while self._unheard:
                self._listeners.tell(self._unheard.popleft())
        finally:
            self._telling = False

    def _after(self, rv: int) -> Iterator[Change]:
        """The changes after a version, newest first."""
        for change in reversed(self._history):
            if change.rv <= rv:
                return
            yield change

    def _as_of(self, res: Resource, rv: int) -> dict[str, Object]:
        """The objects as they were at a version: what happened since, undone."""
        objects = dict(self._objects[res])
        for change in self._after(rv):
            if change.resource is res:
                metadata = change.object["metadata"]
                key = _key(res, metadata.get("namespace"), metadata["name"])
                if change.previous is None:
                    objects.pop(key, None)
                else:
                    objects[key] = change.previous
        return objects


def _omit_empty(metadata: Object) -> None:
    """What is empty in these fields is not there at all."""
    for field in ("labels", "annotations", "finalizers", "ownerReferences"):
        if not metadata.get(field, True):
            del metadata[field]


def _check_event(res: Resource, obj: Object) -> None:
    """An Event lies in the namespace of what it is about. Raises Refusal 422."""
    if res is not EVENTS:
        return
    about = (obj.get("involvedObject") or {}).get("namespace") or "default"
    if about != obj["metadata"]["namespace"]:
        field, name = "involvedObject.namespace", obj["metadata"]["name"]
        why = f'{field}: Invalid value: "{about}": does not match event.namespace'
        raise Refusal.about(res, name, 422, "Invalid", f'Event "{name}" is invalid: {why}')


def _key(res: Resource, namespace: str | None, name: str) -> str:
    return f"{namespace or 'default'}/{name}" if res.namespaced else name


def _desired(obj: Object) -> Object:
    """What the generation counts the versions of: the spec, without the node that a Pod was bound to (recorded)."""
    return {field: value for field, value in obj.get("spec", {}).items() if field != "nodeName"}


def _grace(pod: Object, grace: int | None) -> int:
    """The seconds that a Pod is given to end: none where no node runs it or it has ended already."""
    if not pod["spec"].get("nodeName") or pod["status"].get("phase") in ("Succeeded", "Failed"):
        return 0
    period: int = pod["spec"].get("terminationGracePeriodSeconds", 0) if grace is None else grace
    return 1 if period < 0 else period

"""The cluster's state: objects, their versions, and what changed, as etcd and an API server's registry keep them.

Knows the steps of creating, changing and deleting an object, and their order. What each step decides, ``strategy``,
``defaults`` and ``names`` know. Kubelets and controllers read and write here and subscribe to changes.

Objects are plain JSON and frozen once stored: a change makes a copy, so what was handed out and the history stay as
they were. The semantics are those of Kubernetes' "API Concepts" and "Finalizers", of apiserver's generic
registry, and of the recordings in tests/data.
"""

import random
from collections.abc import Callable, Iterator, Sequence

from ssh_session_gc.sandbox.api import defaults, strategy
from ssh_session_gc.sandbox.api.history import History
from ssh_session_gc.sandbox.api.keyspace import Keyspace
from ssh_session_gc.sandbox.api.names import Names
from ssh_session_gc.sandbox.api.objects import (
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
from ssh_session_gc.sandbox.api.refusals import (
    already_exists,
    nameless,
    not_found,
)
from ssh_session_gc.selectors import FieldSelector, Selector

HISTORY = 10_000
"""Changes that are kept; older ones are compacted away."""


class Store:
    """Every object of the simulated cluster."""

    def __init__(
        self,
        now: Callable[[], float],
        *,
        true_now: Callable[[], float] | None = None,
        history: int = HISTORY,
        rng: random.Random | None = None,
    ) -> None:
        """``now`` gives seconds since the epoch by the cluster's clock, ``true_now`` by one that nobody ever sets;
        ``rng`` makes names and uids repeatable."""
        self.now = now
        self.true_now = true_now or now
        self.dates_ahead = 0.0
        """Seconds by which the clock of the API server is ahead that takes creations and dates them."""
        self.rv = 1
        self._names = Names(rng or random.Random())  # noqa: S311 - no secrets
        self._objects = {res: Keyspace() for res in RESOURCES}
        self._history = History(history)

    @property
    def compacted(self) -> int:
        """The version up to which the past is forgotten."""
        return self._history.compacted

    def create(self, res: Resource, namespace: str | None, obj: Object, *, dry_run: bool = False) -> Object:
        """Stores a new object with defaults, name, uid and times filled in.

        Raises Refusal: 404 (no such namespace), 409 (exists), 400 and 422 (bad metadata), 403 (over quota).
        """
        new = copied(obj) | {"kind": res.kind, "apiVersion": res.api_version}
        metadata = new.setdefault("metadata", {})
        if res.namespaced:
            strategy.check_namespace(metadata, namespace or "default")
            if metadata["namespace"] not in self._objects[NAMESPACES]:
                raise not_found(NAMESPACES, metadata["namespace"])
        if not metadata.get("name"):
            if not metadata.get("generateName"):
                raise nameless(res)
            namespace = metadata.get("namespace")
            metadata["name"] = self._names.generate(
                metadata["generateName"], lambda name: res.key(namespace, name) in self._objects[res]
            )
        key = res.key(metadata.get("namespace"), metadata["name"])
        if key in self._objects[res]:
            raise already_exists(res, metadata["name"])
        for field in strategy.SET_BY_SERVER[2:]:
            metadata.pop(field, None)
        metadata["uid"] = self._names.uid()
        metadata["creationTimestamp"] = timestamp(self.now() + self.dates_ahead)
        if res is PODS or res.group == "apps":
            metadata["generation"] = 1
        defaults.fill(res.plural, new)
        strategy.check_event(res, new)
        strategy.omit_empty(metadata)
        for quota in self.list(RESOURCEQUOTAS, metadata["namespace"]) if res is PODS else ():
            strategy.check_quota(new, quota, self.list(PODS, metadata["namespace"]))
        return new if dry_run else self._commit("ADDED", res, key, new, None)

    def get(self, res: Resource, namespace: str | None, name: str) -> Object:
        """The object as it is now. Raises Refusal 404."""
        try:
            return self._objects[res][res.key(namespace, name)]
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
        """Changes an object: ``mutate`` is given a copy. What only the server may set stays as it was.

        Where nothing changes, there is no new version and no event. A deleted object whose grace is over goes with
        its last finalizer.
        Raises Refusal: 404, 409 (not the version or uid meant).
        """
        old = self.get(res, namespace, name)
        new = copied(old)
        mutate(new)
        was, metadata = old["metadata"], new["metadata"]
        strategy.check_conflict(res, was, resource_version, metadata.get("uid", was["uid"]))
        strategy.keep_own_fields(metadata, was)
        strategy.omit_empty(metadata)
        if new == old:
            return old
        if "generation" in was and strategy.desired(new) != strategy.desired(old):
            metadata["generation"] += 1
        if dry_run:
            return new
        key = res.key(namespace, name)
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
        """Deletes an object, gracefully if it is a Pod that a node runs. Returns its last state.

        ``grace`` is in seconds; it may shorten a deletion that is under way, never lengthen it. ``uid`` and
        ``resource_version`` are preconditions. Raises Refusal: 404, 409.
        """
        old = self.get(res, namespace, name)
        was = old["metadata"]
        strategy.check_preconditions(res, was, uid, resource_version)
        key, finalizers, deleted = res.key(namespace, name), was.get("finalizers"), "deletionTimestamp" in was
        if res is not PODS and not finalizers:
            return old if dry_run else self._remove(res, key)
        period = 0
        if deleted:
            if res is not PODS or grace is None or grace >= was["deletionGracePeriodSeconds"]:
                return old
            period = grace
        elif res is PODS:
            period = strategy.grace_period(old, grace)
        new = copied(old)
        # A shortened deletion counts from now, too, as recorded.
        new["metadata"] |= {"deletionTimestamp": timestamp(self.now() + period), "deletionGracePeriodSeconds": period}
        if not deleted and "generation" in was:
            new["metadata"]["generation"] += 1
        if dry_run:
            return new
        # An object that goes at once is marked first: a watch sees MODIFIED, then DELETED.
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
        """The same with keys, from the key ``start`` on, as it was at version ``rv`` (None: as it is)."""
        objects = self._objects[res]
        if rv is not None and rv < self.rv:
            objects = Keyspace(self._history.undone(objects, res, rv))
        prefix = f"{namespace}/" if namespace and res.namespaced else ""
        for key, obj in objects.scan(prefix, start):
            if labels.matches(obj["metadata"].get("labels")) and fields.matches(obj):
                yield key, obj

    def since(self, res: Resource, rv: int) -> Sequence[Change]:
        """The changes after a version, oldest first. Raises Refusal 410 if they are no longer all known."""
        return self._history.since(res, rv)

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Has ``listener`` called after each commit, in order, before the method that made it returns. Returns what
        ends that.

        A listener may write: all listeners hear of the change that it was called for first.
        """
        return self._history.subscribe(listener)

    def compact(self, rv: int | None = None) -> None:
        """Forgets the changes up to a version (None: all). A watch or a page from before it is then answered 410."""
        self._history.compact(self.rv if rv is None else rv)

    def advance_rv(self, rv: int) -> None:
        """Raises the newest version to this, as if something had changed that is not kept here."""
        self.rv = max(self.rv, rv)

    def put_raw(self, change_type: ChangeType, res: Resource, obj: Object, rv: int | None = None) -> None:
        """Commits an object exactly as recorded elsewhere, under its own resourceVersion (or ``rv``).

        The change counts as new whatever its version says: a watch from the newest version sees it.
        """
        new: Object = {"kind": res.kind, "apiVersion": res.api_version, **obj}
        key = res.key(new["metadata"].get("namespace"), new["metadata"]["name"])
        self.rv = max(self.rv + 1, int(new["metadata"]["resourceVersion"]) if rv is None else rv)
        self._record(Change(change_type, res, new, self._objects[res].get(key), self.rv), key)

    def _commit(self, change_type: ChangeType, res: Resource, key: str, new: Object, old: Object | None) -> Object:
        self.rv += 1
        new["metadata"]["resourceVersion"] = str(self.rv)
        self._record(Change(change_type, res, new, old, self.rv), key)
        return new

    def _remove(self, res: Resource, key: str) -> Object:
        old = self._objects[res][key]
        return self._commit("DELETED", res, key, old | {"metadata": dict(old["metadata"])}, old)

    def _record(self, change: Change, key: str) -> None:
        if change.type == "DELETED":
            self._objects[change.resource].remove(key)
        else:
            self._objects[change.resource].put(key, change.object)
        self._history.record(change)

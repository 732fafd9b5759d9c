"""The store by itself: versions, deletion, history, and what listeners hear."""

import random
from typing import Any

import pytest

from ssh_session_gc.sandbox.api.objects import DEPLOYMENTS, LEASES, NAMESPACES, PODS, Change, Object
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.selectors import BadSelector, FieldSelector, Selector
from tests.sandbox.api.serving import NAMESPACE, Clock, pod


@pytest.fixture
def store() -> Store:
    made = Store(Clock())
    made.create(NAMESPACES, None, {"metadata": {"name": NAMESPACE}})
    return made


@pytest.fixture
def heard(store: Store) -> list[Change]:
    changes: list[Change] = []
    store.subscribe(changes.append)
    return changes


def _kinds(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.type, change.object["metadata"]["name"]) for change in changes]


def _labelled(**labels: str) -> Any:
    return lambda obj: obj["metadata"].setdefault("labels", {}).update(labels)


def _refusal(call: Any, *args: Any, **options: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call(*args, **options)
    return caught.value


def test_what_was_handed_out_never_changes(store: Store) -> None:
    given = pod("a")
    first = store.create(PODS, NAMESPACE, given)
    second = store.update(PODS, NAMESPACE, "a", _labelled(x="y"))
    assert given == pod("a")
    assert "labels" not in first["metadata"]
    assert second["metadata"]["labels"] == {"x": "y"}
    assert int(second["metadata"]["resourceVersion"]) == int(first["metadata"]["resourceVersion"]) + 1 == store.rv


def test_the_same_seed_makes_the_same_names_and_uids() -> None:
    def made() -> Object:
        store = Store(Clock(), rng=random.Random(7))
        store.create(NAMESPACES, None, {"metadata": {"name": NAMESPACE}})
        return store.create(PODS, NAMESPACE, pod())

    assert made() == made()


def test_no_change_makes_no_version_and_no_event(store: Store, heard: list[Change]) -> None:
    before = store.create(PODS, NAMESPACE, pod("a"))
    assert store.update(PODS, NAMESPACE, "a", lambda obj: None) is before
    assert _kinds(heard) == [("ADDED", "a")]


def test_the_server_s_own_fields_cannot_be_written(store: Store) -> None:
    before = store.create(PODS, NAMESPACE, pod("a"))

    def forge(obj: Object) -> None:
        obj["metadata"] |= {"deletionTimestamp": "2020-01-01T00:00:00Z", "generation": 9, "resourceVersion": "5"}
        del obj["metadata"]["creationTimestamp"]

    assert store.update(PODS, NAMESPACE, "a", forge) is before


def test_the_generation_counts_the_spec_but_not_where_a_pod_runs(store: Store) -> None:
    store.create(PODS, NAMESPACE, pod("a"))
    bound = store.update(PODS, NAMESPACE, "a", lambda obj: obj["spec"].update(nodeName="n"))
    assert bound["metadata"]["generation"] == 1
    template: Object = {"spec": {"containers": []}}
    store.create(DEPLOYMENTS, NAMESPACE, {"metadata": {"name": "d"}, "spec": {"template": template}})
    scaled = store.update(DEPLOYMENTS, NAMESPACE, "d", lambda obj: obj["spec"].update(replicas=2))
    assert scaled["metadata"]["generation"] == 2
    assert store.update(DEPLOYMENTS, NAMESPACE, "d", _labelled(x="y"))["metadata"]["generation"] == 2


def test_a_pod_that_runs_gets_its_grace_and_goes_when_the_kubelet_says_so(store: Store, heard: list[Change]) -> None:
    store.create(PODS, NAMESPACE, pod("a", node="n"))
    marked = store.delete(PODS, NAMESPACE, "a", grace=30)["metadata"]
    assert (marked["deletionTimestamp"], marked["deletionGracePeriodSeconds"]) == ("2027-01-15T08:00:30Z", 30)
    assert marked["generation"] == 2
    assert store.get(PODS, NAMESPACE, "a")["metadata"] == marked
    last = store.delete(PODS, NAMESPACE, "a", grace=0)["metadata"]
    assert (last["deletionTimestamp"], last["deletionGracePeriodSeconds"]) == ("2027-01-15T08:00:00Z", 0)
    # The recording has the last mark and then the end, each under a version of its own.
    assert _kinds(heard) == [("ADDED", "a"), ("MODIFIED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert last["resourceVersion"] == str(heard[-1].rv) == str(heard[-2].rv + 1)
    assert _refusal(store.get, PODS, NAMESPACE, "a").code == 404


@pytest.mark.parametrize(("node", "phase"), [("", "Pending"), ("n", "Succeeded"), ("n", "Failed")])
def test_a_pod_that_runs_nowhere_goes_at_once(store: Store, heard: list[Change], node: str, phase: str) -> None:
    store.create(PODS, NAMESPACE, pod("a", node=node) | {"status": {"phase": phase}})
    assert store.delete(PODS, NAMESPACE, "a", grace=30)["metadata"]["deletionGracePeriodSeconds"] == 0
    assert _kinds(heard) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_a_grace_is_shortened_but_never_lengthened(store: Store) -> None:
    store.create(PODS, NAMESPACE, pod("a", node="n"))
    first = store.delete(PODS, NAMESPACE, "a", grace=8)
    assert store.delete(PODS, NAMESPACE, "a", grace=60) is first
    assert store.delete(PODS, NAMESPACE, "a") is first
    assert store.delete(PODS, NAMESPACE, "a", grace=2)["metadata"]["deletionGracePeriodSeconds"] == 2


def test_the_pod_s_own_grace_counts_where_none_is_asked_for(store: Store) -> None:
    store.create(PODS, NAMESPACE, pod("a", node="n"))
    assert store.delete(PODS, NAMESPACE, "a")["metadata"]["deletionGracePeriodSeconds"] == 30


def test_a_finalizer_holds_a_pod_that_is_over(store: Store, heard: list[Change]) -> None:
    store.create(PODS, NAMESPACE, pod("a", finalizers=["example.com/hold"]))
    assert store.delete(PODS, NAMESPACE, "a")["metadata"]["deletionGracePeriodSeconds"] == 0
    store.update(PODS, NAMESPACE, "a", lambda obj: obj["metadata"].pop("finalizers"))
    assert _kinds(heard) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert heard[-1].object["metadata"]["finalizers"] == ["example.com/hold"]  # its last state is the one before


def test_a_finalizer_does_not_end_the_grace(store: Store) -> None:
    store.create(PODS, NAMESPACE, pod("a", node="n", finalizers=["example.com/hold"]))
    store.delete(PODS, NAMESPACE, "a", grace=5)
    store.update(PODS, NAMESPACE, "a", lambda obj: obj["metadata"].pop("finalizers"))
    assert store.get(PODS, NAMESPACE, "a")["metadata"]["deletionGracePeriodSeconds"] == 5


def test_what_is_no_pod_goes_at_once_unless_held(store: Store, heard: list[Change]) -> None:
    store.create(LEASES, NAMESPACE, {"metadata": {"name": "l"}})
    store.delete(LEASES, NAMESPACE, "l", grace=30)
    assert _kinds(heard) == [("ADDED", "l"), ("DELETED", "l")]
    store.create(LEASES, NAMESPACE, {"metadata": {"name": "l", "finalizers": ["example.com/hold"]}})
    assert "deletionTimestamp" in store.delete(LEASES, NAMESPACE, "l")["metadata"]
    store.update(LEASES, NAMESPACE, "l", lambda obj: obj["metadata"].update(finalizers=[]))
    assert _refusal(store.get, LEASES, NAMESPACE, "l").code == 404


def test_a_dry_run_tells_and_does_nothing(store: Store, heard: list[Change]) -> None:
    assert store.create(PODS, NAMESPACE, pod("b"), dry_run=True)["metadata"]["uid"]
    store.create(PODS, NAMESPACE, pod("a", node="n"))
    assert store.update(PODS, NAMESPACE, "a", _labelled(x="y"), dry_run=True)["metadata"]["labels"] == {"x": "y"}
    assert store.delete(PODS, NAMESPACE, "a", dry_run=True)["metadata"]["deletionGracePeriodSeconds"] == 30
    assert _kinds(heard) == [("ADDED", "a")]
    assert store.rv == heard[0].rv


def test_a_uid_or_version_that_is_not_meant_is_refused(store: Store) -> None:
    store.create(PODS, NAMESPACE, pod("a"))
    for wrong in ({"uid": "other"}, {"resource_version": "1"}):
        assert _refusal(store.delete, PODS, NAMESPACE, "a", **wrong).code == 409
    stale = _refusal(store.update, PODS, NAMESPACE, "a", lambda obj: None, resource_version="1")
    assert (stale.code, stale.reason) == (409, "Conflict")
    other = _refusal(store.update, PODS, NAMESPACE, "a", lambda obj: obj["metadata"].update(uid="other"))
    assert "Precondition failed: UID" in other.message


def test_bad_objects_are_refused(store: Store) -> None:
    assert _refusal(store.create, PODS, "nowhere", pod("a")).message == 'namespaces "nowhere" not found'
    assert _refusal(store.create, PODS, NAMESPACE, {"metadata": {}}).code == 422
    assert _refusal(store.create, PODS, NAMESPACE, pod("a", namespace="other")).code == 400


def test_listeners_hear_of_changes_in_their_order_even_when_one_writes(store: Store) -> None:
    def answer(change: Change) -> None:
        if change.type == "ADDED":
            store.update(PODS, NAMESPACE, change.object["metadata"]["name"], _labelled(seen="yes"))

    store.subscribe(answer)
    later: list[Change] = []
    leave = store.subscribe(later.append)
    store.create(PODS, NAMESPACE, pod("a"))
    assert [(change.type, change.rv) for change in later] == [("ADDED", store.rv - 1), ("MODIFIED", store.rv)]
    assert later[1].previous is later[0].object
    leave()
    leave()  # a second time does no harm
    store.create(PODS, NAMESPACE, pod("b"))
    assert len(later) == 2


def test_the_past_can_be_listed_until_it_is_compacted(store: Store) -> None:
    for name in "abc":
        store.create(PODS, NAMESPACE, pod(name))
    then = store.rv
    store.delete(PODS, NAMESPACE, "a")
    store.update(PODS, NAMESPACE, "b", _labelled(x="y"))
    store.create(PODS, NAMESPACE, pod("d"))
    old = [obj for _, obj in store.scan(PODS, NAMESPACE, Selector(), FieldSelector(), rv=then)]
    assert [obj["metadata"]["name"] for obj in old] == ["a", "b", "c"]
    assert not any("labels" in obj["metadata"] for obj in old)
    store.compact(then)
    assert len(store.since(PODS, then)) == 4
    store.compact()
    assert _refusal(store.since, PODS, then).reason == "Expired"


def test_history_is_bounded() -> None:
    store = Store(Clock(), history=3)
    for index in range(6):
        store.create(NAMESPACES, None, {"metadata": {"name": f"n{index}"}})
    assert len(store.since(NAMESPACES, store.rv - 3)) == 3
    assert _refusal(store.since, NAMESPACES, store.rv - 4).code == 410


def test_keys_sort_as_in_etcd(store: Store) -> None:
    store.create(NAMESPACES, None, {"metadata": {"name": f"{NAMESPACE}-b"}})
    for namespace in (NAMESPACE, f"{NAMESPACE}-b"):
        store.create(PODS, namespace, pod("a"))
    # "-" sorts before "/", which ends the namespace in a key.
    assert [obj["metadata"]["namespace"] for obj in store.list(PODS)] == [f"{NAMESPACE}-b", NAMESPACE]
    assert [obj["metadata"]["namespace"] for obj in store.list(PODS, NAMESPACE)] == [NAMESPACE]


def test_a_raw_object_keeps_its_version_and_counts_as_new(store: Store, heard: list[Change]) -> None:
    recorded = {"metadata": {"name": "a", "namespace": NAMESPACE, "uid": "u", "resourceVersion": "500"}}
    store.put_raw("ADDED", PODS, recorded)
    assert store.rv == 500
    assert store.get(PODS, NAMESPACE, "a")["metadata"] == recorded["metadata"]
    store.put_raw("DELETED", PODS, {"metadata": recorded["metadata"] | {"resourceVersion": "400"}})
    assert [change.rv for change in heard] == [500, 501]
    assert store.list(PODS) == []
    store.advance_rv(400)
    assert store.rv == 501


@pytest.mark.parametrize(
    ("text", "labels", "selected"),
    [
        ("", {}, True),
        ("a=b", {"a": "b"}, True),
        ("a==b,c", {"a": "b"}, False),
        ("a==b,c", {"a": "b", "c": ""}, True),
        ("a!=b", {}, True),
        ("a!=b", {"a": "b"}, False),
        ("a in (b, c)", {"a": "c"}, True),
        ("a notin (b,c),!d", {"a": "x"}, True),
        ("!d", {"d": "1"}, False),
        ("a=", {"a": ""}, True),
        ("x.io/y=z", {"x.io/y": "z"}, True),
        ("n gt 3", {"n": "4"}, True),
        ("n<3", {"n": "4"}, False),
    ],
)
def test_label_selectors(text: str, labels: dict[str, str], selected: bool) -> None:
    assert Selector.parse(text).matches(labels) is selected


@pytest.mark.parametrize(
    "text", ["a b c", "a in b", "a in (b", "=b", "a=b c", "!", "a in ()", "n gt x", "a,=", "(a)"]
)
def test_bad_label_selectors(text: str) -> None:
    with pytest.raises(BadSelector, match="unable to parse requirement"):
        Selector.parse(text)


def test_selectors_of_workloads() -> None:
    selector = Selector.of(
        {
            "matchLabels": {"app": "ssh"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["a", "b"]},
                {"key": "old", "operator": "DoesNotExist"},
            ],
        }
    )
    assert selector.matches({"app": "ssh", "tier": "a"})
    assert not selector.matches({"app": "ssh", "tier": "a", "old": "x"})
    assert not selector.matches({"app": "ssh"})


def test_field_selectors() -> None:
    def supported(path: str) -> bool:
        return path != "spec.other"

    obj = {"metadata": {"name": "a"}, "status": {"phase": "Running"}}
    assert FieldSelector.parse("metadata.name=a,status.phase!=Failed", supported).matches(obj)
    assert not FieldSelector.parse("spec.nodeName==n", supported).matches(obj)
    assert FieldSelector.parse("spec.nodeName=", supported).matches(obj)
    for bad in ("spec.other=x", "metadata.name"):
        with pytest.raises(BadSelector):
            FieldSelector.parse(bad, supported)

"""The chart's admission policies: every expression type-checked, and evaluated against Pods that a real cluster had
and against what an attacker would make of them.
"""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.chart import admission, charts
from tests.chart.admission import AdmissionAnswer, Request
from tests.chart.charts import Document

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings"
SSH = "system:serviceaccount:containerssh:containerssh"
CREATOR = {
    "authentication.kubernetes.io/pod-name": ["containerssh-64549bbb-ck6l8"],
    "authentication.kubernetes.io/pod-uid": ["15710cff-0dd2-4058-903c-fe9bb5e3459f"],
}
NAME, UID = "ssh-session-gc/owner-pod-name", "ssh-session-gc/owner-pod-uid"
KEEP, TTL = "ssh-session-gc/keep", "ssh-session-gc/ttl"
STAMP = {
    NAME: CREATOR["authentication.kubernetes.io/pod-name"][0],
    UID: CREATOR["authentication.kubernetes.io/pod-uid"][0],
}
FORGED = {NAME: "containerssh-64549bbb-zzzzz", UID: "00000000-0000-0000-0000-000000000000"}
DIGEST = "registry.example.com/ssh-session@sha256:" + "0123456789abcdef" * 4
EXTRA = ("authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid")

posture_engines = pytest.mark.parametrize("engine", ["vap", "kyverno"])
stamp_engines = pytest.mark.parametrize("engine", ["map", "kyverno"])


@cache
def installed(values: str) -> list[Document]:
    """The objects for these values, in JSON, so that they can be cached."""
    return charts.render(json.loads(values))


def policies(**values: Any) -> list[Document]:
    """The objects for these values, dots written as two underscores."""
    nested = [charts.nested(path.replace("__", "."), value) for path, value in values.items()]
    return installed(json.dumps(charts.merged(*nested)))


def posture(engine: str, **values: Any) -> list[Document]:
    """The posture alone."""
    return policies(admission__engine=engine, **values)


def stamping(engine: str, **values: Any) -> list[Document]:
    """The stamp and its guard."""
    return policies(ownerStamp__engine=engine, **values)


# --- the Pods of the recordings ------------------------------------------------------------------------------------


def events() -> Iterator[tuple[str, str, Document]]:
    """The events of session Pods in the recordings: file, type of event, Pod."""
    for path in sorted(RECORDINGS.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            if entry.get("stream") == "session-pods" and "list" in entry:
                for item in entry["list"]["items"]:
                    yield path.name, "LISTED", item
            elif entry.get("stream") == "session-pods" and entry["event"]["type"] in ("ADDED", "MODIFIED"):
                yield path.name, entry["event"]["type"], entry["event"]["object"]


@cache
def recorded() -> list[tuple[str, str, Document]]:
    """All these events, read once."""
    return list(events())


def asked_for(pod: Document) -> Document:
    """A recorded Pod as ContainerSSH asked for it, without the stamp and the rest that the API server added."""
    pod = deepcopy(pod)
    metadata = pod["metadata"]
    for key in ("managedFields", "uid", "resourceVersion", "creationTimestamp", "generation", "name"):
        metadata.pop(key, None)
    for key in (NAME, UID):
        del metadata["annotations"][key]
    pod.pop("status")
    return pod


@pytest.fixture
def session() -> Document:
    """A session of a real cluster, as it was asked for."""
    return asked_for(next(pod for _, kind, pod in recorded() if kind == "ADDED"))


@pytest.fixture
def full(session: Document) -> Document:
    """A session with all three kinds of container, each of them hardened."""
    spec = session["spec"]
    [shell] = spec["containers"]
    shell["image"] = DIGEST
    spec["initContainers"] = [deepcopy(shell) | {"name": "init"}]
    debug = deepcopy(shell) | {"name": "debug"}
    # An ephemeral container must not have resources.
    del debug["resources"]
    spec["ephemeralContainers"] = [debug]
    return session


def create(pod: Document, **more: Any) -> Request:
    """The request of ContainerSSH, from a Pod of its own, to create this Pod."""
    return Request("CREATE", pod, **{"user": SSH, "extra": CREATOR, **more})


@posture_engines
def test_every_recorded_session_meets_the_posture(engine: str) -> None:
    """The policies would have changed nothing in what was recorded."""
    found = recorded()
    assert len({pod["metadata"]["uid"] for _, _, pod in found}) > 15
    for file, _, pod in found:
        answer = admission.admit(posture(engine), create(pod))
        assert answer.refusals == [], (file, pod["metadata"]["name"])


@posture_engines
def test_recorded_images_have_tags_so_that_asking_for_digests_refuses_them(engine: str) -> None:
    """Images by tag, as in the recordings, are told from those by digest."""
    for _, _, pod in recorded()[:3]:
        answer = admission.admit(posture(engine, admission__requireDigest=True), create(pod))
        assert [text for text in answer.refusals if "digest" in text] == answer.refusals != []


# --- the posture ---------------------------------------------------------------------------------------------------

Change = Callable[[Document], Any]


def at(path: str, value: Any) -> Change:
    """A change: sets what is at a path, or removes it where the value is ``...``."""

    def change(target: Document) -> None:
        *way, last = path.split(".")
        for step in way:
            target = target.setdefault(step, {})
        if value is ...:
            target.pop(last)
        else:
            target[last] = value

    return change


def both(*changes: Change) -> Change:
    """Combines several changes."""

    def change(target: Document) -> None:
        for each in changes:
            each(target)

    return change


IN_EACH = {
    "privilege escalation": (at("securityContext.allowPrivilegeEscalation", True), "allowPrivilegeEscalation"),
    "privilege escalation by default": (
        at("securityContext.allowPrivilegeEscalation", ...),
        "allowPrivilegeEscalation",
    ),
    "privileged": (at("securityContext.privileged", True), "allowPrivilegeEscalation"),
    "capabilities kept": (at("securityContext.capabilities", ...), "capabilities"),
    "not all capabilities dropped": (at("securityContext.capabilities.drop", ["NET_RAW", "CHOWN"]), "capabilities"),
    "a capability added": (at("securityContext.capabilities.add", ["NET_BIND_SERVICE"]), "capabilities"),
    "writable root": (at("securityContext.readOnlyRootFilesystem", False), "readOnlyRootFilesystem"),
    "writable root by default": (at("securityContext.readOnlyRootFilesystem", ...), "readOnlyRootFilesystem"),
    "no seccomp": (at("securityContext.seccompProfile.type", "Unconfined"), "seccompProfile"),
    "root": (at("securityContext.runAsNonRoot", False), "runAsNonRoot"),
    "root by number": (at("securityContext.runAsUser", 0), "runAsUser"),
    "a port of the node": (at("ports", [{"containerPort": 80}, {"containerPort": 22, "hostPort": 22}]), "hostPort"),
}
LIMITS = {
    "no resources": at("resources", ...),
    "no limits": at("resources.limits", ...),
    "no limit for cpu": at("resources.limits.cpu", ...),
    "no limit for memory": at("resources.limits.memory", ...),
}
IMAGES = {
    "a tag": at("image", "registry.example.com/ssh-session:1"),
    "no tag either": at("image", "ssh-session"),
    "a short digest": at("image", "ssh-session@sha256:abc"),
    "a digest in front": at("image", DIGEST + "/x:latest"),
    "a tag that looks like one": at("image", "ssh-session:sha256-" + "a" * 64),
}
IN_POD = {
    "the node's network": (at("hostNetwork", True), "hostNetwork"),
    "the node's processes": (at("hostPID", True), "hostPID"),
    "the node's IPC": (at("hostIPC", True), "hostIPC"),
    "a token": (at("automountServiceAccountToken", True), "automountServiceAccountToken"),
    "a token by default": (at("automountServiceAccountToken", ...), "automountServiceAccountToken"),
    "a directory of the node": (at("volumes", [{"name": "x", "hostPath": {"path": "/"}}]), "hostPath"),
    "one after a harmless one": (
        at("volumes", [{"name": "x", "emptyDir": {}}, {"name": "y", "hostPath": {"path": "/"}}]),
        "hostPath",
    ),
    "a driver of its choice": (at("volumes", [{"name": "x", "csi": {"driver": "d"}}]), "a volume"),
    "an image as volume": (at("volumes", [{"name": "x", "image": {"reference": "r"}}]), "a volume"),
    "a volume nobody knows yet": (at("volumes", [{"name": "x", "future": {}}]), "a volume"),
    "a token as volume": (
        at("volumes", [{"name": "x", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]),
        "ServiceAccount token",
    ),
    "a token among others": (
        at(
            "volumes",
            [
                {
                    "name": "x",
                    "projected": {"sources": [{"secret": {"name": "s"}}, {"serviceAccountToken": {"path": "t"}}]},
                }
            ],
        ),
        "ServiceAccount token",
    ),
    "a certificate of its own": (
        at("volumes", [{"name": "x", "projected": {"sources": [{"podCertificate": {"keyType": "ED25519"}}]}}]),
        "ServiceAccount token",
    ),
}


@posture_engines
def test_the_hardened_pod_passes(engine: str, full: Document) -> None:
    """Each refusal below therefore comes from its one change."""
    assert admission.admit(posture(engine, admission__requireDigest=True), create(full)).refusals == []


@posture_engines
@pytest.mark.parametrize("kind", ["containers", "initContainers", "ephemeralContainers"])
@pytest.mark.parametrize("what", IN_EACH)
def test_one_wrong_thing_in_any_container_is_refused_for_what_it_is(
    engine: str, full: Document, kind: str, what: str
) -> None:
    """Every rule looks at every kind of container, and its message names the fault."""
    change, why = IN_EACH[what]
    change(full["spec"][kind][0])
    [refusal] = admission.admit(posture(engine, admission__requireDigest=True), create(full)).refusals
    assert why in refusal


@posture_engines
@pytest.mark.parametrize("kind", ["containers", "initContainers"])
@pytest.mark.parametrize("what", LIMITS)
def test_limits_are_needed_where_kubernetes_lets_them_be(engine: str, full: Document, kind: str, what: str) -> None:
    """Ephemeral containers cannot have any."""
    LIMITS[what](full["spec"][kind][0])
    [refusal] = admission.admit(posture(engine), create(full)).refusals
    assert "limits" in refusal


@posture_engines
@pytest.mark.parametrize("kind", ["containers", "initContainers", "ephemeralContainers"])
@pytest.mark.parametrize("what", IMAGES)
def test_only_a_whole_digest_is_one(engine: str, full: Document, kind: str, what: str) -> None:
    """A digest is needed only where the value asks for it."""
    IMAGES[what](full["spec"][kind][0])
    [refusal] = admission.admit(posture(engine, admission__requireDigest=True), create(full)).refusals
    assert "digest" in refusal
    assert admission.admit(posture(engine), create(full)).refusals == []


@posture_engines
@pytest.mark.parametrize("what", IN_POD)
def test_one_wrong_thing_in_the_pod_is_refused_for_what_it_is(engine: str, full: Document, what: str) -> None:
    """These rules are about the Pod, not its containers."""
    change, why = IN_POD[what]
    change(full["spec"])
    [refusal] = admission.admit(posture(engine), create(full)).refusals
    assert why in refusal


@posture_engines
@pytest.mark.parametrize("kind", ["containers", "initContainers", "ephemeralContainers"])
def test_a_second_container_is_looked_at_like_the_first(engine: str, full: Document, kind: str) -> None:
    """A sidecar does not hide behind the shell."""
    containers = full["spec"][kind]
    containers.append(deepcopy(containers[0]) | {"name": "second"})
    assert admission.admit(posture(engine), create(full)).refusals == []
    containers[1]["securityContext"]["readOnlyRootFilesystem"] = False
    assert len(admission.admit(posture(engine), create(full)).refusals) == 1


@posture_engines
def test_what_a_container_does_not_say_its_pod_does(engine: str, full: Document) -> None:
    """Kubernetes has two fields for these: either is enough, and the container's wins."""
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for key in ("runAsNonRoot", "seccompProfile"):
            full["spec"][kind][0]["securityContext"].pop(key)
    assert admission.admit(posture(engine), create(full)).refusals == []
    pod = full["spec"].pop("securityContext")
    assert len(admission.admit(posture(engine), create(full)).refusals) == 2
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        full["spec"][kind][0]["securityContext"] |= {"runAsNonRoot": True, "seccompProfile": {"type": "Localhost"}}
    assert admission.admit(posture(engine), create(full)).refusals == []
    full["spec"]["securityContext"] = pod | {"runAsUser": 0}
    assert len(admission.admit(posture(engine), create(full)).refusals) == 1


@posture_engines
def test_an_empty_spec_is_refused_on_every_count_and_without_an_error(engine: str) -> None:
    """A config webhook that knows nothing would make such a Pod, with defaults for everything."""
    pod = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "shell", "image": "x"}]}}
    refusals = admission.admit(posture(engine), create(pod)).refusals
    assert len(refusals) == 7
    assert all(" must " in refusal for refusal in refusals)


@posture_engines
@pytest.mark.parametrize("subresource", ["ephemeralcontainers", "resize"])
def test_subresources_that_change_the_spec_are_judged(engine: str, full: Document, subresource: str) -> None:
    """`kubectl debug` adds a container to an existing session."""
    before = deepcopy(full)
    del before["spec"]["ephemeralContainers"]
    request = Request("UPDATE", full, before, subresource=subresource)
    assert admission.admit(posture(engine), request).refusals == []
    full["spec"]["ephemeralContainers"][0]["securityContext"] = {"privileged": True}
    assert len(admission.admit(posture(engine), request).refusals) == 3


@posture_engines
def test_an_update_that_leaves_the_spec_alone_passes(engine: str, session: Document) -> None:
    """A session from before the policy must be able to lose its finalizer, or it could never go."""
    at("spec.hostNetwork", True)(session)
    before = deepcopy(session)
    before["metadata"]["finalizers"] = ["example.com/hold"]
    assert admission.admit(posture(engine), Request("UPDATE", session, before)).refusals == []
    # Exchanging an image is a change of the spec.
    session["spec"]["containers"][0]["image"] = "other"
    assert len(admission.admit(posture(engine), Request("UPDATE", session, before)).refusals) == 1


@posture_engines
def test_other_namespaces_are_left_alone(engine: str) -> None:
    """The policies apply to the namespace that is named."""
    pod = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "shell", "image": "x"}]}}
    documents = posture(engine, config__sessionNamespace="elsewhere")
    assert admission.admit(documents, create(pod)).refusals == []
    assert admission.admit(documents, create(pod, namespace="elsewhere")).refusals != []


@posture_engines
def test_audit_only_warns(engine: str) -> None:
    """During a rollout the findings are the same, and nothing is refused."""
    pod = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "shell", "image": "x"}]}}
    answer = admission.admit(posture(engine, admission__action="audit"), create(pod))
    assert (answer.refusals, len(answer.warnings)) == ([], 7)


@posture_engines
def test_volumes_can_be_had_by_name(engine: str, full: Document) -> None:
    """The list of volumes is a value, whose schema lacks hostPath."""
    full["spec"]["volumes"] = [{"name": "x", "csi": {"driver": "d"}}]
    assert admission.admit(posture(engine, admission__volumes=["csi"]), create(full)).refusals == []
    full["spec"]["volumes"] = [{"name": "x", "emptyDir": {}}]
    assert len(admission.admit(posture(engine, admission__volumes=["csi"]), create(full)).refusals) == 1


def test_both_engines_say_the_same_word_for_word() -> None:
    """One may therefore replace the other, and tests of one hold for both."""
    for digest in (False, True):
        native = charts.only(posture("vap", admission__requireDigest=digest), "ValidatingAdmissionPolicy")["spec"]
        kyverno = charts.only(posture("kyverno", admission__requireDigest=digest), "ValidatingPolicy")["spec"]
        for part in ("matchConditions", "variables", "validations", "failurePolicy"):
            assert native[part] == kyverno[part]
        assert native["matchConstraints"]["resourceRules"] == kyverno["matchConstraints"]["resourceRules"]
    native = charts.only(stamping("map"), "MutatingAdmissionPolicy")["spec"]
    kyverno = charts.only(stamping("kyverno"), "MutatingPolicy")["spec"]
    for part in ("matchConditions", "mutations", "failurePolicy", "reinvocationPolicy"):
        assert native[part] == kyverno[part]


# --- the stamp -----------------------------------------------------------------------------------------------------


def stamp_of(pod: Document) -> dict[str, str]:
    """The stamp in a Pod's annotations."""
    return {key: value for key, value in pod["metadata"].get("annotations", {}).items() if key in (NAME, UID)}


@stamp_engines
def test_every_recorded_session_gets_the_stamp_that_it_had(engine: str) -> None:
    """Such a policy put the recorded annotations there, on a real API server."""
    for _, kind, pod in recorded():
        if kind == "ADDED":
            before = stamp_of(pod)
            extra = {key: [before[name]] for key, name in zip(EXTRA, (NAME, UID), strict=True)}
            answer = admission.admit(stamping(engine), create(asked_for(pod), extra=extra))
            assert (stamp_of(answer.object), answer.refusals) == (before, [])
            assert answer.object["metadata"]["annotations"] == pod["metadata"]["annotations"]


def test_every_recorded_change_passes_the_guard() -> None:
    """The guard allows every status in the life of a recorded session."""
    changes = 0
    last: dict[str, Document] = {}
    for _, kind, pod in recorded():
        uid = pod["metadata"]["uid"]
        if kind == "MODIFIED" and uid in last:
            for subresource in ("", "status"):
                request = Request("UPDATE", pod, last[uid], subresource=subresource, user="system:node:n")
                assert admission.admit(stamping("map"), request).refusals == []
            changes += 1
        last[uid] = pod
    assert changes > 100


@stamp_engines
def test_a_pod_without_annotations_gets_the_stamp_too(engine: str, session: Document) -> None:
    """A JSON patch cannot add to a missing map."""
    del session["metadata"]["annotations"]
    answer = admission.admit(stamping(engine), create(session))
    assert (answer.object["metadata"]["annotations"], answer.refusals) == (STAMP, [])


@stamp_engines
def test_a_stamp_that_the_request_brings_is_overwritten(engine: str, session: Document) -> None:
    """Nobody who speaks through ContainerSSH, such as its config webhook, can choose the owner."""
    session["metadata"]["annotations"] |= FORGED
    answer = admission.admit(stamping(engine), create(session))
    assert (stamp_of(answer.object), answer.refusals) == (STAMP, [])


@stamp_engines
@pytest.mark.parametrize("which", [(NAME,), (UID,), (NAME, UID)])
@pytest.mark.parametrize("user", ["system:serviceaccount:ssh-sessions:containerssh", "kubernetes-admin", SSH + "x"])
def test_nobody_else_can_make_a_stamped_pod(
    engine: str, session: Document, which: tuple[str, ...], user: str
) -> None:
    """A Pod-bound token of their own does not help, and half a stamp counts as one."""
    session["metadata"]["annotations"] |= {key: FORGED[key] for key in which}
    answer = admission.admit(stamping(engine), create(session, user=user, groups=("system:masters",)))
    assert len(answer.refusals) == 1
    # A Pod without a stamp and a connection is not ContainerSSH's, and the guard ignores it.
    for key in which:
        del session["metadata"]["annotations"][key]
    del session["metadata"]["labels"]["containerssh_connection_id"]
    answer = admission.admit(stamping(engine), create(session, user=user))
    assert (stamp_of(answer.object), answer.refusals) == ({}, [])


@stamp_engines
@pytest.mark.parametrize(
    "extra",
    [
        {},
        {EXTRA[0]: ["containerssh-x"]},
        {EXTRA[1]: ["0"]},
        {EXTRA[0]: [], EXTRA[1]: []},
        {EXTRA[0]: [""], EXTRA[1]: ["0"]},
        {"scopes.example.com": ["x"]},
    ],
)
def test_a_token_without_a_pod_stamps_nothing_and_carries_no_stamp(
    engine: str, session: Document, extra: dict[str, list[str]]
) -> None:
    """Such a token is from a Secret or `kubectl create token`. The session's start time tells its owner."""
    answer = admission.admit(stamping(engine), create(session, extra=extra))
    assert (stamp_of(answer.object), answer.refusals) == ({}, [])
    session["metadata"]["annotations"] |= STAMP
    assert len(admission.admit(stamping(engine), create(session, extra=extra)).refusals) == 1


def test_without_the_mutation_the_guard_refuses_the_session(session: Document) -> None:
    """The guard notices a mutation that was removed, that Kyverno left out, or that is false."""
    documents = [each for each in stamping("kyverno") if each["kind"] != "MutatingPolicy"]
    assert len(admission.admit(documents, create(session)).refusals) == 1
    for wrong in ({NAME: "x"}, {UID: "x"}, {NAME: ...}):
        pod = deepcopy(session)
        pod["metadata"]["annotations"] |= STAMP | wrong
        if ... in wrong.values():
            del pod["metadata"]["annotations"][NAME]
        assert len(admission.admit(documents, create(pod)).refusals) == 1
    session["metadata"]["annotations"] |= STAMP
    assert admission.admit(documents, create(session)).refusals == []


def test_other_namespaces_get_no_stamp(session: Document) -> None:
    """The chart does not know what ContainerSSH does elsewhere."""
    answer = admission.admit(stamping("map"), create(session, namespace="elsewhere"))
    assert (stamp_of(answer.object), answer.refusals) == ({}, [])


# --- the guard -----------------------------------------------------------------------------------------------------


def update(old: Document, change: Change, **more: Any) -> AdmissionAnswer:
    """Somebody changes a session."""
    new = deepcopy(old)
    change(new["metadata"])
    return admission.admit(stamping("map"), Request("UPDATE", new, old, **more))


@pytest.fixture
def stamped(session: Document) -> Document:
    """A stamped session with a ttl of its own."""
    session["metadata"]["annotations"] |= STAMP | {TTL: "2h"}
    return session


def annotate(key: str, value: Any) -> Change:
    """A change of an annotation, whose key may have dots."""

    def change(metadata: Document) -> None:
        annotations = metadata.setdefault("annotations", {})
        if value is ...:
            del annotations[key]
        else:
            annotations[key] = value

    return change


def label(key: str, value: Any) -> Change:
    """A change of a label."""

    def change(metadata: Document) -> None:
        if value is ...:
            del metadata["labels"][key]
        else:
            metadata["labels"][key] = value

    return change


STAMP_ATTACKS = {
    "another name": annotate(NAME, "x"),
    "another uid": annotate(UID, "x"),
    "no name": annotate(NAME, ...),
    "no uid": annotate(UID, ...),
    "no annotations": at("annotations", {TTL: "2h"}),
}
OTHER_ATTACKS = {
    "keep": annotate(KEEP, "true"),
    "more time": annotate(TTL, "24h"),
    "no limit of its own": annotate(TTL, ...),
    "no label": label("containerssh_connection_id", ...),
    "another label": label("containerssh_connection_id", "false"),
    "no labels": at("labels", ...),
}


@pytest.mark.parametrize("subresource", ["", "status"])
@pytest.mark.parametrize("groups", [("system:authenticated",), ("system:masters",)])
@pytest.mark.parametrize("what", STAMP_ATTACKS)
def test_nobody_can_change_a_stamp(stamped: Document, what: str, groups: tuple[str, ...], subresource: str) -> None:
    """This holds for ContainerSSH and administrators, and for the status, which takes annotations as well."""
    for user in (SSH, "somebody", "system:node:n"):
        change = STAMP_ATTACKS[what]
        answer = update(stamped, change, user=user, extra=CREATOR, groups=groups, subresource=subresource)
        assert len(answer.refusals) == 1
        assert "owner-pod-name" in answer.refusals[0]


@pytest.mark.parametrize("subresource", ["", "status"])
@pytest.mark.parametrize("what", OTHER_ATTACKS)
def test_only_those_who_are_exempt_change_keep_ttl_and_label(stamped: Document, what: str, subresource: str) -> None:
    """Nobody who may merely change Pods can make a session immortal or hide it."""
    for user in (SSH, "somebody", "system:node:n"):
        answer = update(stamped, OTHER_ATTACKS[what], user=user, subresource=subresource)
        assert len(answer.refusals) == 1
        assert "containerssh_connection_id" in answer.refusals[0]
    assert update(stamped, OTHER_ATTACKS[what], groups=("system:masters",), subresource=subresource).refusals == []


def test_a_stamp_cannot_be_added_later(session: Document) -> None:
    """A session from before the policy stays without a stamp."""
    assert len(update(session, annotate(NAME, "x")).refusals) == 1
    del session["metadata"]["annotations"]
    assert len(update(session, annotate(UID, "x")).refusals) == 1


def test_a_session_that_is_kept_cannot_lose_that(stamped: Document) -> None:
    """Else anybody who may change Pods could have the collector end a session that an operator kept."""
    stamped["metadata"]["annotations"][KEEP] = "true"
    assert len(update(stamped, annotate(KEEP, ...)).refusals) == 1
    assert len(update(stamped, annotate(KEEP, "false")).refusals) == 1


def test_an_ordinary_pod_cannot_be_made_a_session(stamped: Document) -> None:
    """The collector would delete such a Pod."""
    del stamped["metadata"]["labels"]["containerssh_connection_id"]
    assert len(update(stamped, label("containerssh_connection_id", "true")).refusals) == 1


@pytest.mark.parametrize("selector", ["containerssh_connection_id", "containerssh.io/session=true"])
def test_nobody_else_makes_a_pod_with_a_connection(session: Document, selector: str) -> None:
    """One with the connection of a live session would have that one deleted as superseded."""
    documents = stamping("map", config__sessionSelector=selector)
    session["metadata"]["labels"] |= {"containerssh.io/session": "true"}
    session["metadata"]["annotations"] = {}
    answer = admission.admit(documents, create(session, user="somebody"))
    assert ["only ContainerSSH makes Pods with the label" in each for each in answer.refusals] == [True]
    assert admission.admit(documents, create(session, user="admin", groups=("system:masters",))).refusals == []
    assert admission.admit(documents, create(session)).refusals == []
    changed = deepcopy(session)
    changed["metadata"]["labels"]["containerssh_connection_id"] = "b" * 32
    assert len(admission.admit(documents, Request("UPDATE", changed, session)).refusals) == 1


def test_all_else_may_change(stamped: Document) -> None:
    """The guard ignores other annotations, labels and finalizers."""
    for change in (annotate("example.com/x", "y"), label("x", "y"), at("finalizers", [])):
        assert update(stamped, change).refusals == []


def managed(*times: str | None) -> list[Document]:
    """Entries of managedFields."""
    return [{"manager": "x"} | ({} if time is None else {"time": time}) for time in times]


@pytest.mark.parametrize("subresource", ["", "status"])
@pytest.mark.parametrize(
    "time", ["0000-01-01T00:00:00Z", "0000-12-31T23:59:59Z", "10000-01-01T23:58:59Z", "-001-12-31T00:00:00Z"]
)
def test_nobody_writes_a_time_that_not_everybody_can_read(stamped: Document, time: str, subresource: str) -> None:
    """An API server takes such managedFields from anybody who may change the Pod."""
    good = "2026-11-23T03:00:00Z"
    stamped["metadata"]["managedFields"] = managed(good)
    for user, groups in ((SSH, ()), ("somebody", ("system:masters",))):
        answer = update(
            stamped, at("managedFields", managed(good, time)), user=user, groups=groups, subresource=subresource
        )
        assert ["managedFields" in each for each in answer.refusals] == [True]
    for fine in ([], managed(None), managed(good, "0001-01-01T00:00:00Z"), managed("9999-12-31T23:59:59Z")):
        assert update(stamped, at("managedFields", fine), subresource=subresource).refusals == []
    # Whoever has it already is not to be stopped by that.
    stamped["metadata"]["managedFields"] = managed(time)
    assert update(stamped, at("managedFields", managed(time, good)), subresource=subresource).refusals == []
    another = managed(time, "0000-06-01T00:00:00Z")
    assert len(update(stamped, at("managedFields", another), subresource=subresource).refusals) == 1


def test_a_pod_is_not_made_with_such_a_time(session: Document) -> None:
    """Its maker may send managedFields as well."""
    session["metadata"]["managedFields"] = managed("0000-01-01T00:00:00Z")
    [refusal] = admission.admit(stamping("map"), create(session)).refusals
    assert "managedFields" in refusal


@pytest.mark.parametrize(("resource", "subresource"), [("pods", "binding"), ("bindings", "")])
@pytest.mark.parametrize("key", [NAME, UID, KEEP, TTL])
def test_a_binding_cannot_smuggle_anything_in(resource: str, subresource: str, key: str) -> None:
    """The API server copies a Binding's annotations and labels onto the Pod."""
    binding: Document = {"metadata": {"name": "x"}, "target": {"kind": "Node", "name": "n"}}
    more: Document = {
        "kind": "Binding",
        "resource": resource,
        "subresource": subresource,
        "user": SSH,
        "extra": CREATOR,
    }
    assert admission.admit(stamping("map"), Request("CREATE", binding, **more)).refusals == []
    binding["metadata"]["annotations"] = {"example.com/x": "y"}
    assert admission.admit(stamping("map"), Request("CREATE", binding, **more)).refusals == []
    binding["metadata"]["annotations"] = {key: STAMP.get(key, "true")}
    assert len(admission.admit(stamping("map"), Request("CREATE", binding, **more)).refusals) == 1
    binding["metadata"] = {"name": "x", "labels": {"containerssh_connection_id": "false"}}
    assert len(admission.admit(stamping("map"), Request("CREATE", binding, **more)).refusals) == 1


def test_who_is_exempt_is_a_value(stamped: Document) -> None:
    """Users and groups can be exempt; a quotation mark in a name ends no expression."""
    names = ["o\"r'1", "alice"]
    documents = stamping("map", ownerStamp__guard__exemptUsers=names, ownerStamp__guard__exemptGroups=["ops"])
    kept = deepcopy(stamped)
    kept["metadata"]["annotations"][KEEP] = "true"

    def refusals(**more: Any) -> int:
        return len(admission.admit(documents, Request("UPDATE", kept, stamped, **more)).refusals)

    assert [refusals(user=user) for user in [*names, "bob"]] == [0, 0, 1]
    assert [refusals(groups=(group,)) for group in ("ops", "system:masters")] == [0, 1]
    kept["metadata"]["annotations"] |= FORGED
    assert refusals(user="alice", groups=("ops",)) == 1


def test_a_session_cannot_be_born_immortal_or_invisible(session: Document) -> None:
    """Somebody with ContainerSSH's token, or control of its config webhook, would try this."""
    kept = deepcopy(session)
    kept["metadata"]["annotations"][KEEP] = "true"
    assert len(admission.admit(stamping("map"), create(kept)).refusals) == 1
    allowed = stamping("map", ownerStamp__guard__allowKeepAtCreation=True)
    assert admission.admit(allowed, create(kept)).refusals == []
    assert admission.admit(stamping("map"), create(kept, user="admin", groups=("system:masters",))).refusals == []
    # max-ttl caps a session's own limit.
    session["metadata"]["annotations"][TTL] = "2h"
    assert admission.admit(stamping("map"), create(session)).refusals == []
    for labels in ({}, {"app": "x"}, ...):
        hidden = deepcopy(session)
        at("labels", labels)(hidden["metadata"])
        assert len(admission.admit(stamping("map"), create(hidden)).refusals) == 1
        free = stamping("map", ownerStamp__guard__requireSessionLabel=False)
        assert admission.admit(free, create(hidden)).refusals == []
        # Pods of others are not ContainerSSH's sessions.
        assert admission.admit(stamping("map"), create(hidden, user="somebody")).refusals == []


SELECTORS: list[tuple[str, list[str], list[Document], list[Document]]] = [
    ("a=b", ["a"], [{"a": "b"}], [{}, {"a": "c"}]),
    ("a==b", ["a"], [{"a": "b"}], [{"a": "c"}]),
    ("a.io/x = b , c=d", ["a.io/x", "c"], [{"a.io/x": "b", "c": "d"}], [{"a.io/x": "b"}, {"c": "d"}]),
    ("a!=b,c", ["a", "c"], [{"c": ""}, {"a": "x", "c": "1"}], [{"a": "b", "c": "1"}, {"a": "x"}]),
    ("a in (b, c),!d", ["a", "d"], [{"a": "b"}, {"a": "c"}], [{"a": "d"}, {"a": "b", "d": "1"}, {}]),
    ("a notin (b,c)", ["a"], [{}, {"a": "d"}], [{"a": "b"}, {"a": "c"}]),
]


@pytest.mark.parametrize(("selector", "keys", "sessions", "others"), SELECTORS)
def test_any_selector_is_understood_and_all_its_labels_are_guarded(
    session: Document, selector: str, keys: list[str], sessions: list[Document], others: list[Document]
) -> None:
    """`config.sessionSelector` can be any label selector."""
    documents = stamping("map", config__sessionSelector=selector)
    for labels, refused in [(each, 0) for each in sessions] + [(each, 1) for each in others]:
        session["metadata"]["labels"] = labels
        assert len(admission.admit(documents, create(session)).refusals) == refused, labels
    for key in keys:
        session["metadata"]["labels"] = sessions[-1]
        changed = deepcopy(session)
        changed["metadata"]["labels"][key] = "other"
        assert len(admission.admit(documents, Request("UPDATE", changed, session)).refusals) == 1


@pytest.mark.parametrize("selector", ["a=b=c", "a in ()x", "a in (b", "a>1", '"=b', "a='b'"])
def test_a_selector_that_cannot_be_read_is_refused(selector: str) -> None:
    """Else the guard would watch the wrong label, or a text in an expression would end early."""
    values = charts.merged(
        charts.nested("ownerStamp.engine", "map"), charts.nested("config.sessionSelector", selector)
    )
    assert "config.sessionSelector" in charts.refusal(values)


def test_the_guard_can_only_warn_and_can_be_left_out(stamped: Document) -> None:
    """This is for a rollout, and for clusters with a guard of their own."""
    kept = deepcopy(stamped)
    kept["metadata"]["annotations"][KEEP] = "true"
    request = Request("UPDATE", kept, stamped)
    answer = admission.admit(stamping("map", ownerStamp__guard__action="audit"), request)
    assert (len(answer.refusals), len(answer.warnings)) == (0, 1)
    answer = admission.admit(stamping("map", ownerStamp__guard__enabled=False), request)
    assert (answer.refusals, answer.warnings) == ([], [])


@stamp_engines
def test_the_service_account_that_is_trusted_is_a_value(engine: str, session: Document) -> None:
    """By default it is the account that the chart would make in the workload's namespace."""
    documents = stamping(engine, config__owner="statefulset/bastion/ssh", containerssh__serviceAccount__name="door")
    answer = admission.admit(documents, create(session, user="system:serviceaccount:bastion:door"))
    assert (stamp_of(answer.object), answer.refusals) == (STAMP, [])
    assert stamp_of(admission.admit(documents, create(session)).object) == {}
    documents = stamping(engine, containerssh__namespace="other")
    answer = admission.admit(documents, create(session, user="system:serviceaccount:other:containerssh"))
    assert stamp_of(answer.object) == STAMP
    documents = stamping(engine, config__owner="none", containerssh__namespace="other")
    assert stamp_of(admission.admit(documents, create(session)).object) == {}
    values = {"config": {"owner": "none"}, "ownerStamp": {"engine": engine}}
    assert "containerssh.namespace" in charts.refusal(values)


# --- all of them ---------------------------------------------------------------------------------------------------


def test_every_expression_has_the_type_that_its_place_asks_for() -> None:
    """CEL's own type checker reads each of them, and an undeclared name is an error."""
    documents = policies(admission__engine="vap", admission__requireDigest=True, ownerStamp__engine="map")
    count = 0
    for policy in charts.of_kind(documents, *admission.VALIDATING, *admission.MUTATING):
        spec = policy["spec"]
        for part in (*spec.get("validations", []), *spec.get("matchConditions", [])):
            assert admission.type_of(part["expression"]) == "BOOL"
        for mutation in spec.get("mutations", []):
            assert admission.type_of(mutation["jsonPatch"]["expression"]) == "LIST<JSONPatch>"
        for expression in admission.expressions(policy):
            assert admission.type_of(expression)
            count += 1
        for each in spec.get("matchConditions", []):
            # Kubernetes evaluates match conditions before there are variables.
            assert "variables." not in each["expression"]
        for each in spec.get("validations", []):
            assert "\n" not in each["message"]
    assert count > 30


def test_the_evaluator_takes_nothing_for_granted(full: Document) -> None:
    """A policy without its binding does nothing, one that fails refuses, and an undeclared name raises."""
    documents = posture("vap")
    at("hostNetwork", True)(full["spec"])
    assert admission.admit(charts.of_kind(documents, "ValidatingAdmissionPolicy"), create(full)).refusals == []
    broken = deepcopy(documents)
    policy = charts.only(broken, "ValidatingAdmissionPolicy")
    policy["spec"]["validations"] = [{"expression": "object.spec.nothing == 1", "message": "never"}]
    [refusal] = admission.admit(broken, create(full)).refusals
    assert "nothing" in refusal
    with pytest.raises(RuntimeError, match="undeclared"):
        admission.type_of("objekt.spec")


def test_what_a_policy_needs_of_kubernetes_is_said() -> None:
    """Else the API server would only say that it knows no such kind."""
    v1 = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
    beta = "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy"
    values = {"ownerStamp": {"engine": "map"}}

    def version(kubernetes: str, *apis: str) -> str:
        documents = charts.render(values, version=kubernetes, apis=apis)
        found = charts.of_kind(documents, "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")
        [version] = {each["apiVersion"] for each in found}
        assert len(found) == 2
        for each in found:
            charts.validate(each, kubernetes)
        return str(version).rpartition("/")[2]

    assert version("1.36", v1, beta) == version("1.36", v1) == version("1.36") == version("1.37") == "v1"
    # A cluster that only has the beta keeps it, whatever its version.
    assert version("1.35", beta) == version("1.34") == version("1.36", beta) == "v1beta1"
    for needs, old, what in (
        ("1.34", "1.33", values),
        ("1.30", "1.29", {"admission": {"engine": "vap"}}),
        ("1.30", "1.29", {"ownerStamp": {"engine": "kyverno"}}),
    ):
        with pytest.raises(charts.Refused, match=rf"needs Kubernetes {needs} or newer"):
            charts.render(what, version=old)
    charts.render({"admission": {"engine": "kyverno"}}, version="1.28")


def test_kyverno_is_spoken_to_in_the_newest_version_that_it_has() -> None:
    """Kyverno serves v1 from 1.17, and v1beta1 from 1.16."""
    values = {"admission": {"engine": "kyverno"}, "ownerStamp": {"engine": "kyverno"}}
    for kind in ("ValidatingPolicy", "MutatingPolicy"):
        assert charts.only(charts.render(values), kind)["apiVersion"] == "policies.kyverno.io/v1beta1"
        api = f"policies.kyverno.io/v1/{kind}"
        assert charts.only(charts.render(values, apis=[api]), kind)["apiVersion"] == "policies.kyverno.io/v1"


def test_kyverno_does_not_multiply_or_scan() -> None:
    """By default it would write the rules for Deployments, too, and run them without a request."""
    values = {"admission": {"engine": "kyverno"}, "ownerStamp": {"engine": "kyverno"}}
    for policy in charts.of_kind(charts.render(values), "ValidatingPolicy", "MutatingPolicy"):
        assert policy["spec"]["autogen"] == {"podControllers": {"controllers": []}}
        assert policy["spec"]["evaluation"] == {"background": {"enabled": False}}

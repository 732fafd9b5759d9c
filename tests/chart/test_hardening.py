"""The hardened session namespace: the objects of each value, the sessions' network, the example for ContainerSSH."""

import re
from collections.abc import Mapping
from copy import deepcopy
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example as for_one
from hypothesis import given, settings
from hypothesis import strategies as st

from ssh_session_gc.sandbox import PolicyRule
from tests.chart import admission, charts
from tests.chart.charts import Document

ROOT = Path(__file__).parents[2]
EXAMPLE = charts.CHART / "examples" / "containerssh-config.yaml"
GUIDE = ROOT / "docs" / "hardening.md"
SSH = "system:serviceaccount:containerssh:containerssh"

PARTS: dict[str, tuple[Document, set[tuple[str, str]]]] = {
    "namespace": ({"sessions": {"namespace": {"create": True}}}, {("Namespace", "ssh-sessions")}),
    "quota": ({"sessions": {"quota": {"enabled": True}}}, {("ResourceQuota", "ssh-session-gc-sessions")}),
    "limit range": ({"sessions": {"limitRange": {"enabled": True}}}, {("LimitRange", "ssh-session-gc-sessions")}),
    "network policy": (
        {"sessions": {"networkPolicy": {"enabled": True}}},
        {("NetworkPolicy", "ssh-session-gc-sessions")},
    ),
    "service account": (
        {"containerssh": {"serviceAccount": {"create": True}}},
        {("ServiceAccount", "containerssh")},
    ),
    "role": (
        {"containerssh": {"rbac": {"create": True}}},
        {("Role", "ssh-session-gc-containerssh"), ("RoleBinding", "ssh-session-gc-containerssh")},
    ),
    "posture by vap": (
        {"admission": {"engine": "vap"}},
        {
            ("ValidatingAdmissionPolicy", "ssh-session-gc-posture"),
            ("ValidatingAdmissionPolicyBinding", "ssh-session-gc-posture"),
        },
    ),
    "posture by kyverno": ({"admission": {"engine": "kyverno"}}, {("ValidatingPolicy", "ssh-session-gc-posture")}),
    "stamp by map": (
        {"ownerStamp": {"engine": "map", "guard": {"enabled": False}}},
        {
            ("MutatingAdmissionPolicy", "ssh-session-gc-owner-stamp"),
            ("MutatingAdmissionPolicyBinding", "ssh-session-gc-owner-stamp"),
        },
    ),
    "stamp by kyverno": (
        {"ownerStamp": {"engine": "kyverno"}},
        {
            ("MutatingPolicy", "ssh-session-gc-owner-stamp"),
            ("ValidatingAdmissionPolicy", "ssh-session-gc-owner-guard"),
            ("ValidatingAdmissionPolicyBinding", "ssh-session-gc-owner-guard"),
        },
    ),
    "stamp and guard": (
        {"ownerStamp": {"engine": "map"}},
        {
            ("MutatingAdmissionPolicy", "ssh-session-gc-owner-stamp"),
            ("MutatingAdmissionPolicyBinding", "ssh-session-gc-owner-stamp"),
            ("ValidatingAdmissionPolicy", "ssh-session-gc-owner-guard"),
            ("ValidatingAdmissionPolicyBinding", "ssh-session-gc-owner-guard"),
        },
    ),
}
NEEDS = {"posture by vap": "1.30", "stamp by map": "1.34", "stamp by kyverno": "1.30", "stamp and guard": "1.34"}
"""The version of Kubernetes from which a part works, where it needs one."""
EVERYTHING = charts.merged(
    *(PARTS[part][0] for part in ("namespace", "quota", "limit range", "network policy", "service account", "role")),
    {"admission": {"engine": "vap", "requireDigest": True}, "ownerStamp": {"engine": "map"}},
)
"""Every part, in its native form."""


def names(documents: list[Document]) -> set[tuple[str, str]]:
    """The kinds and names of these objects."""
    return {(document["kind"], document["metadata"]["name"]) for document in documents}


def amount(quantity: str) -> float:
    """A quantity as Kubernetes writes it, as a number."""
    units = {"m": 1e-3, "": 1.0, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", quantity).groups()  # type: ignore[union-attr]
    return float(number) * units[unit]


def part_of(which: str, **values: Any) -> list[Document]:
    """The objects of one part, with more values (dots written as two underscores)."""
    more = [charts.nested(path.replace("__", "."), value) for path, value in values.items()]
    return charts.render(charts.merged(PARTS[which][0], *more))


# --- on and off ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", PARTS)
def test_each_part_is_there_if_and_only_if_its_value_says_so(part: str) -> None:
    """No part is there by default, and each makes its own objects only."""
    values, makes = PARTS[part]
    before = names(charts.render())
    assert not makes & before
    assert names(charts.render(values)) - before == makes


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("version", [charts.OLDEST, "1.30", "1.34", "1.36", charts.NEWEST])
def test_kubernetes_takes_every_object(part: str, version: str) -> None:
    """The validation is strict: an unknown key is an error."""
    values, _ = PARTS[part]
    if version < NEEDS.get(part, ""):
        with pytest.raises(charts.Refused, match="needs Kubernetes"):
            charts.render(values, version=version)
        return
    for document in charts.render(values, version=version):
        if not document["apiVersion"].startswith("policies.kyverno.io/"):
            charts.validate(document, version)


def test_all_of_it_is_where_it_belongs_and_labelled() -> None:
    """All is in the session namespace but ContainerSSH's account and what has no namespace."""
    documents = charts.render(charts.merged(EVERYTHING, charts.nested("config.sessionNamespace", "elsewhere")))
    added = [each for each in documents if (each["kind"], each["metadata"]["name"]) not in names(charts.render())]
    assert len(added) == 13
    for document in added:
        metadata = document["metadata"]
        assert metadata["labels"]["app.kubernetes.io/part-of"] == "ssh-session-gc"
        if document["kind"] == "ServiceAccount":
            assert metadata["namespace"] == "containerssh"
        elif document["kind"] == "Namespace":
            assert metadata["name"] == "elsewhere"
        elif "Policy" in document["kind"] and document["kind"] != "NetworkPolicy":
            assert "namespace" not in metadata
        else:
            assert metadata["namespace"] == "elsewhere"
    text = yaml.safe_dump(added)
    assert "ssh-sessions" not in text


def test_annotations_for_all_are_on_all() -> None:
    """`commonAnnotations` and `commonLabels` apply here as well."""
    values = {"commonAnnotations": {"example.com/a": "x"}, "commonLabels": {"example.com/l": "y"}}
    for document in charts.render(charts.merged(EVERYTHING, values)):
        assert document["metadata"]["annotations"]["example.com/a"] == "x"
        assert document["metadata"]["labels"]["example.com/l"] == "y"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sessions.namespace.podSecurity.enforce", "strict"),
        ("sessions.namespace.podSecurity.version", "1.28"),
        ("sessions.quota.hard", {"pods": "many"}),
        ("sessions.limitRange.limits", []),
        ("sessions.networkPolicy.egress", [{"ports": [{"port": 443}]}]),
        ("sessions.networkPolicy.egress", [{"to": []}]),
        ("sessions.networkPolicy.egress", [{"to": [{}]}]),
        ("sessions.networkPolicy.egress", [{"to": [{"ipBlock": {"cidr": "10.0.0.1"}}]}]),
        ("sessions.networkPolicy.egress", [{"to": [{"ipBlock": {"cidr": "10.0.0.256/8"}}]}]),
        ("sessions.networkPolicy.egress", [{"to": [{"ipBlock": {"cidr": "::/129"}}]}]),
        ("sessions.networkPolicy.egress", [{"to": [{"ipBlock": {"cidr": "::ffff:169.254.169.254/128"}}]}]),
        ("sessions.networkPolicy.egress", [{"to": [{"ipBlock": {"cidr": "8.8.8.8/32"}, "podSelector": {}}]}]),
        ("sessions.networkPolicy.apiServer", ["kubernetes.default"]),
        ("sessions.networkPolicy.nodes", ["10.0.0.0"]),
        ("sessions.networkPolicy.destinations", []),
        ("containerssh.serviceAccount.name", "Not A Name"),
        ("containerssh.rbac.created", True),
        ("admission.engine", "gatekeeper"),
        ("admission.action", "warn"),
        ("admission.volumes", []),
        ("admission.volumes", ["emptyDir", "hostPath"]),
        ("ownerStamp.engine", "vap"),
        ("ownerStamp.guard.exemptUsers", "admin"),
        ("ownerStamp.guard.exemptGroups", [""]),
    ],
)
def test_values_that_mean_nothing_are_refused(path: str, value: object) -> None:
    """The installation fails, and the message names the value."""
    refusal = charts.refusal(charts.nested(path, value))
    assert all(part in refusal for part in path.split(".")[:2]), refusal


# --- the namespace, its quota and its limits -----------------------------------------------------------------------


def test_the_namespace_is_restricted_and_outlives_the_release() -> None:
    """`helm uninstall` must not end every session."""
    metadata = charts.only(part_of("namespace"), "Namespace")["metadata"]
    assert metadata["annotations"]["helm.sh/resource-policy"] == "keep"
    for mode in ("enforce", "audit", "warn"):
        assert metadata["labels"][f"pod-security.kubernetes.io/{mode}"] == "restricted"
        assert metadata["labels"][f"pod-security.kubernetes.io/{mode}-version"] == "latest"


def test_the_namespace_has_what_its_values_say() -> None:
    """A user's own label cannot undo a level."""
    documents = part_of(
        "namespace",
        sessions__namespace__labels={"x": "y", "pod-security.kubernetes.io/enforce": "privileged"},
        sessions__namespace__annotations={"a": "b", "helm.sh/resource-policy": "delete"},
        sessions__namespace__podSecurity={"enforce": "baseline", "warn": "", "version": "v1.36"},
    )
    metadata = charts.only(documents, "Namespace")["metadata"]
    assert metadata["labels"]["x"] == "y"
    assert metadata["annotations"]["a"] == "b"
    assert metadata["annotations"]["helm.sh/resource-policy"] == "keep"
    levels = {key.split("/")[1]: value for key, value in metadata["labels"].items() if "pod-security" in key}
    assert levels == {
        "enforce": "baseline",
        "enforce-version": "v1.36",
        "audit": "restricted",
        "audit-version": "v1.36",
    }


def test_the_quota_holds_as_many_example_sessions_as_it_has_pods() -> None:
    """Numbers that do not fit together would end sessions at a limit that nobody expects."""
    hard = charts.only(part_of("quota"), "ResourceQuota")["spec"]["hard"]
    assert all(isinstance(value, str) for value in hard.values())
    [container] = session_pod(example())["spec"]["containers"]
    for kind in ("requests", "limits"):
        for what, much in container["resources"][kind].items():
            assert amount(much) * int(hard["pods"]) <= amount(hard[f"{kind}.{what}"])


def test_the_limit_range_lets_the_example_in() -> None:
    """Its defaults are also within its own limits."""
    [limit] = charts.only(part_of("limit range"), "LimitRange")["spec"]["limits"]
    [container] = session_pod(example())["spec"]["containers"]
    for much in (container["resources"]["limits"], limit["default"], limit["defaultRequest"]):
        assert set(much) == {"cpu", "memory"}
        for what in much:
            assert amount(much[what]) <= amount(limit["max"][what])


def test_a_quota_is_what_its_values_say() -> None:
    """Numbers become strings, as Kubernetes writes them."""
    documents = part_of("quota", sessions__quota__hard={"pods": 7, "count/secrets": 0, "limits.cpu": "1500m"})
    hard = charts.only(documents, "ResourceQuota")["spec"]["hard"]
    assert hard | {"pods": "7", "count/secrets": "0", "limits.cpu": "1500m"} == hard


# --- the network ---------------------------------------------------------------------------------------------------

API_SERVER = ["10.96.0.1/32", "203.0.113.10/32", "2001:db8:0:1::10/128"]
NODES = ["10.240.0.0/16", "198.51.100.0/24", "2001:db8:0:2::/64"]
METADATA = ["169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", "fd00:ec2::254/128", "fd20:ce::254/128"]
METADATA += ["168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32"]
# These are 169.254.169.254 behind NAT64.
NAT64 = ["64:ff9b::a9fe:a9fe/128", "64:ff9b:1::a9fe:a9fe/128"]
PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"]

Network = IPv4Network | IPv6Network


def egress(*rules: Document, **more: Any) -> list[Document]:
    """The egress rules of the sessions, without the one for DNS."""
    found = part_of(
        "network policy",
        sessions__networkPolicy__egress=list(rules),
        sessions__networkPolicy__apiServer=API_SERVER,
        sessions__networkPolicy__nodes=NODES,
        **more,
    )
    return list(charts.only(found, "NetworkPolicy")["spec"]["egress"][1:])


def blocks(*cidrs: str) -> list[Document]:
    """The ipBlocks that the chart makes of these destinations."""
    [rule] = egress({"to": [{"ipBlock": {"cidr": cidr}} for cidr in cidrs]})
    return [peer["ipBlock"] for peer in rule["to"]]


def inside(narrow: Network, wide: Network) -> bool:
    """Whether the first network lies within the second."""
    return narrow.version == wide.version and narrow.subnet_of(wide)  # type: ignore[arg-type]


def reaches(block: Mapping[str, Any], target: str) -> bool:
    """Whether any address of the target is in a block and in none of its exceptions."""
    goal = ip_network(target)
    if not goal.overlaps(ip_network(block["cidr"])):
        return False
    return not any(inside(goal, ip_network(each)) for each in block.get("except", []))


def test_sessions_reach_dns_and_nothing_else() -> None:
    """This holds for every Pod of the namespace as long as no destination is named."""
    policy = charts.only(part_of("network policy"), "NetworkPolicy")["spec"]
    assert policy["podSelector"] == {}
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == []
    [dns] = policy["egress"]
    assert dns["ports"] == [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
    [peer] = dns["to"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "kube-system"}
    assert peer["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"}


def test_without_dns_and_destinations_nothing_goes_out() -> None:
    """The list is empty, not missing: both mean the same, but only an empty one is visible."""
    documents = part_of("network policy", sessions__networkPolicy__dns__to=[])
    assert charts.only(documents, "NetworkPolicy")["spec"]["egress"] == []


def test_destinations_by_selector_come_as_they_are() -> None:
    """Their ports come with them."""
    rule = {
        "to": [
            {
                "namespaceSelector": {"matchLabels": {"a": "b"}},
                "podSelector": {"matchExpressions": [{"key": "c", "operator": "Exists"}]},
            },
            {"podSelector": {"matchLabels": {"d": "e"}}},
        ],
        "ports": [{"port": 5432, "protocol": "TCP"}, {"port": 8000, "endPort": 8100}, {"port": "https"}],
    }
    assert egress(rule, {"to": [{"namespaceSelector": {}}]}) == [rule, {"to": [{"namespaceSelector": {}}]}]


@pytest.mark.parametrize("everywhere", [("0.0.0.0/0", "::/0"), ("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1")])
def test_everywhere_is_not_the_api_server_nor_a_node_nor_metadata(everywhere: tuple[str, ...]) -> None:
    """This holds for one block or two halves, in both families."""
    found = blocks(*everywhere)
    for target in API_SERVER + NODES + METADATA + NAT64 + PRIVATE:
        assert not any(reaches(block, target) for block in found), target
    for target in ("8.8.8.8/32", "2606:4700::1111/128"):
        assert any(reaches(block, target) for block in found), target


def test_a_private_range_can_be_named_and_still_has_its_holes() -> None:
    """Wider blocks leave private ranges out."""
    [block] = blocks("10.0.0.0/8")
    assert reaches(block, "10.1.2.3/32")
    assert not reaches(block, "10.96.0.1/32")
    assert not reaches(block, "10.240.7.7/32")
    [block] = blocks("10.1.0.0/16")
    assert block == {"cidr": "10.1.0.0/16"}
    [rule] = egress({"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}, sessions__networkPolicy__private=[])
    assert reaches(rule["to"][0]["ipBlock"], "10.1.2.3/32")


def test_exceptions_of_ones_own_stay() -> None:
    """They stand beside the chart's own, each once."""
    [rule] = egress({"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.5.0.0/16", "10.96.0.1/32"]}}]})
    assert rule["to"][0]["ipBlock"]["except"] == ["10.5.0.0/16", "10.96.0.1/32", "10.240.0.0/16"]


@pytest.mark.parametrize("target", [*API_SERVER, *NODES, *METADATA, "10.240.1.0/24", "fe80::1/128", "64:ff9b::/96"])
def test_what_must_stay_out_of_reach_cannot_be_a_destination(target: str) -> None:
    """It is refused by itself and as part of a range."""
    with pytest.raises(charts.Refused, match="which sessions must not reach"):
        blocks("8.8.8.8/32", target)


@pytest.mark.parametrize("missing", ["apiServer", "nodes"])
def test_an_address_block_needs_to_know_where_api_server_and_nodes_are(missing: str) -> None:
    """A chart cannot find out, and an error is better than a block that leads there."""
    policy = {"enabled": True, "egress": [{"to": [{"ipBlock": {"cidr": "8.8.8.8/32"}}]}]}
    policy |= {"apiServer": API_SERVER, "nodes": NODES, missing: []}
    refusal = charts.refusal({"sessions": {"networkPolicy": policy}})
    assert "sessions.networkPolicy.apiServer and .nodes" in refusal
    assert "8.8.8.8/32" in refusal


def test_a_dns_cache_on_the_node_can_be_reached_but_not_the_metadata_service() -> None:
    """Both are link-local, and on Google's the latter answers DNS as well."""
    there = part_of("network policy", sessions__networkPolicy__dns__to=[{"ipBlock": {"cidr": "169.254.20.10/32"}}])
    [rule] = charts.only(there, "NetworkPolicy")["spec"]["egress"]
    assert rule["to"] == [{"ipBlock": {"cidr": "169.254.20.10/32"}}]
    there = part_of("network policy", sessions__networkPolicy__dns__to=[{"ipBlock": {"cidr": "169.254.0.0/16"}}])
    [rule] = charts.only(there, "NetworkPolicy")["spec"]["egress"]
    assert rule["to"] == [{"ipBlock": {"cidr": "169.254.0.0/16", "except": ["169.254.169.254/32"]}}]
    with pytest.raises(charts.Refused, match=r"dns\.to"):
        part_of("network policy", sessions__networkPolicy__dns__to=[{"ipBlock": {"cidr": "169.254.169.254/32"}}])


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Generates networks near those that matter, and others."""
    near = draw(st.sampled_from([*API_SERVER, *NODES, *METADATA, *PRIVATE, "0.0.0.0/0", "::/0", "fe80::/10"]))
    start = ip_network(near)
    size = start.max_prefixlen
    address = int(start.network_address) ^ (1 << draw(st.integers(0, size - 1)) if draw(st.booleans()) else 0)
    kind: type[Network] = IPv4Network if start.version == 4 else IPv6Network
    return kind((address, draw(st.integers(0, size))), strict=False)


FORBIDDEN = [*API_SERVER, *NODES, "169.254.0.0/16", *METADATA[4:], "fd00:ec2::/32", "fe80::/10"]
FORBIDDEN += ["64:ff9b::/96", "64:ff9b:1::/48"]


@settings(max_examples=10)
@for_one([ip_network("0.0.0.0/0"), ip_network("::/0"), ip_network("10.0.0.0/8"), ip_network("fd00:ec2::1/128")])
@given(st.lists(networks(), min_size=5, max_size=40, unique=True))
def test_the_holes_are_those_that_python_would_cut(given_networks: list[Network]) -> None:
    """The template computes with addresses as strings of bits; this test computes with numbers."""
    cut = [ip_network(each) for each in FORBIDDEN]
    private = [ip_network(each) for each in PRIVATE]
    allowed = [each for each in given_networks if not any(inside(each, hole) for hole in cut)]
    for network, block in zip(allowed, blocks(*map(str, allowed)) if allowed else [], strict=True):
        holes = [hole for hole in (*cut, *private) if inside(hole, network) and hole != network]
        assert {ip_network(each) for each in block.get("except", [])} == set(holes)
    for network in [each for each in given_networks if each not in allowed][:1]:
        with pytest.raises(charts.Refused, match="which sessions must not reach"):
            blocks(str(network))


def test_addresses_can_be_written_in_any_way() -> None:
    """Host bits, capitals and written-out zeros are all accepted."""
    for cidr in ("2001:DB8:0:2:0:0:0:0/63", "2001:db8:0000:0002::1/63", "2001:db8:0:3:ffff::/63"):
        [block] = blocks(cidr)
        assert block["except"] == ["2001:db8:0:2::/64"]
    digits = "0123456789abcdef"
    private = [f"{digit}800::/5" for digit in digits]
    sixteenths = [{"ipBlock": {"cidr": f"{digit}000::/4"}} for digit in digits]
    [rule] = egress({"to": sixteenths}, sessions__networkPolicy__private=private)
    for hole, peer in zip(private, rule["to"], strict=True):
        assert [each for each in peer["ipBlock"]["except"] if each in private] == [hole]
    [block] = blocks("198.51.100.77/23")
    assert block["except"] == ["198.51.100.0/24"]
    for nonsense in ("1:2:3/64", "1::2::3/64", "1:2:3:4:5:6:7:8:9/64"):
        with pytest.raises(charts.Refused):
            blocks(nonsense)


def test_a_release_in_the_session_namespace_is_not_locked_in() -> None:
    """Else the rules for sessions would apply to its own Pod."""
    for part in ("posture by vap", "posture by kyverno", "network policy"):
        with pytest.raises(charts.Refused, match="another namespace"):
            charts.render(PARTS[part][0], namespace="ssh-sessions")
    for more in (
        {"networkPolicy": {"enabled": True}},
        charts.nested("sessions.networkPolicy.podSelector.matchLabels.x", "y"),
    ):
        assert charts.render(charts.merged(PARTS["network policy"][0], more), namespace="ssh-sessions")


# --- ContainerSSH's permissions ------------------------------------------------------------------------------------


def test_containerssh_may_do_what_it_calls_and_nothing_outside() -> None:
    """It has no cluster-wide role, no secrets, no change of a Pod, and nothing in its own namespace."""
    documents = part_of("role", config__sessionNamespace="elsewhere", containerssh__serviceAccount__create=True)
    assert not charts.of_kind(documents, "ClusterRole", "ClusterRoleBinding")
    assert charts.granted(documents)[SSH] == [
        PolicyRule(("create", "get", "list", "watch", "delete"), ("pods",), ("",), (), "elsewhere"),
        PolicyRule(("create",), ("pods/exec", "pods/attach"), ("",), (), "elsewhere"),
    ]


def test_containerssh_is_where_its_workload_is() -> None:
    """The namespace can be given instead."""
    both = {"containerssh": {"serviceAccount": {"create": True, "name": "door"}, "rbac": {"create": True}}}

    def user(*values: Document) -> str:
        documents = charts.render(charts.merged(both, *values))
        [account] = [
            each for each in charts.of_kind(documents, "ServiceAccount") if each["metadata"]["name"] == "door"
        ]
        name = f"system:serviceaccount:{account['metadata']['namespace']}:door"
        assert name in charts.granted(documents)
        return name.split(":")[2]

    assert user() == "containerssh"
    assert user(charts.nested("config.owner", "statefulset/bastion/ssh")) == "bastion"
    selected = {"config": {"ownerSelector": "app=ssh", "ownerNamespace": "selected"}}
    assert user(selected) == "selected"
    assert user(selected, charts.nested("containerssh.namespace", "named")) == "named"
    nowhere = charts.nested("config.owner", "none")
    assert "containerssh.namespace" in charts.refusal(charts.merged(both, nowhere))
    assert charts.render(nowhere)


# --- the example for ContainerSSH ----------------------------------------------------------------------------------


def example() -> Document:
    """The example, as ContainerSSH reads it."""
    return dict(yaml.safe_load(EXAMPLE.read_text()))


def session_pod(config: Document, *, mode: str | None = None, env: Mapping[str, str] | None = None) -> Document:
    """The Pod that ContainerSSH asks for with this configuration (its kubernetesClientImpl.go, networkHandler.go)."""
    pod = deepcopy(config["kubernetes"]["pod"])
    metadata = {"namespace": "default", "generateName": "containerssh-"} | pod.get("metadata", {})
    spec = pod["spec"]
    console = spec["containers"][pod.get("consoleContainerNumber", 0)]
    agent = "/usr/bin/containerssh-agent"
    if (mode or pod.get("mode", "connection")) == "session":
        console |= {"stdin": True, "stdinOnce": True, "tty": True}
        console["command"] = [agent, "console", "--wait", "--pid", "--", "/bin/bash"]
        spec.setdefault("restartPolicy", "Never")
    else:
        idle = [agent, "wait-signal", "--signal", "INT", "--signal", "TERM"]
        console["command"] = pod.get("idleCommand", idle)
    metadata["labels"] = metadata.get("labels", {}) | {
        "containerssh_connection_id": "b07c884558b687018345446beed9459a",
        "containerssh_username": "alice",
    }
    metadata["annotations"] = metadata.get("annotations", {}) | {"containerssh_ip": "10.1.2.3"}
    for container in (*spec["containers"], *spec.get("initContainers", [])):
        for name, value in (env or {}).items():
            container.setdefault("env", []).append({"name": name, "value": value})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def unknown_keys(given_keys: Any, known: Any, path: str = "") -> list[str]:
    """Keys that ContainerSSH would refuse. Those of Kubernetes' own types are not looked into."""
    if not isinstance(given_keys, dict) or isinstance(known, str):
        return []
    if known is None:
        return [f"{path} has keys"]
    found = []
    for key, value in given_keys.items():
        where = f"{path}.{key}".lstrip(".")
        found += unknown_keys(value, known[key], where) if key in known else [where]
    return found


def test_the_example_has_only_keys_that_containerssh_knows() -> None:
    """An unknown key keeps it from starting. The list is from its source."""
    known = yaml.safe_load((Path(__file__).parent / "containerssh-keys.yaml").read_text())["root"]
    assert unknown_keys(example(), known) == []
    # The list lacks the article's keys, which are not real.
    wrong = {"kubernetes": {"pod": {"namespace": "x", "podSpec": {}}, "connection": {"cacert": "x", "caFile": "x"}}}
    assert unknown_keys(wrong, known) == [
        "kubernetes.pod.namespace",
        "kubernetes.pod.podSpec",
        "kubernetes.connection.caFile",
    ]
    assert unknown_keys({"auth": {"password": {"webhook": {"url": {"x": 1}}}}}, known) == [
        "auth.password.webhook.url has keys"
    ]


@pytest.mark.parametrize("version", ["1.28", "1.35", "1.37"])
@pytest.mark.parametrize("mode", ["connection", "session"])
def test_the_pod_of_the_example_is_one(version: str, mode: str) -> None:
    """ContainerSSH's parser is as strict about Kubernetes' own types, and a Pod needs a name or a prefix of one."""
    pod = session_pod(example(), mode=mode, env={"LANG": "C", "TERM": "xterm"})
    charts.validate(pod, version)
    assert pod["metadata"]["generateName"] == "containerssh-"


def test_the_pod_of_the_example_is_a_session_of_this_chart() -> None:
    """Its namespace, label and times fit the defaults of values.yaml."""
    config, pod = charts.defaults()["config"], session_pod(example())
    assert pod["metadata"]["namespace"] == config["sessionNamespace"]
    assert pod["metadata"]["labels"].keys() >= {config["sessionSelector"]}
    timeouts = example()["kubernetes"]["timeouts"]
    assert (timeouts["podStart"], config["startTimeout"]) == ("60s", "2m")
    assert (timeouts["podStop"], config["abandonedGrace"]) == ("60s", "90s")
    assert (example()["log"], config["ownerLogs"]) == ({"level": "debug", "format": "ljson"}, True)
    assert example()["metrics"]["enable"] is True
    assert example()["ssh"]["clientAliveInterval"] == "30s"
    assert example()["backend"] == "kubernetes"
    assert re.search(r"@sha256:[0-9a-f]{64}$", pod["spec"]["containers"][0]["image"])


@pytest.mark.parametrize("mode", ["connection", "session"])
@pytest.mark.parametrize("posture", ["vap", "kyverno"])
@pytest.mark.parametrize("stamp", ["map", "kyverno"])
def test_the_pod_of_the_example_passes_every_policy(mode: str, posture: str, stamp: str) -> None:
    """It passes the chart's policies in each engine, and Pod Security `restricted`."""
    values = {"admission": {"engine": posture, "requireDigest": True}, "ownerStamp": {"engine": stamp}}
    documents = charts.render(charts.merged(EVERYTHING, values))
    pod = session_pod(example(), mode=mode, env={"LANG": "C"})
    assert charts.violations(pod["spec"]) == []
    names_of_pod = {
        "authentication.kubernetes.io/pod-name": ["containerssh-1"],
        "authentication.kubernetes.io/pod-uid": ["93a56390-7496-405f-a780-3e0b4bd6228b"],
    }
    answer = admission.admit(documents, admission.Request("CREATE", pod, user=SSH, extra=names_of_pod))
    assert (answer.refusals, answer.warnings) == ([], [])
    assert answer.object["metadata"]["annotations"] == {
        "containerssh_ip": "10.1.2.3",
        "ssh-session-gc/owner-pod-name": "containerssh-1",
        "ssh-session-gc/owner-pod-uid": "93a56390-7496-405f-a780-3e0b4bd6228b",
    }
    # The same Pod without one of its fields is refused, so the policies do look at it.
    del pod["spec"]["automountServiceAccountToken"]
    assert (
        len(admission.admit(documents, admission.Request("CREATE", pod, user=SSH, extra=names_of_pod)).refusals) == 1
    )


# --- the guide -----------------------------------------------------------------------------------------------------


def test_every_value_that_the_guide_speaks_of_exists() -> None:
    """The guide also speaks of every part that has values."""
    text = GUIDE.read_text()
    spoken = set(re.findall(r"\b(?:sessions|containerssh|admission|ownerStamp)(?:\.[a-z][A-Za-z]*)+\b", text))
    spoken = {each for each in spoken if not each.startswith("containerssh.io")}
    for path in spoken:
        at: Any = charts.defaults()
        for step in path.split("."):
            assert step in at, path
            at = at[step]
    for part in ("namespace", "quota", "limitRange", "networkPolicy"):
        assert any(path.startswith(f"sessions.{part}") for path in spoken), part
    assert {"containerssh.rbac.create", "admission.engine", "ownerStamp.engine"} <= spoken
    for snippet in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        assert charts.render(yaml.safe_load(snippet))

"""The collector's part of the chart: its objects, its refusals, and settings that the program understands."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from ssh_session_gc import __version__
from ssh_session_gc.cli.options import read
from ssh_session_gc.cli.program import cli
from ssh_session_gc.cli.run import RunOptions
from ssh_session_gc.core.times import parse_duration
from ssh_session_gc.settings import LeaseRef
from tests.chart import charts
from tests.chart.charts import (
    CHART,
    NAMESPACE,
    NEWEST,
    OLDEST,
    RELEASE,
    Document,
    Refused,
    container,
    merged,
    nested,
    of_kind,
    only,
    refusal,
    render,
)

ROOT = CHART.parent
DIGEST = "sha256:" + "0123456789abcdef" * 4
PEER = {"ipBlock": {"cidr": "10.0.0.1/32"}}
EVERYTHING: dict[str, Any] = {
    "commonLabels": {"team": "access"},
    "commonAnnotations": {"contact": "access@example"},
    "image": {"repository": "registry.example/ssh-session-gc", "digest": DIGEST, "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "config": {"maxDeletesPerMinute": 1_000_000, "ownerContainer": "ssh", "forceAfter": "5m", "logLevel": "debug"},
    "extraArgs": ["--log-level=warning"],
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
    "serviceAccount": {"name": "collector", "annotations": {"a": "b"}},
    "terminationGracePeriodSeconds": 20,
    "podLabels": {"sidecar.example/inject": "false"},
    "podAnnotations": {"p": "q"},
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "infra", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "infra", "operator": "Exists"}]}]
            }
        }
    },
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "service": {"port": 9090, "annotations": {"s": "t"}},
    "podDisruptionBudget": {"enabled": True, "maxUnavailable": "50%"},
    "networkPolicy": {
        "enabled": True,
        "ingress": {"from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
        "apiServer": {"ports": [6443], "to": [PEER]},
    },
}
MONITOR = {
    "enabled": True,
    "interval": "30s",
    "scrapeTimeout": "10s",
    "labels": {"release": "prometheus"},
    "annotations": {"m": "n"},
    "relabelings": [{"action": "labeldrop", "regex": "pod"}],
    "metricRelabelings": [{"action": "drop", "sourceLabels": ["__name__"], "regex": "python_.*"}],
}
MATRIX: dict[str, dict[str, Any]] = {
    "as it is": {},
    "everything": EVERYTHING,
    "no owner": nested("config.owner", "none"),
    "a statefulset": nested("config.owner", "statefulset/ssh/containerssh"),
    "no logs": nested("config.ownerLogs", False),
    "metrics of the owner": {"config": {"ownerMetricsPort": 9100}, "networkPolicy": {"enabled": True}},
    "owners by label": {"config": {"ownerSelector": "app in (a, b)", "ownerNamespace": "ssh"}},
    "dry": nested("config.dryRun", "client"),
    "dry on the server": nested("config.dryRun", "server"),
    "stopped": {"replicas": 0},
    "alone": {"replicas": 1, "config": {"leaderElect": False}},
    "a lease elsewhere": {"replicas": 3, "config": {"leaseNamespace": "leases", "leaseName": "gc"}},
    "nothing made": {
        "serviceAccount": {"create": False, "name": "there-is-one"},
        "rbac": {"create": False},
        "service": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
    },
    "rolling": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}},
    "names like numbers": {"config": {"sessionNamespace": "1", "ownerNamespace": "2", "ownerSelector": "a"}},
    "policy for all": nested("networkPolicy", {"enabled": True, "dns": {"to": []}}),
}
each_of_matrix = pytest.mark.parametrize("values", MATRIX.values(), ids=list(MATRIX))


def mine(documents: list[Document]) -> list[Document]:
    """The objects that Kubernetes itself has schemas for."""
    return [d for d in documents if not d["apiVersion"].startswith("monitoring.coreos.com/")]


# The chart as a whole


@each_of_matrix
def test_helm_finds_nothing_to_complain_of(values: Mapping[str, Any]) -> None:
    assert "0 chart(s) failed" in charts.helm("lint", "--strict", str(CHART), values=values)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@each_of_matrix
def test_kubernetes_knows_every_field(values: Mapping[str, Any], version: str) -> None:
    documents = render(values, version=version)
    assert of_kind(documents, "Deployment")
    for document in mine(documents):
        charts.validate(document, version)


def test_an_unknown_field_would_be_found() -> None:
    deployment = only(render(), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnlyRootFileSystem"] = True
    with pytest.raises(Exception, match="readOnlyRootFileSystem"):
        charts.validate(deployment, NEWEST)


def test_it_is_for_these_versions() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__
    assert chart["kubeVersion"] == f">={OLDEST}.0-0"
    assert render(version=f"{OLDEST}.0-gke.1")
    with pytest.raises(Refused, match=r"incompatible with Kubernetes v1\.27"):
        render(version="1.27.9")


@each_of_matrix
def test_what_runs_passes_pod_security_restricted(values: Mapping[str, Any]) -> None:
    found = dict(charts.pods(render(values)))
    assert set(found) == {RELEASE, f"{RELEASE}-check"}
    for spec in found.values():
        assert charts.violations(spec) == []
        assert spec["enableServiceLinks"] is False
        [only_container] = spec["containers"]
        assert only_container["securityContext"]["readOnlyRootFilesystem"] is True
        assert {"cpu", "memory"} <= set(only_container["resources"]["limits"])


def test_it_runs_as_the_user_of_the_image() -> None:
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert user
    for _, spec in charts.pods(render()):
        context = spec["securityContext"]
        assert (str(context["runAsUser"]), str(context["runAsGroup"])) == user.groups()


# Names and labels


@each_of_matrix
def test_every_object_says_where_it_belongs(values: Mapping[str, Any]) -> None:
    for document in render(merged(values, {"commonLabels": {"x": "y"}, "commonAnnotations": {"c": "d"}})):
        metadata = document["metadata"]
        assert metadata["namespace"]
        assert metadata["labels"]["app.kubernetes.io/name"] == "ssh-session-gc"
        assert metadata["labels"]["app.kubernetes.io/instance"] == RELEASE
        assert metadata["labels"]["x"] == "y"
        assert metadata["annotations"]["c"] == "d"
        template = document["spec"]["template"]["metadata"] if document["kind"] == "Deployment" else metadata
        assert template["labels"]["x"] == "y"
        assert template["annotations"]["c"] == "d"


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return bool(selector) and selector.items() <= labels.items()


def test_selectors_choose_the_collector_and_not_its_check() -> None:
    thief = {"app.kubernetes.io/name": "other", "app.kubernetes.io/component": "other"}
    values = merged(EVERYTHING, {"commonLabels": thief, "podLabels": thief, "serviceMonitor": MONITOR})
    documents = render(values)
    deployment = only(documents, "Deployment")
    pod = deployment["spec"]["template"]["metadata"]["labels"]
    check = only(documents, "Pod")["metadata"]["labels"]
    service = only(documents, "Service")
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        only(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        deployment["spec"]["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ):
        assert matches(selector, pod)
        assert not matches(selector, check)
    everybody = only(documents, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert matches(everybody, pod)
    assert matches(everybody, check)
    assert matches(
        only(documents, "ServiceMonitor")["spec"]["selector"]["matchLabels"], service["metadata"]["labels"]
    )
    other = render(release="other")
    assert not matches(everybody, only(other, "Deployment")["spec"]["template"]["metadata"]["labels"])


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("ssh-session-gc", {}, "ssh-session-gc"),
        ("night", {}, "night-ssh-session-gc"),
        ("night", {"nameOverride": "gc"}, "night-gc"),
        ("night", {"fullnameOverride": "gc"}, "gc"),
        ("n" * 53, {}, "n" * 50),
    ],
)
def test_names(release: str, values: Mapping[str, Any], name: str) -> None:
    documents = render(values, release=release)
    assert only(documents, "Deployment")["metadata"]["name"] == name
    for document in documents:
        assert document["metadata"]["name"].startswith(name)
        assert len(document["metadata"]["name"]) <= 63
        for label in document["metadata"]["labels"].values():
            assert len(label) <= 63


def test_a_constraint_that_has_a_selector_keeps_it() -> None:
    own = {"matchLabels": {"a": "b"}}
    constraint = EVERYTHING["topologySpreadConstraints"][0] | {"labelSelector": own}
    spec = only(render({"topologySpreadConstraints": [constraint]}), "Deployment")["spec"]["template"]["spec"]
    assert spec["topologySpreadConstraints"] == [constraint]


# The Pod


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({}, f"ssh-session-gc:{__version__}"),
        ({"tag": "main"}, "ssh-session-gc:main"),
        ({"digest": DIGEST}, f"ssh-session-gc@{DIGEST}"),
        ({"digest": DIGEST, "tag": "v1"}, f"ssh-session-gc:v1@{DIGEST}"),
        ({"repository": "registry.example:5000/gc", "tag": "v1"}, "registry.example:5000/gc:v1"),
    ],
)
def test_the_image(image: Mapping[str, str], reference: str) -> None:
    documents = render({"image": image})
    assert container(documents)["image"] == container(documents, "Pod")["image"] == reference


def test_what_is_passed_on() -> None:
    documents = render(EVERYTHING)
    deployment = only(documents, "Deployment")
    spec = deployment["spec"]["template"]["spec"]
    for field in ("priorityClassName", "nodeSelector", "tolerations", "affinity", "imagePullSecrets"):
        assert spec[field] == EVERYTHING[field]
    assert spec["terminationGracePeriodSeconds"] == 20
    assert spec["serviceAccountName"] == only(documents, "ServiceAccount")["metadata"]["name"] == "collector"
    assert container(documents)["imagePullPolicy"] == "Always"
    assert container(documents)["args"][-1] == "--log-level=warning"
    assert container(documents)["env"][-1] == {"name": "TZ", "value": "UTC"}
    template = deployment["spec"]["template"]["metadata"]
    assert template["labels"]["sidecar.example/inject"] == "false"
    assert template["annotations"]["p"] == "q"
    assert only(documents, "ServiceAccount")["metadata"]["annotations"]["a"] == "b"
    assert only(documents, "Service")["metadata"]["annotations"]["s"] == "t"


def test_it_is_measured_and_probed() -> None:
    found = container(render())
    assert found["resources"] == charts.defaults()["resources"]
    assert found["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert found["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert found["livenessProbe"]["periodSeconds"] == charts.defaults()["livenessProbe"]["periodSeconds"]
    assert "readinessProbe" not in container(render({"readinessProbe": None}))
    probe = container(render({"livenessProbe": {"tcpSocket": {"port": "metrics"}}}))["livenessProbe"]
    assert (probe["tcpSocket"], "httpGet" in probe) == ({"port": "metrics"}, False)


def test_the_port_is_the_same_everywhere() -> None:
    documents = render(merged(EVERYTHING, {"config": {"listen": "[::]:9999"}}))
    assert container(documents)["ports"] == [{"name": "metrics", "containerPort": 9999, "protocol": "TCP"}]
    assert only(documents, "Service")["spec"]["ports"][0]["targetPort"] == "metrics"
    assert only(documents, "Service")["spec"]["ports"][0]["port"] == 9090
    assert only(documents, "NetworkPolicy")["spec"]["ingress"][0]["ports"] == [{"port": 9999, "protocol": "TCP"}]
    assert "localhost:9999/metrics" in charts.notes({"config": {"listen": ":9999"}})


def test_the_old_one_ends_before_the_new_one_starts() -> None:
    spec = only(render(), "Deployment")["spec"]
    assert spec["strategy"] == {"type": "Recreate"}


def test_several_only_with_an_election() -> None:
    deployment = only(render(), "Deployment")["spec"]
    assert deployment["replicas"] == 2
    [apart] = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert apart["topologyKey"] == "kubernetes.io/hostname"
    for replicas in (2, 3):
        said = refusal({"replicas": replicas, "config": {"leaderElect": False}})
        assert "replicas: more than one needs config.leaderElect" in said
    assert refusal(MATRIX["alone"]) == ""


@pytest.mark.parametrize(
    ("release", "config", "lease"),
    [
        (RELEASE, {}, LeaseRef(NAMESPACE, RELEASE)),
        # Two releases in one namespace have a lease each.
        ("night", {}, LeaseRef(NAMESPACE, "night-ssh-session-gc")),
        (RELEASE, {"leaseNamespace": "a", "leaseName": "b"}, LeaseRef("a", "b")),
    ],
)
def test_the_lease(release: str, config: Mapping[str, str], lease: LeaseRef) -> None:
    documents = render({"config": config}, release=release)
    for kind in ("Deployment", "Pod"):
        assert charts.settings(container(documents, kind)).lease == lease
    alone = render(MATRIX["alone"])
    assert charts.settings(container(alone)).lease is None


def test_all_that_it_can_write_to_is_small() -> None:
    for _, spec in charts.pods(render()):
        assert spec["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}}]
        assert spec["containers"][0]["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]


# Around it


def test_the_network_policy_lets_out_to_dns_and_the_api_server_only() -> None:
    assert not of_kind(render(), "NetworkPolicy")
    spec = only(render(nested("networkPolicy.enabled", True)), "NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == [{"ports": [{"port": 8080, "protocol": "TCP"}]}]
    dns, api = spec["egress"]
    assert [(p["port"], p["protocol"]) for p in dns["ports"]] == [(53, "UDP"), (53, "TCP")]
    assert dns["to"] == charts.defaults()["networkPolicy"]["dns"]["to"]
    assert api == {"ports": [{"port": 443, "protocol": "TCP"}, {"port": 6443, "protocol": "TCP"}]}
    spec = only(render(EVERYTHING), "NetworkPolicy")["spec"]
    assert spec["ingress"][0]["from"] == EVERYTHING["networkPolicy"]["ingress"]["from"]
    assert spec["egress"][1] == {"ports": [{"port": 6443, "protocol": "TCP"}], "to": [PEER]}


@pytest.mark.parametrize(
    ("config", "namespace"),
    [
        ({}, "containerssh"),
        ({"owner": "statefulset/ssh/front"}, "ssh"),
        ({"ownerSelector": "app in (a, b)", "ownerNamespace": "12"}, "12"),
    ],
)
def test_it_lets_out_to_the_metrics_of_the_owner_where_they_are_asked_for(
    config: Mapping[str, str], namespace: str
) -> None:
    def egress(**more: object) -> list[Document]:
        values = {"config": {**config, **more}, "networkPolicy": {"enabled": True}}
        return list(only(render(values), "NetworkPolicy")["spec"]["egress"])

    *others, metrics = egress(ownerMetricsPort=9100)
    assert metrics == {
        "ports": [{"port": 9100, "protocol": "TCP"}],
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}],
    }
    assert others == egress() == egress(ownerMetricsPort=0)


def test_it_lets_out_to_no_metrics_where_no_owner_is_looked_at() -> None:
    values = {"config": {"owner": "none", "ownerMetricsPort": 9100}, "networkPolicy": {"enabled": True}}
    assert len(only(render(values), "NetworkPolicy")["spec"]["egress"]) == 2


def test_a_budget_that_lets_nodes_be_drained() -> None:
    assert not of_kind(render(nested("podDisruptionBudget.enabled", False)), "PodDisruptionBudget")
    spec = only(render(), "PodDisruptionBudget")["spec"]
    assert spec["maxUnavailable"] == 1
    assert only(render(EVERYTHING), "PodDisruptionBudget")["spec"]["maxUnavailable"] == "50%"


@pytest.mark.parametrize(
    ("value", "kind", "endpoints"),
    [("podMonitor", "PodMonitor", "podMetricsEndpoints"), ("serviceMonitor", "ServiceMonitor", "endpoints")],
)
def test_monitors(value: str, kind: str, endpoints: str) -> None:
    assert not of_kind(render(), kind)
    monitor = only(render({value: MONITOR}), kind)
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["metadata"]["annotations"]["m"] == "n"
    # All these keys are in the Prometheus Operator's API reference.
    assert set(monitor["spec"]) == {"jobLabel", "selector", endpoints}
    # The job is "ssh-session-gc": the label is on the Pod and on the Service.
    assert monitor["spec"]["jobLabel"] == "app.kubernetes.io/name"
    passed_on = {key: MONITOR[key] for key in ("interval", "scrapeTimeout", "relabelings", "metricRelabelings")}
    assert monitor["spec"][endpoints] == [{"port": "metrics", **passed_on}]
    assert only(render({value: {"enabled": True}}), kind)["spec"][endpoints] == [{"port": "metrics"}]


def test_monitors_that_make_no_sense_are_refused() -> None:
    assert "every metric would be there twice" in refusal({"podMonitor": MONITOR, "serviceMonitor": MONITOR})
    said = refusal({"serviceMonitor": MONITOR, "service": {"enabled": False}})
    assert "serviceMonitor.enabled needs service.enabled" in said


def test_what_is_turned_off_is_not_there() -> None:
    kinds = {document["kind"] for document in render(MATRIX["nothing made"])}
    assert kinds == {"Deployment", "Pod"}
    assert "name the ServiceAccount to use" in refusal({"serviceAccount": {"create": False}})


# Options

NOT_IN_A_POD = {"kubeconfig", "context", "sandbox", "help"}
"""Options that make no sense in a Pod, where the daemon uses the Pod's own account."""


def camel(option: str) -> str:
    first, *rest = option.split("_")
    return first + "".join(each.capitalize() for each in rest)


def run_options() -> list[str]:
    return [param.name or "" for param in cli.commands["run"].params if param.name not in NOT_IN_A_POD]


def test_every_option_has_a_value_of_its_name() -> None:
    assert sorted(map(camel, run_options())) == sorted(charts.defaults()["config"])


def test_the_defaults_are_the_programs() -> None:
    bare = cli.commands["run"].make_context("run", [])
    # The lease is the exception: the chart chooses it as the program does in a Pod.
    chosen = {"leader_elect": True, "lease_namespace": NAMESPACE}
    assert charts.called(container(render())).params == bare.params | chosen
    context = charts.called(container(render()))
    # The Deployment states its options, even those at their defaults.
    said = {
        name for name in run_options() if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    }
    assert said == {*run_options()} - {"owner_selector", "owner_namespace", "owner_container", "session_container"}


@pytest.mark.parametrize(
    ("value", "given", "expected"),
    [
        ("sessionNamespace", "shells", "shells"),
        ("sessionSelector", "a in (b, c),!d", "a in (b, c),!d"),
        ("owner", "daemonset/a/b", "daemonset a/b"),
        ("owner", "none", "none"),
        ("ownerSelector", 'app=x,note!="y"', 'app=x,note!="y"'),
        ("ownerContainer", "sshd", "sshd"),
        ("sessionContainer", "shell", "shell"),
        ("sessionContainer", "2", "2"),
        *((name, "90s", 90.0) for name in ("maxAge", "maxTtl", "ownerGrace", "clockTolerance", "startTimeout")),
        ("abandonedGrace", "2m", 120.0),
        ("ownerLogs", False, False),
        ("ownerMetricsPort", 9100, 9100),
        *((name, "1h30m", 5400.0) for name in ("finishedGrace", "deletionGrace", "forceAfter")),
        ("maxAge", 0, 0.0),
        ("dryRun", "client", "client"),
        ("dryRun", "server", "server"),
        ("concurrency", 7, 7),
        ("maxDeletesPerMinute", 1_000_000, 1_000_000),
        ("leaseNamespace", "leases", "leases"),
        ("leaseName", "gc", "gc"),
        ("listen", ":9999", ("", 9999)),
        ("logFormat", "console", "console"),
        ("logLevel", "error", "error"),
    ],
)
def test_each_value_reaches_the_program(value: str, given: object, expected: object) -> None:
    params = charts.called(container(render({"config": {value: given}}))).params
    name = re.sub(r"(?=[A-Z])", "_", value).lower()
    found = params[name]
    assert (str(found) if value == "owner" else found) == expected
    before = charts.called(container(render())).params
    assert {each for each in params if params[each] != before[each] and str(params[each]) != str(before[each])} == {
        name
    }


def test_owners_by_label() -> None:
    found = charts.settings(container(render(MATRIX["owners by label"])))
    assert (found.owner, found.owner_selector, found.owner_namespace) == (None, "app in (a, b)", "ssh")


@each_of_matrix
def test_the_program_accepts_what_is_rendered(values: Mapping[str, Any]) -> None:
    documents = render(values)
    daemon, check = charts.settings(container(documents)), charts.settings(container(documents, "Pod"))
    for field in ("session_namespace", "session_selector", "owner", "owner_selector", "owner_namespace", "policy"):
        assert getattr(daemon, field) == getattr(check, field)
    # A command that somebody runs in the Pod without arguments has the same settings.
    for command in ("plan", "check"):
        inside = container(documents) | {"args": [command]}
        assert charts.settings(inside).policy == daemon.policy
        assert charts.settings(inside).session_namespace == daemon.session_namespace


DURATIONS = [
    "maxAge",
    "maxTtl",
    "ownerGrace",
    "abandonedGrace",
    "clockTolerance",
    "startTimeout",
    "finishedGrace",
    "deletionGrace",
    "forceAfter",
]


def test_these_are_all_the_durations() -> None:
    is_duration = [
        name for name in charts.defaults()["config"] if _reads_as_duration(charts.defaults()["config"][name])
    ]
    assert is_duration == DURATIONS


def _reads_as_duration(value: object) -> bool:
    try:
        return isinstance(value, str) and parse_duration(value) >= 0
    except ValueError:
        return False


BAD_DURATIONS = [
    "",
    "1hour",
    "90",
    "-1s",
    "+1s",
    "1.2.3s",
    ".s",
    "1y",
    "1 h",
    "s",
    "2562048h",
    "1h\n",
    "never",
    "1s" * 40,
]
REFUSED_BY_BOTH = [
    *(("maxAge", bad) for bad in BAD_DURATIONS),
    *((name, "1 hour") for name in DURATIONS),
    ("maxTtl", "0"),
    ("maxTtl", "0s"),
    ("deletionGrace", "0"),
    ("deletionGrace", "0s"),
    ("deletionGrace", "1500ms"),
    ("deletionGrace", "0.5s"),
    ("sessionNamespace", ""),
    ("sessionNamespace", "Shells"),
    ("sessionNamespace", "a/b"),
    ("sessionNamespace", "-a"),
    ("sessionSelector", ""),
    ("sessionSelector", " "),
    ("sessionContainer", "Shell"),
    ("owner", "containerssh"),
    ("owner", "deployment/containerssh"),
    ("owner", "deployment//containerssh"),
    ("owner", "deployment/a/b/c"),
    ("owner", "pod/a/b"),
    ("owner", "deployment/a/-b"),
    ("owner", "deployment/a./b"),
    ("owner", "deployment/A/b"),
    ("owner", "None"),
    ("ownerSelector", "  "),
    ("dryRun", "true"),
    ("dryRun", "maybe"),
    ("concurrency", 0),
    ("concurrency", -1),
    ("concurrency", 1001),
    ("ownerMetricsPort", -1),
    ("ownerMetricsPort", 65536),
    ("ownerMetricsPort", "metrics"),
    ("maxDeletesPerMinute", -1),
    ("maxDeletesPerMinute", 1_000_001),
    ("listen", "8080"),
    ("listen", ":65536"),
    ("listen", ":http"),
    ("leaseNamespace", "a/b"),
    ("leaseName", "A"),
    ("logFormat", "xml"),
    ("logLevel", "trace"),
]
TAKEN_BY_BOTH = [
    *(
        ("maxAge", good)
        for good in ("0", "0s", "1h30m", "1.5h", ".5h", "1.h", "100ms", "5us", "5µs", "7ns", "2562047h", "2d", "1w2d")
    ),
    ("deletionGrace", "2000ms"),
    ("deletionGrace", "1.5m"),
    ("owner", "daemonset/a.b/c-d.e"),
    ("sessionSelector", "a"),
    ("ownerMetricsPort", 1),
    ("ownerMetricsPort", 65535),
    ("concurrency", 1000),
    ("listen", "0.0.0.0:1"),
    ("listen", ":65535"),
]


def takes(value: str, given: object) -> bool:
    """Whether the program accepts this value on its command line."""
    option = "--" + re.sub(r"(?=[A-Z])", "-", value).lower()
    try:
        cli.commands["run"].make_context("run", [f"{option}={given}"])
    except click.UsageError:
        return False
    return True


@pytest.mark.parametrize(("value", "given"), REFUSED_BY_BOTH)
def test_what_the_program_refuses_the_chart_refuses(value: str, given: object) -> None:
    assert not takes(value, given)
    said = refusal(nested(f"config.{value}", given))
    # The refusal names the value, and no failure inside a template.
    assert re.search(rf"at '/config/{value}'|config\.{value}: ", said), said
    assert "<" not in said


@pytest.mark.parametrize(("value", "given"), TAKEN_BY_BOTH)
def test_what_the_program_takes_the_chart_takes(value: str, given: object) -> None:
    assert takes(value, given)
    assert refusal(nested(f"config.{value}", given)) == ""


def test_two_ways_to_name_the_owner_are_refused_as_by_the_program() -> None:
    both = ["--owner=statefulset/a/b", "--owner-selector=a=b"]
    context = cli.commands["run"].make_context("run", both)
    words = "exclude each other: give one of them"
    with pytest.raises(click.UsageError, match=words):
        read(RunOptions, context).settings()
    for owner in ("statefulset/a/b", "none"):
        assert words in refusal({"config": {"owner": owner, "ownerSelector": "a=b"}})


def test_a_value_that_is_taken_away_is_missed() -> None:
    assert "missing property 'maxAge'" in refusal({"config": {"maxAge": None}})


# Other values

CLOSED = [
    "",
    "image",
    "config",
    "serviceAccount",
    "rbac",
    "service",
    "podMonitor",
    "serviceMonitor",
    "podDisruptionBudget",
]
CLOSED += ["networkPolicy", "networkPolicy.ingress", "networkPolicy.dns", "networkPolicy.apiServer"]


@pytest.mark.parametrize("below", CLOSED)
def test_unknown_keys_are_refused(below: str) -> None:
    said = refusal(nested(f"{below}.maxage".lstrip("."), 1))
    assert f"at '{below and '/' + below.replace('.', '/')}': additional properties 'maxage' not allowed" in said


@pytest.mark.parametrize(
    ("value", "given", "words"),
    [
        ("config.leaderElect", "yes", "at '/config/leaderElect': got string, want boolean"),
        ("config.ownerLogs", "false", "at '/config/ownerLogs': got string, want boolean"),
        ("replicas", -1, "at '/replicas': minimum: got -1, want 0"),
        ("replicas", "1", "got string, want integer"),
        ("revisionHistoryLimit", -1, "minimum: got -1, want 0"),
        ("terminationGracePeriodSeconds", -1, "minimum: got -1, want 0"),
        ("image.digest", "sha256:1234", "at '/image/digest': 'sha256:1234' does not match pattern"),
        ("image.tag", "a b", "does not match pattern"),
        ("image.repository", "", "minLength: got 0, want 1"),
        ("image.pullPolicy", "Sometimes", "value must be one of 'Always', 'IfNotPresent', 'Never'"),
        ("commonLabels", {"a": True}, "at '/commonLabels/a': got boolean, want string"),
        ("extraArgs", "--x", "got string, want array"),
        ("service.port", 0, "minimum: got 0, want 1"),
        ("podMonitor.interval", "often", "at '/podMonitor/interval': 'often' does not match pattern"),
        ("podDisruptionBudget.maxUnavailable", "half", "does not match pattern"),
        ("podDisruptionBudget.maxUnavailable", -1, "minimum: got -1, want 0"),
        ("networkPolicy.apiServer.ports", [], "minItems: got 0, want 1"),
        ("networkPolicy.enabled", "yes", "got string, want boolean"),
        ("fullnameOverride", "Not_A_Name", "does not match pattern"),
    ],
)
def test_other_values_that_are_refused(value: str, given: object, words: str) -> None:
    assert words in refusal(nested(value, given))


OTHERS = {"sessions", "containerssh", "admission", "ownerStamp", "prometheusRule", "dashboard"}
"""Sections of other parts, which have tests of their own."""


def test_the_schema_and_the_values_know_the_same_keys() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    del schema["properties"]["global"]  # Helm's own
    both = set(schema["properties"]) & set(charts.defaults())
    assert both == set(schema["properties"]) | set(charts.defaults())
    for each in both - OTHERS:
        assert list(keys(schema["properties"][each], schema, charts.defaults()[each], f"{each}.")) == []


def keys(schema: Document, root: Document, values: object, path: str) -> Iterator[str]:
    """The keys that only the values or only the schema has."""
    if reference := schema.get("$ref"):
        schema = root["definitions"][reference.removeprefix("#/definitions/")]
    if isinstance(values, dict) and "properties" in schema:
        yield from (f"{path}{key}" for key in set(values) ^ set(schema["properties"]))
        for key in set(values) & set(schema["properties"]):
            yield from keys(schema["properties"][key], root, values[key], f"{path}{key}.")


# What people read


def test_the_table_of_values_is_up_to_date() -> None:
    ran = subprocess.run([sys.executable, ROOT / "docs/values.py", "--check"], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_every_value_is_documented() -> None:
    code = "import values; print(values.undocumented((values.CHART / 'values.yaml').read_text()))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "docs", capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "deletes what is due in namespace ssh-sessions."),
        ({"config": {"dryRun": "client"}}, "may not delete anything"),
        ({"config": {"dryRun": "server"}}, "has the API server try each deletion"),
        ({"replicas": 0}, "installed and stopped"),
        ({"config": {"owner": "none"}}, "The Ownerless and the Abandoned rule are off"),
        ({"config": {"ownerLogs": False}}, ": only a newer Pod can have a session Abandoned"),
        ({"config": {"ownerLogs": False, "ownerMetricsPort": 9100}}, "a newer Pod or ContainerSSH's metrics can"),
        ({"config": {"sessionNamespace": "gc"}}, "WARNING: it runs among the session Pods"),
        ({"rbac": {"create": False}}, "rbac.create is off"),
        ({"config": {"leaseName": "x"}}, "kubectl get lease -n gc x "),
    ],
)
def test_the_notes(values: Mapping[str, Any], words: str) -> None:
    said = charts.notes(values)
    assert words in said
    assert "\n\n\n" not in said
    remarks = ("The Ownerless rule is off", "WARNING", "rbac.create is off")
    assert [each for each in remarks if each in said] == [each for each in remarks if words.startswith(each)]
    for command in (
        "helm test ssh-session-gc -n gc --logs",
        "kubectl exec -n gc deploy/ssh-session-gc -- ssh-session-gc plan -o wide",
        "kubectl logs -n gc -l app.kubernetes.io/instance=ssh-session-gc,app.kubernetes.io/component=collector -f",
        "kubectl scale --replicas=0 -n gc deploy/ssh-session-gc",
        "--set config.dryRun=client",
    ):
        assert command in said


def test_the_check_is_a_test_of_the_release() -> None:
    documents = render(EVERYTHING)
    check, deployment = only(documents, "Pod"), only(documents, "Deployment")
    assert check["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert check["metadata"]["namespace"] == NAMESPACE
    spec, daemon = check["spec"], deployment["spec"]["template"]["spec"]
    assert spec["restartPolicy"] == "Never"
    for field in ("serviceAccountName", "securityContext", "imagePullSecrets", "nodeSelector", "tolerations"):
        assert spec[field] == daemon[field]
    assert container(documents, "Pod")["env"] == container(documents)["env"]
    assert container(documents, "Pod")["args"] == ["check"]
    # `check` would complain of the permission to delete, which a dry run must not have.
    assert container(render(MATRIX["dry"]), "Pod")["args"] == ["plan"]


def test_a_package_holds_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    charts.helm("package", str(CHART), "--destination", str(tmp_path))
    listed = subprocess.run(
        ["tar", "tzf", tmp_path / f"ssh-session-gc-{__version__}.tgz"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"ssh-session-gc/values.schema.json", "ssh-session-gc/README.md"} <= set(listed)
    assert not [name for name in listed if name.endswith((".py", ".pyc", "~", ".orig"))]

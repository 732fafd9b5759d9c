"""Which workload is ContainerSSH, what settings follow, and how they are written."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.cli.options import read as read_options
from ssh_session_gc.cli.program import cli
from ssh_session_gc.cli.run import RunOptions
from ssh_session_gc.containerssh.configuration import Configuration
from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.templates import Deployed, Labelled
from ssh_session_gc.preview import discovery_text as text
from ssh_session_gc.preview.discovery import Crowd, Finding, Suspect, compare, crowds, settle, suspects
from ssh_session_gc.settings import OwnerRef, Settings

CHART = Path(__file__).parents[2] / "chart"
MOUNT = [{"name": "c", "mountPath": "/etc/containerssh"}]
OWNER = OwnerRef("statefulset", "ssh", "front")
SUSPECT = Suspect(OWNER, "containerssh", False, ("its image is x/containerssh",), "/etc/c.yaml", (), 2, 120)
KUBERNETES = Configuration(backend="kubernetes", namespace="shells", log_level="debug")


def workload(*containers: dict[str, Any], config: str = "config", **spec: Any) -> Deployed:
    volumes = [{"name": "c", "configMap": {"name": config}}]
    template = {"spec": {"containers": list(containers), "volumes": volumes, **spec}}
    body = {"metadata": {"name": "containerssh", "namespace": "ssh"}, "spec": {"template": template, "replicas": 3}}
    return Decoder(Deployed).object(msgspec.json.encode(body))


@pytest.mark.parametrize(
    ("container", "because"),
    [
        ({"image": "containerssh/containerssh:v0.5.2"}, ["its image is containerssh/containerssh:v0.5.2"]),
        ({"image": "containerssh"}, ["its image is containerssh"]),
        ({"image": "r:5000/mirror/containerssh@sha256:0"}, ["its image is r:5000/mirror/containerssh@sha256:0"]),
        ({"image": "x\x1b/containerssh"}, ["its image is x\\x1b/containerssh"]),
        ({"command": ["/containerssh", "--config", "x"]}, ["it runs /containerssh"]),
        ({"args": ["containerssh"]}, ["it runs containerssh"]),
        ({"name": "containerssh", "image": "x"}, ["its container is called containerssh"]),
        ({"image": "containerssh/containerssh-guest-image"}, None),
        ({"image": "containerssh/agent:v1"}, None),
        ({"image": "containerssh:5000/proxy"}, None),
        ({"command": ["sh", "-c", "echo containerssh"]}, None),
        ({"image": "x", "volumeMounts": MOUNT}, []),
        ({"image": "x", "args": ["--config", "/etc/containerssh/x.txt"], "volumeMounts": MOUNT}, None),
    ],
)
def test_why_a_container_is_believed_to_be_containerssh(container: dict[str, Any], because: list[str] | None) -> None:
    """The name of the workload, which is ContainerSSH's in each of these, is never a reason."""
    found = suspects("deployment", workload({"name": "a", **container}))
    assert [list(each.because) for each in found] == ([] if because is None else [because])


def test_one_container_of_a_workload_is_it() -> None:
    sidecar = {"name": "proxy", "image": "x", "volumeMounts": MOUNT}
    [found] = suspects("deployment", workload(sidecar, {"name": "ssh", "image": "a/containerssh"}))
    assert (found.owner, found.container, found.chosen) == (
        OwnerRef("deployment", "ssh", "containerssh"),
        "ssh",
        True,
    )
    [found] = suspects("deployment", workload({"name": "ssh", "image": "a/containerssh"}, sidecar))
    assert not found.chosen  # the collector takes the first by itself
    named = {"name": "containerssh", "image": "x"}
    [found] = suspects(
        "deployment", workload({"name": "ssh", "image": "a/containerssh", "args": ["containerssh"]}, named)
    )
    assert (found.container, found.chosen) == ("ssh", True)
    assert suspects("deployment", workload()) == []


@pytest.mark.parametrize(
    ("more", "file"),
    [
        ({}, "/etc/containerssh/config.yaml"),
        ({"args": ["/containerssh", "--config", "/a/b.yml"]}, "/a/b.yml"),
        ({"command": ["/containerssh", "-config=/a/b.json"]}, "/a/b.json"),
        ({"args": ["/containerssh", "--config", "b.yaml"], "workingDir": "/w"}, "/w/b.yaml"),
        ({"args": ["/containerssh", "--config=b.yaml"]}, "/etc/containerssh/b.yaml"),
        ({"args": ["/containerssh", "--config"]}, "/etc/containerssh/config.yaml"),
    ],
)
def test_where_its_configuration_is(more: dict[str, Any], file: str) -> None:
    [found] = suspects("deployment", workload({"name": "a", "image": "containerssh", **more}))
    assert found.file == file


def pods(*labels: dict[str, str], namespace: str = "shells") -> list[Labelled]:
    bodies = [{"metadata": {"namespace": namespace, "labels": each}} for each in labels]
    return [Decoder(Labelled).object(msgspec.json.encode(body)) for body in bodies]


def test_session_pods_and_the_labels_that_all_have() -> None:
    own = {"containerssh_connection_id": "x", "containerssh_username": "u", "bad": "\x1b"}
    found = crowds([*pods({**own, "team": "a", "n": "1"}, {**own, "team": "a", "n": "2"}), *pods({}, namespace="b")])
    assert found == {"shells": Crowd(2, (("team", "a"),)), "b": Crowd(1, ())}


def finding(it: Configuration | None = KUBERNETES, suspect: Suspect = SUSPECT) -> Finding:
    return Finding(suspect, "x", it, it.namespace if it else None)


def remarks(*findings: Finding, crowd: dict[str, Crowd] | None = None) -> list[str]:
    """What is remarked on the first of them."""
    return list(compare(findings, crowd or {})[0].remarks)


def configured(**more: Any) -> Finding:
    return finding(msgspec.structs.replace(KUBERNETES, **more))


def test_nothing_is_remarked_where_all_is_well() -> None:
    assert remarks(finding(), crowd={"shells": Crowd(1, ())}) == []


@pytest.mark.parametrize(
    ("it", "words"),
    [
        (configured(log_level="notice"), "log.level is notice: only debug tells"),
        (configured(log_format="text"), "log.format is text, which tells nothing: owner-logs is off"),
        (configured(log_destination="file"), "log.destination is file, which the kubelet does not have"),
        (configured(mode="persistent"), "its mode is persistent"),
        (configured(backend="docker"), "its backend is docker: it makes no Pods"),
        (configured(backend="docker", config_server=True), "a configuration server (configserver.url)"),
        (configured(metrics_hidden="by TLS"), "it serves its metrics by TLS: they are not asked for"),
        (configured(doubts=("log.level",)), "cannot be understood and is taken for its default: log.level"),
        (finding(suspect=replace(SUSPECT, grace=None)), "terminationGracePeriodSeconds is 30"),
        (finding(suspect=replace(SUSPECT, grace=89)), "terminationGracePeriodSeconds is 89"),
        (finding(suspect=replace(SUSPECT, replicas=0)), "it has no replicas"),
        (finding(None), "the namespace of its sessions cannot be told"),
    ],
)
def test_what_is_remarked(it: Finding, words: str) -> None:
    [remark] = remarks(it)
    assert remark.startswith(words)


def test_two_with_one_session_namespace_need_a_label_each() -> None:
    other = finding(suspect=replace(SUSPECT, owner=OwnerRef("deployment", "b", "y")))
    [remark] = remarks(finding(), other)
    assert remark.startswith(
        "deployment b/y makes its sessions in namespace shells, too: each needs a collector, and a"
    )
    [remark] = remarks(configured(labels=(("team", "a"),)), other)
    assert remark.endswith("with a selector of its own (--session-selector team=a)")
    assert remarks(finding(), finding(None)) == []


def test_pods_that_nobody_owns_up_to() -> None:
    [remark] = remarks(finding(), crowd={"a": Crowd(1200, ()), "shells": Crowd(1, ())})
    assert remark == "1,200 of ContainerSSH's Pods in namespace a, which no configuration found here names"


def test_without_a_configuration_the_only_namespace_with_pods_is_theirs() -> None:
    assert settle(finding(None), {"a": Crowd(1, ())}).namespace == "a"
    assert settle(finding(None), {"a": Crowd(1, ()), "b": Crowd(1, ())}).namespace is None
    assert settle(finding(), {"a": Crowd(1, ())}).namespace == "shells"


def run_settings(flags: str) -> Settings:
    """What the command ``run`` makes of flags."""
    run = cli.commands["run"]
    words = flags.replace("\\\n", " ").split()
    assert words[:2] == ["ssh-session-gc", "run"]
    with run.make_context("run", words[2:]) as context:
        return read_options(RunOptions, context).settings()


def chart_config(values: str) -> dict[str, Any]:
    """The chart's values with these, which have to be valid and to differ from what it has."""
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    given = yaml.safe_load(values)
    assert set(given) == {"config"}
    for name, value in given["config"].items():
        assert defaults["config"][name] != value
    merged = {**defaults, "config": {**defaults["config"], **given["config"]}}
    jsonschema.validate(merged, json.loads((CHART / "values.schema.json").read_text()))
    config: dict[str, Any] = merged["config"]
    return config


TIMES = st.integers(1, 7 * 86400).map(float) | st.floats(0.001, 1000.0)
CONFIGURATIONS = st.builds(
    Configuration,
    backend=st.just("kubernetes"),
    namespace=st.sampled_from(["shells", "ssh-sessions", "default"]),
    console=st.integers(0, 3),
    pod_start=TIMES,
    command_start=TIMES,
    pod_stop=TIMES,
    metrics_port=st.integers(0, 65535),
    log_format=st.sampled_from(["ljson", "text"]),
    log_destination=st.sampled_from(["stdout", "syslog"]),
)
SUSPECTS = st.builds(
    replace,
    st.just(SUSPECT),
    owner=st.sampled_from([OWNER, OwnerRef("deployment", "containerssh", "containerssh")]),
    container=st.sampled_from(["containerssh", "ssh"]),
    chosen=st.booleans(),
)


@given(SUSPECTS, CONFIGURATIONS | st.none())
def test_the_flags_the_variables_and_the_values_mean_the_same_settings(
    suspect: Suspect, it: Configuration | None
) -> None:
    found = finding(it, suspect)
    settings = run_settings(text.flags(found))
    assert settings == found.settings
    config = chart_config(text.values(found))
    variables = dict(line.split("=") for line in text.env(found).splitlines())
    for option in cli.commands["run"].params:
        name = str(option.name)
        head, *rest = name.split("_")
        key = head + "".join(map(str.capitalize, rest))
        if f"SSH_SESSION_GC_{name.upper()}" in variables:
            value = config[key]
            written = str(value).lower() if isinstance(value, bool) else str(value)
            assert variables.pop(f"SSH_SESSION_GC_{name.upper()}") == written
    assert not variables
    policy = settings.policy
    if it is not None:
        assert policy.start_timeout >= it.pod_start + it.command_start
        assert policy.abandoned_grace >= it.pod_stop + 30 or policy.abandoned_grace == 90.0


def test_the_variables_are_those_of_run(monkeypatch: pytest.MonkeyPatch) -> None:
    found = configured(log_format="text", pod_start=300.0)
    for line in text.env(found).splitlines():
        monkeypatch.setenv(*line.split("="))
    assert run_settings("ssh-session-gc run") == found.settings
    assert not found.settings.owner_logs
    assert found.settings.policy.start_timeout == 390.0


def test_nothing_that_is_quoted_ends_a_comment() -> None:
    hostile = replace(SUSPECT, because=("its image is \u05d0\u202e\nconfig: {}",))
    found = replace(finding(suspect=hostile), source="a\nb", remarks=("x\r\x85y",))
    written = text.document([(*text.about(found), text.values(found))], ["r\nr"], mark="# ", between="---\n")
    assert chart_config(written)["owner"] == "statefulset/ssh/front"
    assert all(line.isprintable() or "\u2068" in line for line in written.split("\n"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "containers", "image", "command", "args", "volumes", "configMap", "items", "key"]
            )
            | st.text(max_size=3),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)
CONTAINER = st.fixed_dictionaries(
    {"name": st.just("containerssh") | JSON},
    optional={
        "image": st.just("a/containerssh") | JSON,
        "args": st.lists(st.sampled_from(["--config", "x=y"]) | st.text()),
        "volumeMounts": JSON,
    },
)


@given(st.lists(CONTAINER, max_size=3), JSON, JSON)
def test_no_workload_breaks_it(containers: list[Any], volumes: Any, grace: Any) -> None:
    spec = {"containers": containers, "volumes": volumes, "terminationGracePeriodSeconds": grace}
    item = {"metadata": {"name": "a", "namespace": "b"}, "spec": {"template": {"spec": spec}}}
    body = {"metadata": {"resourceVersion": "1"}, "items": [item, item]}
    page = Decoder(Deployed).page(json.dumps(body).encode("utf-8", "surrogatepass"))
    for each in page.items:
        for suspect in suspects("deployment", each):
            for line in text.about(Finding(suspect, "x", None, None)):
                assert line.isprintable() or "\u2068" in line

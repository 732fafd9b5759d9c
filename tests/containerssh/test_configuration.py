"""ContainerSSH's configuration: what is taken of it, and that nothing else of it ever comes out."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.containerssh.configuration import (
    LONGEST_TEXT,
    Configuration,
    Unreadable,
    is_label,
    is_one,
    read,
)

SECRET = "S3cret-of-somebody"
GOOD = f"""
ssh:
  hostkeys: [/etc/containerssh/key]
auth:
  password: {{method: webhook, webhook: {{url: "http://u:{SECRET}@auth"}}}}
log: {{level: debug, format: text, destination: file}}
metrics: {{enable: true, listen: "[::]:9300"}}
backend: kubernetes
kubernetes:
  connection: {{bearerToken: {SECRET}}}
  timeouts: {{podStart: 90s, commandStart: 5000000000, podStop: 2m}}
  pod:
    mode: persistent
    createMissingPods: yes
    consoleContainerNumber: 1
    metadata: {{namespace: shells, name: home-a, generateName: ssh-, labels: {{team: a}}}}
    spec: {{restartPolicy: Never}}
"""


def test_what_is_taken_of_it() -> None:
    assert read(GOOD) == Configuration(
        backend="kubernetes",
        mode="persistent",
        namespace="shells",
        labels=(("team", "a"),),
        name="home-a",
        generate_name="ssh-",
        console=1,
        create_missing=True,
        restart_policy="Never",
        pod_start=90.0,
        command_start=5.0,
        pod_stop=120.0,
        metrics_port=9300,
        log_level="debug",
        log_format="text",
        log_destination="file",
    )
    assert SECRET not in repr(read(GOOD))
    assert read("backend: docker") == read(json.dumps({"backend": "docker", "log": None})) == Configuration()


@pytest.mark.parametrize(
    ("path", "value", "field", "taken"),
    [
        ("backend", "sshproxy", "backend", "sshproxy"),
        ("configserver.url", "http://config", "config_server", True),
        ("configserver.url", "", "config_server", False),
        ("log.destination", "syslog", "log_destination", "syslog"),
        ("kubernetes.pod.consoleContainerNumber", 0, "console", 0),
        ("kubernetes.pod.consoleContainerNumber", 999, "console", 999),
        ("kubernetes.pod.mode", "session", "mode", "session"),
        ("kubernetes.pod.spec.restartPolicy", "OnFailure", "restart_policy", "OnFailure"),
        ("kubernetes.timeouts.podStart", 0, "pod_start", 60.0),
        ("kubernetes.timeouts.podStart", "168h", "pod_start", 604_800.0),
        (
            "kubernetes.pod.metadata.labels",
            {f"l{n}": "x" for n in range(10, 74)},
            "labels",
            tuple((f"l{n}", "x") for n in range(10, 74)),
        ),
    ],
)
def test_what_is_just_understood(path: str, value: object, field: str, taken: object) -> None:
    it = read(json.dumps({"ssh": {}, **nested(path, value)}))
    assert (getattr(it, field), it.doubts) == (taken, ())


def test_of_too_many_labels_one_more_than_there_may_be_is_looked_at() -> None:
    labels = {f"-{n}": "x" for n in range(3)} | {f"l{n}": "x" for n in range(66)}
    it = read(json.dumps(nested("kubernetes.pod.metadata.labels", labels)))
    assert (len(it.labels), it.doubts) == (62, ("kubernetes.pod.metadata.labels",))


@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
def test_how_much_a_text_may_hold(more: int, fits: bool) -> None:
    begin = "backend: docker\n---\n"
    long = begin + "x" * (LONGEST_TEXT - len(begin) + more)
    many = "backend: docker\nssh: {" + "k," * (9998 + more) + "}"
    for text in (long, many):
        if fits:
            assert read(text) == Configuration()
        else:
            with pytest.raises(Unreadable):
                read(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no configuration of ContainerSSH: it has none of its keys"),
        ("- backend", "is no configuration of ContainerSSH: it has none of its keys"),
        ("scrape_configs: []", "is no configuration of ContainerSSH: it has none of its keys"),
        (f"backend: kubernetes\nssh: {SECRET}: {SECRET}", "is no YAML (line 2)"),
        (f"backend: !{SECRET} x", "is no YAML (line 1)"),
        ("[" * 5000, "is no YAML"),
        ("a: " + "9" * 5000, "is no YAML"),
        ("backend: \0", "is no YAML"),
        ("x" * (LONGEST_TEXT + 1), "is longer than 256 KiB"),
        (
            "a0: &a0 {k: 1}\n" + "".join(f"a{n}: &a{n}\n  <<: [{f'*a{n - 1},' * 9}]\n" for n in range(1, 12)),
            "is no YAML",
        ),
    ],
    ids=range(10),
)
def test_what_is_none(text: str, why: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read(text)
    assert str(caught.value) == why
    assert not is_one(text)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("backend", "podman"),
        ("backend", ["kubernetes"]),
        ("configserver", "http://config"),
        ("log.level", 8),
        ("log.level", True),
        ("log.level", "verbose"),
        ("log.format", 1),
        ("metrics.enable", "perhaps"),
        ("kubernetes.pod.mode", "detached"),
        ("kubernetes.pod.metadata.namespace", "../secrets"),
        ("kubernetes.pod.metadata.namespace", 7),
        ("kubernetes.pod.metadata.namespace", "shells-"),
        ("kubernetes.pod.metadata.generateName", "\x1b[2J"),
        ("kubernetes.pod.metadata.labels", {"a": "\u202e"}),
        ("kubernetes.pod.metadata.labels", {f"l{n}": "x" for n in range(65)}),
        ("kubernetes.pod.consoleContainerNumber", -1),
        ("kubernetes.pod.consoleContainerNumber", 1000),
        ("kubernetes.pod.consoleContainerNumber", True),
        ("kubernetes.timeouts.podStart", "soon"),
        ("kubernetes.timeouts.podStart", "100000h"),
        ("kubernetes.timeouts.podStart", "168h1s"),
        ("kubernetes.timeouts.podStart", -1),
        ("kubernetes.timeouts.podStart", 2.5),
    ],
)
def test_what_cannot_be_understood_is_the_default_and_is_named(path: str, value: object) -> None:
    default = read("ssh: {}")
    it = read(json.dumps({"ssh": {}, **nested(path, value)}))
    assert [doubt.startswith(path) for doubt in it.doubts] == [True]
    if isinstance(value, dict):
        assert all(name.startswith("l") for name, _ in it.labels)
    else:
        assert it == Configuration(doubts=it.doubts) == Configuration(**{**fields(default), "doubts": it.doubts})


def nested(path: str, value: object) -> dict[str, Any]:
    key, _, rest = path.partition(".")
    return {key: nested(rest, value) if rest else value}


def fields(it: Configuration) -> dict[str, Any]:
    return {name: getattr(it, name) for name in it.__struct_fields__}


@pytest.mark.parametrize(
    ("metrics", "port", "hidden"),
    [
        ({}, 0, ""),
        ({"enable": False, "listen": ":1"}, 0, ""),
        ({"enable": True}, 9100, ""),
        ({"enable": True, "listen": ":9200"}, 9200, ""),
        ({"enable": True, "listen": ":1"}, 1, ""),
        ({"enable": True, "listen": ":65535"}, 65535, ""),
        ({"enable": True, "listen": "127.0.0.1:9200"}, 0, "on its own address alone (metrics.listen)"),
        ({"enable": True, "listen": "localhost:9200"}, 0, "on its own address alone (metrics.listen)"),
        ({"enable": True, "listen": "[::1]:9200"}, 0, "on its own address alone (metrics.listen)"),
        ({"enable": True, "listen": "9200"}, 0, "on a port that cannot be told"),
        ({"enable": True, "listen": ":http"}, 0, "on a port that cannot be told"),
        ({"enable": True, "listen": ":0"}, 0, "on a port that cannot be told"),
        ({"enable": True, "listen": ":65536"}, 0, "on a port that cannot be told"),
        ({"enable": True, "listen": ":009200"}, 0, "on a port that cannot be told"),
        ({"enable": True, "cert": SECRET}, 0, "by TLS (metrics.cert)"),
        ({"enable": True, "clientcacert": SECRET}, 0, "by TLS (metrics.cert)"),
        ({"enable": True, "path": "/m"}, 0, "elsewhere than at /metrics (metrics.path)"),
    ],
)
def test_its_metrics(metrics: dict[str, Any], port: int, hidden: str) -> None:
    it = read(json.dumps({"metrics": metrics}))
    assert (it.metrics_port, it.metrics_hidden) == (port, hidden)
    assert it.doubts == (("metrics.listen",) if hidden == "on a port that cannot be told" else ())


def test_a_level_may_be_a_number() -> None:
    levels = ["emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"]
    assert [read(f"log: {{level: {n}}}").log_level for n in range(8)] == levels
    assert [read(f"log: {{level: {level}}}").log_level for level in levels] == levels


def test_what_looks_like_a_date_is_a_text() -> None:
    assert read("kubernetes: {pod: {metadata: {namespace: 2026-11-23}}}").namespace == "2026-11-23"


@pytest.mark.parametrize("part", ["a", "A", "9", "A.b_c-d", "a" * 63])
def test_a_label(part: str) -> None:
    for prefix in ("", "a/", "a-b.c/", f"{'a' * 253}/"):
        assert is_label(f"{prefix}{part}", part)
        assert is_label(f"{prefix}{part}", "")


@pytest.mark.parametrize("part", ["-a", "a-", "_a", "a.", "a b", "a\n", "ä", "a" * 64])
def test_what_is_no_label(part: str) -> None:
    assert not is_label(part, "a")
    assert not is_label(f"a/{part}", "a")
    assert not is_label("a", part)


@pytest.mark.parametrize("name", ["", "a/", "/a", "a/b/c", "A/a", "-a/a", "a-/a", f"{'a' * 254}/a"])
def test_what_is_no_name_of_a_label(name: str) -> None:
    assert not is_label(name, "a")


def test_another_programs_configuration_is_not_taken_for_one() -> None:
    assert is_one(GOOD)
    for key in ("backend", "kubernetes", "configserver"):
        for written in (f"{key}:", f"'{key}':", f'"{key}" :'):
            assert is_one(f"ssh: {{}}\n{written} {{}}")
    known = ["ssh", "configserver", "auth", "log", "metrics", "geoip", "audit", "health", "security"]
    known += ["backend", "docker", "kubernetes", "sshproxy"]
    assert is_one(json.dumps(dict.fromkeys(known)))
    others: tuple[dict[str, Any], ...] = (
        {"kubernetes": {}},
        {"log": {}, "metrics": {}},
        {"kubernetes": {}, "ssh": {}, "plugins": []},
        {"global": {}, "scrape_configs": [{"kubernetes": 1}]},
    )
    for other in others:
        assert not is_one(yaml.safe_dump(other))
    # Nobody writes it so, and to find out would take reading every text.
    assert not is_one("? backend\n: docker\n? ssh\n: {}")


KEYS = [
    "ssh",
    "auth",
    "log",
    "level",
    "format",
    "metrics",
    "enable",
    "listen",
    "backend",
    "kubernetes",
    "pod",
    "mode",
]
KEYS += ["metadata", "namespace", "labels", "name", "timeouts", "podStart", "password", "bearerToken", "spec"]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(SECRET)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=6),
    max_leaves=30,
)


@given(st.dictionaries(st.sampled_from(KEYS), DOCUMENTS, max_size=6))
def test_any_document_is_read_or_refused(document: dict[str, Any]) -> None:
    seen(yaml.safe_dump(document), document)


@given(st.text() | st.text("{}[]:-&*!<|>'\"#%@` \nabk", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    seen(text, None)


def seen(text: str, document: dict[str, Any] | None) -> None:
    """Reads the text; nothing may come out that is not checked, and no secret where a secret would be."""
    is_one(text)
    try:
        shown = repr(read(text))
    except Unreadable as error:
        shown = str(error)
    assert shown.isprintable()
    public = json.dumps(document and [document.get("kubernetes")], default=str)
    assert SECRET not in shown or SECRET in public  # a namespace or label that is called so

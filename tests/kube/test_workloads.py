"""Which Pods a workload selects, and in which of their containers ContainerSSH runs."""

import json
from typing import Any

import pytest

from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.errors import Malformed
from ssh_session_gc.kube.workloads import Maker, replicas_of, selector_of
from tests.builders import pod, wire_workload


def test_the_selector_of_a_workload() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "env", "operator": "NotIn", "values": ["dev"]},
        {"key": "ssh", "operator": "Exists"},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    workload = wire_workload(matchLabels={"b": "2", "a": "1"}, matchExpressions=expressions)
    assert selector_of(workload) == "a=1,b=2,tier in (a,b),env notin (dev),ssh,!old"
    with pytest.raises(Malformed, match="Near"):
        selector_of(wire_workload(matchExpressions=[{"key": "a", "operator": "Near"}]))


@pytest.mark.parametrize(
    ("containers", "name"),
    [((), ""), (("sshd", "proxy"), "sshd"), (("proxy", "containerssh"), "containerssh")],
)
def test_the_owner_container_of_a_workload(containers: tuple[str, ...], name: str) -> None:
    assert replicas_of(wire_workload(*containers, matchLabels={"a": "1"})) == ("a=1", name)


@pytest.mark.parametrize("template", [None, {}, {"spec": None}, {"spec": {"containers": None}}])
def test_a_workload_may_say_nothing_of_its_containers(template: Any) -> None:
    made = {"metadata": pod()["metadata"], "spec": {"selector": {"matchLabels": {"a": "1"}}, "template": template}}
    assert replicas_of(Decoder(Maker).object(json.dumps(made).encode())) == ("a=1", "")

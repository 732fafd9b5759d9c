"""Which Pods a workload selects."""

import json

import pytest

from ssh_session_gc.kube.errors import Malformed
from ssh_session_gc.kube.workloads import selector_of
from tests.builders import WORKLOADS, pod


def test_the_selector_of_a_workload() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "env", "operator": "NotIn", "values": ["dev"]},
        {"key": "ssh", "operator": "Exists"},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    spec = {"selector": {"matchLabels": {"b": "2", "a": "1"}, "matchExpressions": expressions}}
    workload = WORKLOADS.object(json.dumps({"metadata": pod()["metadata"], "spec": spec}).encode())
    assert selector_of(workload) == "a=1,b=2,tier in (a,b),env notin (dev),ssh,!old"
    spec = {"selector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}
    with pytest.raises(Malformed, match="Near"):
        selector_of(WORKLOADS.object(json.dumps({"metadata": pod()["metadata"], "spec": spec}).encode()))

"""Which Pods a workload selects."""

import pytest

from ssh_session_gc.kube.errors import Malformed
from ssh_session_gc.kube.workloads import selector_of
from tests.builders import wire_workload


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

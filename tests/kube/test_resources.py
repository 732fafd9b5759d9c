"""The paths of resources."""

from ssh_session_gc.kube.resources import DEPLOYMENTS, NAMESPACES, PODS


def test_paths() -> None:
    assert PODS.path("ns") == "/api/v1/namespaces/ns/pods"
    assert PODS.path("ns", "p") == "/api/v1/namespaces/ns/pods/p"
    assert DEPLOYMENTS.path("ns", "d") == "/apis/apps/v1/namespaces/ns/deployments/d"
    assert NAMESPACES.path("", "ns") == "/api/v1/namespaces/ns"

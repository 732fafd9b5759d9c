"""Files in a container: which key of which ConfigMap or Secret each of them is."""

from typing import Any

import msgspec
import pytest

from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.templates import Deployed, Place, places

CONFIG = {"name": "c", "configMap": {"name": "config"}}
SECRET = {"name": "s", "secret": {"secretName": "keys"}}
ITEMS = [{"key": "a", "path": "config.yaml"}, {"key": "b", "path": "other.yaml"}]
BOTH = [{"configMap": {"name": "config"}}, {"secret": {"name": "keys", "items": ITEMS}}, {"downwardAPI": {}}]
FILE = "/etc/containerssh/config.yaml"


def found(mounts: list[dict[str, Any]], *volumes: dict[str, Any], path: str = FILE) -> list[tuple[str, ...]]:
    container = {"name": "x", "volumeMounts": mounts}
    template = {"spec": {"containers": [container], "volumes": list(volumes)}}
    body = {"metadata": {"name": "w", "namespace": "n"}, "spec": {"template": template}}
    workload = Decoder(Deployed).object(msgspec.json.encode(body))
    spec = workload.spec.template.spec
    return [tuple(place) for place in places(path, spec.containers[0], spec)]


@pytest.mark.parametrize(
    ("mounts", "volume", "where"),
    [
        ([{"name": "c", "mountPath": "/etc/containerssh"}], CONFIG, [("ConfigMap", "config", "config.yaml")]),
        ([{"name": "c", "mountPath": "/etc/containerssh/"}], CONFIG, [("ConfigMap", "config", "config.yaml")]),
        ([{"name": "c", "mountPath": "//etc"}], CONFIG, [("ConfigMap", "config", "containerssh/config.yaml")]),
        ([{"name": "s", "mountPath": "/etc/containerssh"}], SECRET, [("Secret", "keys", "config.yaml")]),
        ([{"name": "c", "mountPath": FILE, "subPath": "ssh.yaml"}], CONFIG, [("ConfigMap", "config", "ssh.yaml")]),
        ([{"name": "c", "mountPath": FILE}], CONFIG, []),
        ([{"name": "c", "mountPath": "/etc/container"}], CONFIG, []),
        ([{"name": "absent", "mountPath": "/etc/containerssh"}], CONFIG, []),
        ([{"name": "e", "mountPath": "/etc/containerssh"}], {"name": "e", "emptyDir": {}}, []),
        (
            [{"name": "c", "mountPath": "/etc/containerssh"}],
            {"name": "c", "configMap": {"name": "config", "items": ITEMS}},
            [("ConfigMap", "config", "a")],
        ),
        (
            [{"name": "p", "mountPath": "/etc/containerssh"}],
            {"name": "p", "projected": {"sources": BOTH}},
            [("ConfigMap", "config", "config.yaml"), ("Secret", "keys", "a")],
        ),
        ([{"name": "c", "mountPath": "/etc/containerssh"}], {"name": "c", "configMap": {"name": "../x"}}, []),
        ([{"name": "c"}], CONFIG, [("ConfigMap", "config", "etc/containerssh/config.yaml")]),
    ],
)
def test_where_a_file_comes_from(
    mounts: list[dict[str, Any]], volume: dict[str, Any], where: list[tuple[str, ...]]
) -> None:
    assert found(mounts, volume) == where


def test_the_deepest_mount_hides_the_others() -> None:
    outer, inner = {"name": "c", "mountPath": "/etc"}, {"name": "s", "mountPath": "/etc/containerssh"}
    for mounts in ([outer, inner], [inner, outer]):
        assert found(mounts, CONFIG, SECRET) == [("Secret", "keys", "config.yaml")]
    assert found([outer, inner], CONFIG, SECRET, path="/etc/x/../containerssh/./config.yaml") == [
        ("Secret", "keys", "config.yaml")
    ]


def test_a_place_has_a_name_for_people() -> None:
    assert str(Place("ConfigMap", "config", "config.yaml")) == "ConfigMap config"

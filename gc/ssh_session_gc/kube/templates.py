"""What a workload on the wire says of the Pods that it makes: containers, their commands, and the files in them.

Knows the fields, as narrow as in ``wire``, and which key of which ConfigMap or Secret a file in a container is. Does
not know which container is ContainerSSH's (``preview.discovery``).
"""

from collections.abc import Iterator
from posixpath import normpath
from typing import Any, Literal, NamedTuple

from ssh_session_gc.core.names import is_name
from ssh_session_gc.kube.wire import Name, Wire


class PlacedMeta(Wire):
    """``ObjectMeta`` of what lies in a namespace."""

    name: Name
    namespace: Name


class KeyToPath(Wire):
    """``KeyToPath``."""

    key: str = ""
    path: str = ""


class ConfigMapSource(Wire):
    """``ConfigMapVolumeSource``, and ``ConfigMapProjection`` and ``SecretProjection``, which look the same."""

    name: str = ""
    items: list[KeyToPath] | None = None


class SecretSource(Wire):
    """``SecretVolumeSource``."""

    secret_name: str = ""
    items: list[KeyToPath] | None = None


class Projection(Wire):
    """``VolumeProjection``."""

    config_map: ConfigMapSource | None = None
    secret: ConfigMapSource | None = None


class ProjectedSource(Wire):
    """``ProjectedVolumeSource``."""

    sources: list[Projection] | None = None


class Volume(Wire):
    """``Volume``, of those kinds that hold a configuration."""

    name: str = ""
    config_map: ConfigMapSource | None = None
    secret: SecretSource | None = None
    projected: ProjectedSource | None = None


class Mount(Wire):
    """``VolumeMount``."""

    name: str = ""
    mount_path: str = ""
    sub_path: str = ""


class TemplateContainer(Wire):
    """``Container``, in a template."""

    name: Name
    image: str = ""
    command: list[str] | None = None
    args: list[str] | None = None
    working_dir: str = ""
    volume_mounts: list[Mount] | None = None

    @property
    def words(self) -> list[str]:
        """What it runs, as far as that is not left to the image."""
        return [*(self.command or ()), *(self.args or ())]


class TemplateSpec(Wire):
    """``PodSpec``, in a template."""

    containers: list[TemplateContainer]
    volumes: list[Volume] | None = None
    termination_grace_period_seconds: int | None = None


class Template(Wire):
    """``PodTemplateSpec``."""

    spec: TemplateSpec


class DeployedSpec(Wire):
    """What Deployment, StatefulSet and DaemonSet have in common. A DaemonSet has no ``replicas``."""

    template: Template
    replicas: int | None = None


class Deployed(Wire):
    """A workload with the template of its Pods."""

    metadata: PlacedMeta
    spec: DeployedSpec


class LabelledMeta(Wire):
    """``ObjectMeta``, of which all labels are kept."""

    namespace: Name
    labels: dict[str, str] | None = None


class Labelled(Wire):
    """A Pod by its labels."""

    metadata: LabelledMeta


class Bare(Wire):
    """``ObjectMeta`` of what lies in no namespace."""

    name: Name


class Namespace(Wire):
    """``Namespace``."""

    metadata: Bare


class Data(Wire):
    """``ConfigMap`` or ``Secret``: texts, in a Secret in base64."""

    data: dict[str, Any] | None = None


class Place(NamedTuple):
    """Where the text of a file may be."""

    kind: Literal["ConfigMap", "Secret"]
    name: str
    key: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def places(path: str, container: TemplateContainer, spec: TemplateSpec) -> list[Place]:
    """Where the file at an absolute path comes from: several places where several may have it, none where it lies in
    no ConfigMap or Secret."""
    path = _clean(path)
    found: tuple[int, Mount, str] | None = None
    for mount in container.volume_mounts or ():
        at = _clean(mount.mount_path)
        inside = path == at or path.startswith(f"{at.rstrip('/')}/")
        # The deepest mount hides those above it.
        if inside and (found is None or len(at) > found[0]):
            found = len(at), mount, path[len(at) :]
    if found is None:
        return []
    _, mount, rest = found
    file = f"{mount.sub_path}/{rest}".strip("/")
    volume = next((each for each in spec.volumes or () if each.name == mount.name), None)
    return list(_of(volume, normpath(file))) if volume is not None and file else []


def _clean(path: str) -> str:
    return normpath(f"/{path.lstrip('/')}")


def _of(volume: Volume, file: str) -> Iterator[Place]:
    if volume.config_map is not None:
        yield from _place("ConfigMap", volume.config_map.name, volume.config_map.items, file)
    if volume.secret is not None:
        yield from _place("Secret", volume.secret.secret_name, volume.secret.items, file)
    for each in (volume.projected.sources or ()) if volume.projected is not None else ():
        if each.config_map is not None:
            yield from _place("ConfigMap", each.config_map.name, each.config_map.items, file)
        if each.secret is not None:
            yield from _place("Secret", each.secret.name, each.secret.items, file)


def _place(
    kind: Literal["ConfigMap", "Secret"], name: str, items: list[KeyToPath] | None, file: str
) -> Iterator[Place]:
    keys = [item.key for item in items if item.path == file] if items else [file]
    # The name becomes part of a path.
    if is_name(name):
        yield from (Place(kind, name, key) for key in keys)

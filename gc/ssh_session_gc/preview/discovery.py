"""Which workload is ContainerSSH, and what settings follow from it.

Pure: knows what a workload, a configuration and session Pods say, and trusts none of them. Does not know how they
were read (``discover``) or how a finding is shown (``discovery_text``).
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from posixpath import basename, join

import msgspec

from ssh_session_gc.containerssh.configuration import Configuration, is_label
from ssh_session_gc.core.text import printable
from ssh_session_gc.kube.pods import OWNER_CONTAINER, likely_owner
from ssh_session_gc.kube.templates import Deployed, Labelled, Place, TemplateContainer, places
from ssh_session_gc.settings import OwnerRef, Settings

FOLDER = "/etc/containerssh"
FILE = f"{FOLDER}/config.yaml"
"""Where its image expects the configuration."""
MARGIN = 30.0
"""Seconds by which a limit of ours stays above one of ContainerSSH's."""
_DEFAULTS = Settings()
_FORMATS = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Suspect:
    """A container that is ContainerSSH, or may be by its configuration alone: ``because`` is empty then."""

    owner: OwnerRef
    container: str
    chosen: bool
    """Whether the collector would choose another container by itself."""
    because: tuple[str, ...]
    file: str
    places: tuple[Place, ...]
    """Where its configuration may be."""
    replicas: int | None
    grace: int | None


@dataclass(frozen=True, slots=True)
class Crowd:
    """The session Pods of one namespace."""

    count: int
    labels: tuple[tuple[str, str], ...]
    """Those that all of them have, beside ContainerSSH's own."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One ContainerSSH."""

    suspect: Suspect
    source: str
    """Where its configuration is, or why that is not known."""
    configuration: Configuration | None
    namespace: str | None
    """Of its sessions; None where that cannot be told."""
    crowd: Crowd | None = None
    """Its session Pods, None where there are none or where they may not be listed."""
    remarks: tuple[str, ...] = ()

    @property
    def settings(self) -> Settings:
        """The collector's settings for it."""
        it, policy = self.configuration or Configuration(backend="kubernetes"), _DEFAULTS.policy
        return replace(
            _DEFAULTS,
            session_namespace=self.namespace or _DEFAULTS.session_namespace,
            session_container=str(it.console) if it.console else "",
            owner=self.suspect.owner,
            owner_namespace=self.suspect.owner.namespace,
            owner_container=self.suspect.container if self.suspect.chosen else "",
            owner_logs=_readable(it),
            owner_metrics_port=it.metrics_port,
            policy=msgspec.structs.replace(
                policy,
                start_timeout=_above(policy.start_timeout, it.pod_start + it.command_start),
                abandoned_grace=_above(policy.abandoned_grace, it.pod_stop + MARGIN, margin=0.0),
            ),
        )


def suspects(kind: str, workload: Deployed) -> list[Suspect]:
    """The container of a workload that is ContainerSSH; where none is for certain, those that may be by what is in
    the ConfigMap that they mount. ``kind`` is spelled as in ``--owner``."""
    containers = workload.spec.template.spec.containers
    reasons = [_reasons(each) for each in containers]
    certain = max(range(len(containers)), key=lambda at: len(reasons[at]), default=0)
    if containers and reasons[certain]:
        return [_suspect(kind, workload, containers[certain], reasons[certain])]
    found = (_suspect(kind, workload, each, []) for each in containers)
    return [each for each in found if any(place.kind == "ConfigMap" for place in each.places)]


def suspect_in(kind: str, workload: Deployed, container: str) -> Suspect | None:
    """The container of this name, taken for ContainerSSH because an operator says so; "" is the one that the
    collector chooses by itself. None where the workload has none of that name."""
    containers = workload.spec.template.spec.containers
    name = container or likely_owner([each.name for each in containers])
    found = next((each for each in containers if each.name == name), None)
    return None if found is None else _suspect(kind, workload, found, [])


def _suspect(kind: str, workload: Deployed, container: TemplateContainer, because: Sequence[str]) -> Suspect:
    spec, metadata = workload.spec.template.spec, workload.metadata
    file = _file(container)
    return Suspect(
        owner=OwnerRef(kind, metadata.namespace, metadata.name),
        container=container.name,
        chosen=container.name != likely_owner([each.name for each in spec.containers]),
        because=tuple(because),
        file=file,
        places=tuple(places(file, container, spec)) if file.endswith(_FORMATS) else (),
        replicas=workload.spec.replicas,
        grace=spec.termination_grace_period_seconds,
    )


def _reasons(container: TemplateContainer) -> list[str]:
    found = []
    # registry:5000/containerssh/containerssh:v0.5@sha256:…
    if container.image.partition("@")[0].rpartition("/")[2].partition(":")[0] == "containerssh":
        found.append(f"its image is {printable(container.image)}")
    if container.words and basename(container.words[0]) == "containerssh":
        found.append(f"it runs {printable(container.words[0])}")
    if container.name == OWNER_CONTAINER:
        found.append(f"its container is called {OWNER_CONTAINER}")
    return found


def _file(container: TemplateContainer) -> str:
    """The path of its configuration."""
    words = container.words
    for word, following in zip(words, [*words[1:], ""], strict=False):
        flag, equals, value = word.partition("=")
        # Go takes one dash for two.
        if flag in ("--config", "-config") and (value or following):
            return join(container.working_dir or FOLDER, value if equals else following)
    return FILE


def crowds(pods: Iterable[Labelled]) -> dict[str, Crowd]:
    """The session Pods by namespace."""
    counts: Counter[str] = Counter()
    shared: dict[str, set[tuple[str, str]]] = {}
    for pod in pods:
        namespace, labels = pod.metadata.namespace, set((pod.metadata.labels or {}).items())
        counts[namespace] += 1
        shared[namespace] = shared[namespace] & labels if namespace in shared else labels
    return {name: Crowd(count, tuple(sorted(filter(_telling, shared[name])))) for name, count in counts.items()}


def _telling(label: tuple[str, str]) -> bool:
    return not label[0].startswith("containerssh_") and is_label(*label)


def settle(finding: Finding, crowded: Mapping[str, Crowd]) -> Finding:
    """The finding with its session Pods. Without a configuration, the only namespace that has any is theirs."""
    namespace = finding.namespace
    if finding.configuration is None and len(crowded) == 1:
        namespace = next(iter(crowded))
    crowd = None if namespace is None else crowded.get(namespace)
    return replace(finding, namespace=namespace, crowd=crowd)


def compare(findings: Sequence[Finding], crowded: Mapping[str, Crowd]) -> list[Finding]:
    """The findings with all remarks on them, by what they say of each other, too."""
    known = {finding.namespace for finding in findings}
    strays = [
        f"{crowd.count:,} of ContainerSSH's Pods in namespace {name}, which no configuration found here names"
        for name, crowd in sorted(crowded.items())
        if name not in known
    ]
    return [replace(each, remarks=(*_remarks(each), *_shared(each, findings), *strays)) for each in findings]


def _shared(finding: Finding, findings: Sequence[Finding]) -> Iterator[str]:
    for other in findings:
        if other is finding or finding.namespace is None or other.namespace != finding.namespace:
            continue
        what = f"{other.suspect.owner} makes its sessions in namespace {finding.namespace}, too"
        own = finding.configuration.labels if finding.configuration else ()
        others = dict(other.configuration.labels) if other.configuration else {}
        if apart := [f"{name}={value}" for name, value in own if other.configuration and others.get(name) != value]:
            yield f"{what}: each needs a collector with a selector of its own (--session-selector {apart[0]})"
        else:
            labels = "kubernetes.pod.metadata.labels"
            yield f"{what}: each needs a collector, and a label of its own ({labels}) for its --session-selector"


def _remarks(finding: Finding) -> Iterator[str]:
    """What an operator should know of this ContainerSSH, or change in it."""
    it, suspect = finding.configuration, finding.suspect
    if finding.namespace is None:
        yield "the namespace of its sessions cannot be told: name it with --session-namespace"
    if it is not None:
        yield from making(it)
        yield from _telling_little(it)
    if suspect.replicas == 0:
        yield "it has no replicas: none of it runs"
    grace = 30 if suspect.grace is None else suspect.grace
    if grace < 90:
        wanted = "it ends programs for 20s, then deletes its sessions for podStop: 90 or more leaves it the time"
        yield f"terminationGracePeriodSeconds is {grace}: {wanted}"


def making(it: Configuration) -> Iterator[str]:
    """What stands in the way of knowing what Pods it makes, or makes them others than most."""
    if it.doubts:
        yield f"cannot be understood and is taken for its default: {', '.join(it.doubts)}"
    if it.config_server:
        yield "a configuration server (configserver.url) may have it make other Pods for some connections"
    elif it.backend != "kubernetes":
        yield f"its backend is {it.backend}: it makes no Pods"
    if it.mode == "persistent":
        yield "its mode is persistent: it keeps its Pods on purpose, and they are exempt until they have finished"


def _telling_little(it: Configuration) -> Iterator[str]:
    if it.log_format != "ljson":
        yield f"log.format is {it.log_format}, which tells nothing: owner-logs is off; with ljson it could be on"
    elif it.log_destination != "stdout":
        where = it.log_destination
        yield f"log.destination is {where}, which the kubelet does not have: owner-logs is off; stdout turns it on"
    elif it.log_level != "debug":
        yield f"log.level is {it.log_level}: only debug tells when a connection ends"
    if it.metrics_hidden:
        yield f"it serves its metrics {it.metrics_hidden}: they are not asked for"


def _readable(it: Configuration) -> bool:
    return it.log_format == "ljson" and it.log_destination == "stdout"


def _above(default: float, least: float, margin: float = MARGIN) -> float:
    """The default where it is no less than that, else more, in whole seconds."""
    return default if default >= least else float(math.ceil(least + margin))

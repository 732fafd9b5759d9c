"""A finding as text: lines for people, and the settings for the command line, the environment or the chart.

Knows how each form is written, and that a finding may quote anybody: it is escaped here, a line each, so that a file
of values or variables stays one. Does not know how a finding comes about (``discovery``).
"""

from collections.abc import Iterator, Sequence

import yaml

from ssh_session_gc.core.text import counted, printable
from ssh_session_gc.core.times import format_duration
from ssh_session_gc.preview.discovery import Crowd, Finding
from ssh_session_gc.preview.tables import isolated
from ssh_session_gc.settings import Settings

LONGEST_LINE = 500
MOST_LABELS = 8
"""Labels that are shown."""
_DEFAULTS = Settings()
_MORE = (
    "session_container",
    "owner_container",
    "owner_logs",
    "owner_metrics_port",
    "abandoned_grace",
    "start_timeout",
)
"""The settings that are said where they are not the default."""


def about(finding: Finding) -> list[str]:
    """What was found and why it is believed, in lines."""
    return [isolated(printable(line, LONGEST_LINE)) for line in _about(finding)]


def flags(finding: Finding) -> str:
    """The command line of the daemon."""
    words = ["ssh-session-gc run"]
    for name, value in _given(finding):
        option = name.replace("_", "-")
        words.append(f"--no-{option}" if value is False else f"--{option} {value}")
    return " \\\n  ".join(words)


def env(finding: Finding) -> str:
    """The same as environment variables."""
    written = ((name, str(value).lower() if value is False else value) for name, value in _given(finding))
    return "\n".join(f"SSH_SESSION_GC_{name.upper()}={value}" for name, value in written)


def values(finding: Finding) -> str:
    """The chart's values, as far as they differ from its defaults."""
    config = {_camel(name): value for name, value in _given(finding) if value != _default(name)}
    text: str = yaml.safe_dump({"config": config}, sort_keys=False, width=1000)
    return text.rstrip("\n")


def document(blocks: Sequence[tuple[str, ...]], remarks: Sequence[str], *, mark: str, between: str) -> str:
    """All findings, each with its settings as the last of its lines. ``mark`` stands before every other line;
    ``between`` are the lines that part two findings."""
    gap = [] if mark else [""]
    written = [[*(f"{mark}{line}" for line in lines), *gap, settings] for *lines, settings in blocks]
    head = [mark + isolated(printable(remark, LONGEST_LINE)) for remark in remarks]
    return "\n".join([*head, f"\n{between}".join("\n".join(each) + "\n" for each in written)]).rstrip("\n")


def _given(finding: Finding) -> Iterator[tuple[str, str | int | bool]]:
    """The settings by the names of their options: what says where ContainerSSH is, and what is not the default."""
    settings = finding.settings
    if finding.namespace is not None:
        yield "session_namespace", settings.session_namespace
    yield "session_selector", settings.session_selector
    yield "owner", _written(settings, "owner")
    for name in _MORE:
        if (value := _written(settings, name)) != _default(name):
            yield name, value


def _written(settings: Settings, name: str) -> str | int | bool:
    """A setting as its option spells it."""
    if name == "owner":
        owner = settings.owner
        return f"{owner.kind}/{owner.namespace}/{owner.name}" if owner is not None else "none"
    if name in ("abandoned_grace", "start_timeout"):
        return format_duration(getattr(settings.policy, name))
    value: str | int | bool = getattr(settings, name)
    return value


def _default(name: str) -> str | int | bool:
    return _written(_DEFAULTS, name)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(map(str.capitalize, rest))


def _about(finding: Finding) -> Iterator[str]:
    suspect = finding.suspect
    yield f"ContainerSSH: {suspect.owner}, container {suspect.container}"
    yield f"  because {'; '.join(suspect.because)}"
    if suspect.replicas is not None:
        yield f"  {counted(suspect.replicas, 'replica')}"
    yield f"  configuration: {finding.source}"
    if (it := finding.configuration) is not None:
        made = f"named {it.name}" if it.name else f"named {it.generate_name}…"
        missing = ", made where missing" if it.create_missing else ""
        yield f"  mode {it.mode}, Pods {made} in namespace {it.namespace}{missing}, restartPolicy {it.restart_policy}"
        yield f"  labels {_labels(it.labels)}; the shell is in container {it.console}"
        times = (("podStart", it.pod_start), ("commandStart", it.command_start), ("podStop", it.pod_stop))
        yield f"  timeouts: {', '.join(f'{name} {format_duration(seconds)}' for name, seconds in times)}"
        metrics = f"on port {it.metrics_port}" if it.metrics_port else it.metrics_hidden or "off"
        yield f"  log: {it.log_format}, level {it.log_level}, to {it.log_destination}; metrics: {metrics}"
    yield f"  sessions: {_crowd(finding.namespace, finding.crowd)}"
    for remark in finding.remarks:
        yield f"  ! {remark}"


def _crowd(namespace: str | None, crowd: Crowd | None) -> str:
    if crowd is None:
        return f"no Pod seen in namespace {namespace}" if namespace else "none seen"
    where = f"{counted(crowd.count, 'Pod')} in namespace {namespace}"
    return f"{where}, labels that all have beside ContainerSSH's own: {_labels(crowd.labels)}"


def _labels(labels: Sequence[tuple[str, str]]) -> str:
    shown = [f"{name}={value}" for name, value in labels[:MOST_LABELS]]
    return ", ".join([*shown, *(["…"] if len(labels) > MOST_LABELS else [])]) or "none"

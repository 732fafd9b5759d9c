"""ContainerSSH's configuration: what of it decides which Pods are sessions, and when they are over.

Knows its keys and their defaults (ContainerSSH's source, ``config``), and that anything may be in such a file. Keeps
nothing else of it, since there are passwords and keys in it: what is kept has been checked for its form, and no error
quotes it. Does not know where it was found (``preview.discover``) or what follows from it (``preview.discovery``).
"""

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

import msgspec
import yaml

from ssh_session_gc.core.names import is_name
from ssh_session_gc.core.times import parse_duration

LONGEST_TEXT = 1 << 18
"""Characters of a configuration. Real ones have a few thousand, and this many take seconds to read."""
LONGEST_TIME = 7 * 86400.0
"""Seconds that a timeout may be. A longer one is a slip."""
MOST_LABELS = 64
"""Labels that are looked at."""
METRICS_PATH = "/metrics"
LEVELS = ("emerg", "alert", "crit", "error", "warning", "notice", "info", "debug")
"""The levels of its log. A number stands for the one at its place."""
KEYS = frozenset(
    (
        *("ssh", "configserver", "auth", "log", "metrics", "geoip", "audit", "health", "security"),
        *("backend", "docker", "kubernetes", "sshproxy"),
    )
)
"""Its keys at the top. It refuses a file with any other."""

_PART = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_label_name = re.compile(rf"([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_PART}")
_label_value = re.compile(rf"({_PART})?")
_likely = re.compile(r"""^(\{|["']?(backend|kubernetes|configserver)["']?\s*:)""", re.MULTILINE)
_MODES = ("connection", "session", "persistent")
_POLICIES = ("Always", "OnFailure", "Never")


class Unreadable(Exception):
    """No configuration: a few words that say why, without any of it."""


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration says, by ContainerSSH's own defaults where it says nothing. Times are in seconds."""

    backend: str = "docker"
    config_server: bool = False
    """Whether a server is asked for the backend's part of it, for each connection anew."""
    mode: str = "connection"
    namespace: str = "default"
    labels: tuple[tuple[str, str], ...] = ()
    name: str = ""
    generate_name: str = "containerssh-"
    console: int = 0
    """Which container of a session the user's program runs in."""
    create_missing: bool = False
    restart_policy: str = "Always"
    pod_start: float = 60.0
    command_start: float = 60.0
    pod_stop: float = 60.0
    metrics_port: int = 0
    """0: it serves no metrics that another Pod could ask for."""
    metrics_hidden: str = ""
    """Why it serves metrics that we cannot ask for; "" where that is not so."""
    log_level: str = "notice"
    log_format: str = "ljson"
    log_destination: str = "stdout"
    doubts: tuple[str, ...] = ()
    """The settings that could not be understood, by their keys. Each is taken for its default."""


def read(text: str) -> Configuration:
    """The configuration in the text of a file, YAML or JSON. Raises Unreadable."""
    content = _document(text)
    if not isinstance(content, dict) or not KEYS & content.keys():
        raise Unreadable("is no configuration of ContainerSSH: it has none of its keys")
    return _Reader(content).configuration()


def is_one(text: str) -> bool:
    """Whether a text of unknown origin is certainly ContainerSSH's configuration: it has several of its keys, and no
    other, which it would refuse, and it makes Pods or may be told to."""
    if not _likely.search(text):
        return False  # another program's may be long, and take a second to read
    try:
        content = _document(text)
    except Unreadable:
        return False
    if not isinstance(content, dict) or len(content) < 2 or not content.keys() <= KEYS:
        return False
    return not content.keys().isdisjoint(("backend", "kubernetes", "configserver"))


def is_label(name: str, value: str) -> bool:
    """Whether a label has the form that Kubernetes wants of labels."""
    return bool(_label_name.fullmatch(name) and _label_value.fullmatch(value))


class _Reader:
    """Takes values out of a document by their paths, and notes what it did not understand."""

    def __init__(self, content: dict[Any, Any]) -> None:
        self._content = content
        self._doubts: list[str] = []

    def configuration(self) -> Configuration:
        pod, timeouts = "kubernetes.pod", "kubernetes.timeouts"
        port, hidden = self._metrics()
        return Configuration(
            backend=self._choice("backend", ("docker", "kubernetes", "sshproxy")),
            config_server=bool(self._value("configserver.url", str, "")),
            mode=self._choice(f"{pod}.mode", _MODES),
            namespace=self._name(f"{pod}.metadata.namespace", "default"),
            labels=self._labels(f"{pod}.metadata.labels"),
            name=self._name(f"{pod}.metadata.name", ""),
            generate_name=self._name(f"{pod}.metadata.generateName", "containerssh-", prefix=True),
            console=self._number(f"{pod}.consoleContainerNumber"),
            create_missing=self._value(f"{pod}.createMissingPods", bool, False),
            restart_policy=self._choice(f"{pod}.spec.restartPolicy", _POLICIES),
            pod_start=self._seconds(f"{timeouts}.podStart"),
            command_start=self._seconds(f"{timeouts}.commandStart"),
            pod_stop=self._seconds(f"{timeouts}.podStop"),
            metrics_port=port,
            metrics_hidden=hidden,
            log_level=self._level("log.level"),
            log_format=self._choice("log.format", ("ljson", "text")),
            log_destination=self._choice("log.destination", ("stdout", "file", "syslog")),
            doubts=tuple(dict.fromkeys(self._doubts)),
        )

    def _raw(self, path: str) -> Any:
        """The value at a path; None where there is none."""
        at: Any = self._content
        for key in path.split("."):
            if at is None:
                return None
            if not isinstance(at, dict):
                self._doubt(path)
                return None
            at = at.get(key)
        return at

    def _doubt(self, path: str) -> None:
        self._doubts.append(path)

    def _value(self, path: str, kind: type[Any], default: Any) -> Any:
        value = self._raw(path)
        if value is None:
            return default
        if not isinstance(value, kind):
            self._doubt(path)
            return default
        return value

    def _choice(self, path: str, choices: tuple[str, ...]) -> str:
        """One of the choices, of which the first is the default."""
        value: str = self._value(path, str, "") or choices[0]
        if value not in choices:
            self._doubt(path)
            return choices[0]
        return value

    def _name(self, path: str, default: str, *, prefix: bool = False) -> str:
        value: str = self._value(path, str, "") or default
        # What Kubernetes puts after a prefix ends it as a name ends.
        if value and not is_name(f"{value}x" if prefix else value):
            self._doubt(path)
            return default
        return value

    def _labels(self, path: str) -> tuple[tuple[str, str], ...]:
        value: Mapping[Any, Any] = self._value(path, dict, {})
        pairs = list(islice(value.items(), MOST_LABELS + 1))
        fit = [(k, v) for k, v in pairs if isinstance(k, str) and isinstance(v, str) and is_label(k, v)]
        if len(fit) != len(pairs) or len(pairs) > MOST_LABELS:
            self._doubt(path)
        return tuple(sorted(fit[:MOST_LABELS]))

    def _number(self, path: str) -> int:
        value = self._raw(path)
        if value is None:
            return 0
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1000:
            self._doubt(path)
            return 0
        return value

    def _seconds(self, path: str) -> float:
        """A time, by default a minute. Go takes a number for nanoseconds."""
        value = self._raw(path)
        try:
            if isinstance(value, str):
                value = parse_duration(value)
            elif isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
                value /= 1e9
            elif value is not None:
                raise ValueError
            if value is not None and value > LONGEST_TIME:
                raise ValueError
        except ValueError:
            self._doubt(path)
            value = None
        return value or 60.0

    def _level(self, path: str) -> str:
        value = self._raw(path)
        if value is None:
            return "notice"
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(LEVELS):
            return LEVELS[value]
        if not isinstance(value, str) or value not in LEVELS:
            self._doubt(path)
            return "notice"
        return value

    def _metrics(self) -> tuple[int, str]:
        """The port that may be asked, and why there is none though there are metrics."""
        if not self._value("metrics.enable", bool, False):
            return 0, ""
        host, colon, port = (self._value("metrics.listen", str, "") or "0.0.0.0:9100").rpartition(":")
        if not (colon and port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
            self._doubt("metrics.listen")
            return 0, "on a port that cannot be told"
        if host == "localhost" or host.startswith("127.") or host == "[::1]":
            return 0, "on its own address alone (metrics.listen)"
        if self._raw("metrics.cert") or self._raw("metrics.clientcacert"):
            return 0, "by TLS (metrics.cert)"
        if (self._value("metrics.path", str, "") or METRICS_PATH) != METRICS_PATH:
            return 0, f"elsewhere than at {METRICS_PATH} (metrics.path)"
        return int(port), ""


def _document(text: str) -> Any:
    """The first document of a text, as ContainerSSH takes it."""
    if len(text) > LONGEST_TEXT:
        raise Unreadable(f"is longer than {LONGEST_TEXT >> 10} KiB")
    try:
        return next(iter(yaml.load_all(text, _Loader)), None)
    except yaml.MarkedYAMLError as error:
        # The rest of the error quotes the line.
        at = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise Unreadable(f"is no YAML{at}") from None
    except (yaml.YAMLError, RecursionError, ValueError, TypeError):
        raise Unreadable("is no YAML") from None


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Knows no dates, which nothing here is, and merges no more than a text of this length may mean.

    Written in Python on purpose: the one in C ends the whole process where a text is nested too deeply.
    """

    pairs = 10_000

    def flatten_mapping(self, node: Any) -> None:
        """Merges what ``<<`` names. A few lines of them can multiply to more than there is memory."""
        super().flatten_mapping(node)
        self.pairs -= len(node.value)
        if self.pairs < 0:
            raise yaml.YAMLError


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in each if tag != "tag:yaml.org,2002:timestamp"]
    for first, each in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

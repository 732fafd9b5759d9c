"""The options of the contract: their names, defaults, environment variables and what they accept.

Every option ``--some-name`` has an environment variable ``SSH_SESSION_GC_SOME_NAME``; the flag wins.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.times import format_duration, parse_duration
from ssh_session_gc.daemon.settings import DryRun, OwnerRef, Settings, is_dns_name

F = TypeVar("F", bound=Callable[..., Any])

_POLICY = Policy()
_SETTINGS = Settings()


class _Parsed(click.ParamType[object]):
    """An option whose text is read by a function that raises ValueError with a sentence for the user."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> object:
        """The value; texts that cannot be read end in a usage error."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


def _grace(text: str) -> int:
    seconds = parse_duration(text)
    if seconds < 1 or seconds != int(seconds):
        raise ValueError("a whole number of seconds, at least 1s: 0 would remove Pods whose containers run on")
    return int(seconds)


def _positive(text: str) -> float:
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError("must be more than 0")
    return seconds


def _owner(text: str) -> OwnerRef | str:
    return text if text == "none" else OwnerRef.parse(text)


def _selector(text: str) -> str:
    if not text.strip():
        raise ValueError("an empty selector would match every Pod of the namespace")
    return text


def parse_listen(text: str) -> tuple[str, int]:
    """``host:port``, ``:port`` or ``[::1]:port``. Raises ValueError with a sentence for the user."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("write it as host:port or :port, such as :8080")
    return host.removeprefix("[").removesuffix("]"), int(port)


DURATION = _Parsed("duration", parse_duration)
POSITIVE_DURATION = _Parsed("duration", _positive)
GRACE = _Parsed("duration", _grace)
OWNER = _Parsed("kind/namespace/name", _owner)
NAME = _Parsed("name", is_dns_name)
SELECTOR = _Parsed("selector", _selector)
LISTEN = _Parsed("host:port", parse_listen)


def option(name: str, text: str, **settings: Any) -> Callable[[F], F]:
    """A click option with its environment variable and its default shown."""
    variable = "SSH_SESSION_GC_" + name.removeprefix("--").replace("-", "_").upper()
    return click.option(
        name, envvar=variable, show_default=settings.get("default") is not None, help=text, **settings
    )


def _duration(name: str, default: float, text: str, kind: click.ParamType[object] = DURATION) -> Callable[[F], F]:
    return option(name, text, type=kind, default=format_duration(default))


def _all(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(command: F) -> F:
        for decorator in reversed(options):
            command = decorator(command)
        return command

    return decorate


common = _all(
    option("--kubeconfig", "Kubeconfig to use; without one, $KUBECONFIG, ~/.kube/config, or the Pod's own account."),
    option("--context", "Context of the kubeconfig."),
    option("--session-namespace", "Namespace of the session Pods.", type=NAME, default=_SETTINGS.session_namespace),
    option(
        "--session-selector", "Label selector of the session Pods.", type=SELECTOR, default=_SETTINGS.session_selector
    ),
    option(
        "--owner",
        "Workload that ContainerSSH runs in, as kind/namespace/name (deployment, statefulset, daemonset); "
        "'none' turns the Ownerless rule off.",
        type=OWNER,
        default="deployment/containerssh/containerssh",
    ),
    option("--owner-selector", "Label selector of the ContainerSSH Pods, in place of --owner.", type=SELECTOR),
    option(
        "--owner-namespace",
        "Namespace for --owner-selector.",
        type=NAME,
        default=_SETTINGS.owner_namespace,
    ),
    option(
        "--owner-container",
        "Container that ContainerSSH runs in; without it 'containerssh' if there is one, otherwise the first.",
        default="",
    ),
    _duration("--max-age", _POLICY.max_age, "Age at which a session is over (OverAge); 0 turns the rule off."),
    _duration(
        "--max-ttl", _POLICY.max_ttl, "The most that a session's ssh-session-gc/ttl may ask for.", POSITIVE_DURATION
    ),
    _duration("--owner-grace", _POLICY.owner_grace, "Time without a living owner until a session is Ownerless."),
    _duration(
        "--clock-tolerance", _POLICY.clock_tolerance, "How far the clocks of nodes and API server may be apart."
    ),
    _duration(
        "--start-timeout",
        _POLICY.start_timeout,
        "Time for a session to start (StartTimeout); keep it above ContainerSSH's podStart; 0 turns the rule off.",
    ),
    _duration("--finished-grace", _POLICY.finished_grace, "Time that a finished session stays (Finished)."),
    _duration(
        "--deletion-grace", _SETTINGS.deletion_grace, "Time that a session gets to end when it is deleted.", GRACE
    ),
    _duration(
        "--force-after",
        _POLICY.force_after,
        "Time after which a deletion that led to nothing is repeated with grace 0; 0 never does.",
    ),
    option("--log-format", "Form of the log.", type=click.Choice(["auto", "json", "console"]), default="auto"),
    option(
        "--log-level", "Least level logged.", type=click.Choice(["debug", "info", "warning", "error"]), default="info"
    ),
)

run_only = _all(
    option(
        "--dry-run",
        "Delete nothing: 'client' only says what it would delete, 'server' also asks the API server. "
        "Without a value: client.",
        type=click.Choice([str(mode) for mode in DryRun]),
        is_flag=False,
        flag_value=str(DryRun.CLIENT),
        default=str(DryRun.NONE),
    ),
    option("--concurrency", "Deletions at once.", type=click.IntRange(1, 1000), default=_SETTINGS.concurrency),
    option(
        "--max-deletes-per-minute",
        "The most deletions in any minute; 0 for no limit.",
        type=click.IntRange(0, 1_000_000),
        default=_SETTINGS.max_deletes_per_minute,
    ),
    option("--listen", "Address for /metrics, /healthz and /readyz.", type=LISTEN, default=":8080"),
)


def settings(given: dict[str, Any]) -> Settings:
    """The settings from the values of the options. Raises click.UsageError where they contradict each other."""
    owner, selector, namespace = given["owner"], given["owner_selector"] or "", given["owner_namespace"]
    context = click.get_current_context()
    if selector:
        if context.get_parameter_source("owner") is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError("--owner and --owner-selector exclude each other: give one of them")
        owner = None
    elif owner == "none":
        owner = None
    else:
        namespace = owner.namespace
    return Settings(
        session_namespace=given["session_namespace"],
        session_selector=given["session_selector"],
        owner=owner,
        owner_selector=selector,
        owner_namespace=namespace,
        owner_container=given["owner_container"],
        policy=Policy(
            max_age=given["max_age"],
            max_ttl=given["max_ttl"],
            owner_grace=given["owner_grace"],
            clock_tolerance=given["clock_tolerance"],
            start_timeout=given["start_timeout"],
            finished_grace=given["finished_grace"],
            force_after=given["force_after"],
            ownerless=bool(owner or selector),
        ),
        deletion_grace=given["deletion_grace"],
        dry_run=DryRun(given.get("dry_run", DryRun.NONE)),
        concurrency=given.get("concurrency", 1),
        max_deletes_per_minute=given.get("max_deletes_per_minute", 0),
    )

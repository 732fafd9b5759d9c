"""The options of the contract: their names, defaults, environment variables and meanings.

Every option ``--some-name`` has an environment variable ``SSH_SESSION_GC_SOME_NAME``; the flag wins.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ssh_session_gc.cli.params import (
    DURATION,
    GRACE,
    INSTANT,
    LISTEN,
    NAME,
    OWNER,
    POSITIVE_DURATION,
    SELECTOR,
    F,
    Group,
    option,
)
from ssh_session_gc.core.model import Action, Reason
from ssh_session_gc.core.names import parse_name
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.times import format_duration
from ssh_session_gc.settings import DryRun, LeaseRef, Settings

OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where a Pod finds its namespace (Kubernetes documentation, "Accessing the Kubernetes API from a Pod")."""

_POLICY = Policy()
_SETTINGS = Settings()


def _duration(name: str, default: float, text: str, kind: click.ParamType[object] = DURATION) -> Callable[[F], F]:
    return option(name, text, type=kind, default=format_duration(default), group=Group.RULES)


def _all(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(command: F) -> F:
        for decorator in reversed(options):
            command = decorator(command)
        return command

    return decorate


_COMMON = (
    option(
        "--kubeconfig",
        "Kubeconfig to use; without one, $KUBECONFIG, ~/.kube/config, or the Pod's own account.",
        group=Group.CLUSTER,
    ),
    option("--context", "Context of the kubeconfig.", group=Group.CLUSTER),
    option(
        "--sandbox",
        "Use a simulated cluster, made for this one run, that has a past with every kind of session in it.",
        is_flag=True,
        group=Group.CLUSTER,
    ),
    option(
        "--session-namespace",
        "Namespace of the session Pods.",
        type=NAME,
        default=_SETTINGS.session_namespace,
        group=Group.WHO,
    ),
    option(
        "--session-selector",
        "Label selector of the session Pods.",
        type=SELECTOR,
        default=_SETTINGS.session_selector,
        group=Group.WHO,
    ),
    option(
        "--owner",
        "Workload that ContainerSSH runs in, as kind/namespace/name (deployment, statefulset, daemonset); "
        "'none' turns the Ownerless rule off.",
        type=OWNER,
        default="deployment/containerssh/containerssh",
        group=Group.WHO,
    ),
    option(
        "--owner-selector",
        "Label selector of the ContainerSSH Pods, in place of --owner.",
        type=SELECTOR,
        group=Group.WHO,
    ),
    option(
        "--owner-namespace",
        "Namespace for --owner-selector.",
        type=NAME,
        default=_SETTINGS.owner_namespace,
        group=Group.WHO,
    ),
    option(
        "--owner-container",
        "Container that ContainerSSH runs in; without it 'containerssh' if there is one, otherwise the first.",
        default="",
        group=Group.WHO,
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
    option(
        "--log-format",
        "Form of the log.",
        type=click.Choice(["auto", "json", "console"]),
        default="auto",
        group=Group.OUTPUT,
    ),
)


def common(log_level: str) -> Callable[[F], F]:
    """The options that all commands share; each logs from another level on unless told."""
    levels = click.Choice(["debug", "info", "warning", "error"])
    level = option("--log-level", "Least level logged.", type=levels, default=log_level, group=Group.OUTPUT)
    return _all(*_COMMON, level)


run_only = _all(
    option(
        "--dry-run",
        "Delete nothing: 'client' only says what it would delete, 'server' also asks the API server. "
        "Without a value: client.",
        type=click.Choice([str(mode) for mode in DryRun]),
        is_flag=False,
        flag_value=str(DryRun.CLIENT),
        default=str(DryRun.NONE),
        group=Group.DELETION,
    ),
    option(
        "--concurrency",
        "Deletions at once.",
        type=click.IntRange(1, 1000),
        default=_SETTINGS.concurrency,
        group=Group.DELETION,
    ),
    option(
        "--max-deletes-per-minute",
        "The most deletions in any minute; 0 for no limit.",
        type=click.IntRange(0, 1_000_000),
        default=_SETTINGS.max_deletes_per_minute,
        group=Group.DELETION,
    ),
    option(
        "--listen",
        "Address for /metrics, /healthz and /readyz.",
        type=LISTEN,
        default=":8080",
        group=Group.SERVICE,
    ),
)

plan_only = _all(
    option(
        "--output",
        "Form of the plan. 'name' lists what would be deleted now, unless --verdict says otherwise.",
        "-o",
        type=click.Choice(["table", "wide", "json", "yaml", "name"]),
        default="table",
        group=Group.OUTPUT,
    ),
    option(
        "--filename",
        "Read what `kubectl get pods,deployments -A -o json` (or yaml) printed, in place of a cluster; '-' is stdin.",
        "-f",
        group=Group.CLUSTER,
    ),
    option(
        "--at",
        "With --filename: judge as of this time, such as 2026-11-23T03:10:00Z.",
        type=INSTANT,
        group=Group.CLUSTER,
    ),
    option(
        "--reason",
        "Only sessions with this reason; repeatable.",
        group=Group.FILTER,
        type=click.Choice([str(reason) for reason in Reason], case_sensitive=False),
        multiple=True,
    ),
    option(
        "--verdict",
        "Only sessions with this verdict; repeatable.",
        group=Group.FILTER,
        type=click.Choice([str(action) for action in Action], case_sensitive=False),
        multiple=True,
    ),
    option("--user", "Only sessions of this user; repeatable.", multiple=True, group=Group.FILTER),
    option("--exit-code", "End with status 3 if something would be deleted now.", is_flag=True, group=Group.OUTPUT),
    option(
        "--watch",
        "Go on and show the plan as the cluster changes, until stopped.",
        "-w",
        is_flag=True,
        group=Group.OUTPUT,
    ),
)

lease = _all(
    option(
        "--leader-elect",
        "Of several replicas, only the one that holds the lease deletes; the others stand by.",
        is_flag=True,
        group=Group.LEASE,
    ),
    option(
        "--lease-namespace",
        "Namespace of the lease; without it the Pod's own, or else the session namespace.",
        type=NAME,
        group=Group.LEASE,
    ),
    option("--lease-name", "Name of the lease.", type=NAME, default="ssh-session-gc", group=Group.LEASE),
)


def pod_name(text: str) -> str:
    """The name of a Pod, with or without kubectl's ``pod/`` before it. Raises click.UsageError."""
    name = text.removeprefix("pod/")
    try:
        return parse_name(name)
    except ValueError as error:
        raise click.UsageError(f"{name!r} is no name of a Pod: {error}") from None


def settings(given: dict[str, Any], context: click.Context) -> Settings:
    """The settings from the values of the options. Raises click.UsageError where they contradict each other."""
    owner, selector, namespace = given["owner"], given["owner_selector"] or "", given["owner_namespace"]
    for other in ("kubeconfig", "context"):
        if given["sandbox"] and given[other]:
            raise click.UsageError(f"--sandbox and --{other} exclude each other: give one of them")
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
        lease=_lease(given),
    )


def _lease(given: dict[str, Any]) -> LeaseRef | None:
    if not given.get("leader_elect"):
        return None
    namespace = given["lease_namespace"]
    if not namespace:
        namespace = OWN_NAMESPACE.read_text().strip() if OWN_NAMESPACE.exists() else given["session_namespace"]
    return LeaseRef(namespace, given["lease_name"])

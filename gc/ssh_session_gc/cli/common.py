"""The options that every command on a cluster takes, and the settings that come of them.

A new one is a field of ``CommonOptions`` and a line in ``CommonOptions.settings``.
"""

from typing import Literal

import click

from ssh_session_gc.cli.cluster import ClusterOptions
from ssh_session_gc.cli.options import Section, given, option, option_class, switch
from ssh_session_gc.cli.values import CONTAINER, DURATION, GRACE, NAME, OWNER, POSITIVE_DURATION, SELECTOR, TEXT
from ssh_session_gc.cli.work import LogOptions
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.times import format_duration
from ssh_session_gc.settings import OwnerRef, Settings

_POLICY = Policy()
_SETTINGS = Settings()


def _rule(text: str, default: float, kind: click.ParamType[float] = DURATION) -> float:
    return option(text, kind, Section.RULES, default=format_duration(default))


@option_class
class CommonOptions:
    """Where the cluster is, who is a session and who an owner, the limits of the rules, and the log."""

    target: ClusterOptions = ClusterOptions()
    session_namespace: str = option(
        "Namespace of the session Pods.", NAME, Section.WHO, default=_SETTINGS.session_namespace
    )
    session_selector: str = option(
        "Label selector of the session Pods; by default whatever ContainerSSH made.",
        SELECTOR,
        Section.WHO,
        default=_SETTINGS.session_selector,
    )
    session_container: str | None = option(
        "Container in which the shell is, by name or by number from 0 (ContainerSSH's consoleContainerNumber); "
        "without it the first.",
        CONTAINER,
        Section.WHO,
    )
    owner: OwnerRef | Literal["none"] = option(
        "Workload that ContainerSSH runs in, as kind/namespace/name (deployment, statefulset, daemonset); "
        "'none' turns the Ownerless and the Abandoned rule off.",
        OWNER,
        Section.WHO,
        default="deployment/containerssh/containerssh",
    )
    owner_given: bool = given("owner")
    owner_selector: str | None = option(
        "Label selector of the ContainerSSH Pods, in place of --owner.", SELECTOR, Section.WHO
    )
    owner_namespace: str = option(
        "Namespace for --owner-selector.", NAME, Section.WHO, default=_SETTINGS.owner_namespace
    )
    owner_container: str | None = option(
        "Container that ContainerSSH runs in; without it 'containerssh' if there is one, otherwise the first.",
        TEXT,
        Section.WHO,
    )
    owner_logs: bool = switch(
        "Follow ContainerSSH's log, which tells whose sessions are over and who made which.",
        Section.WHO,
        default=_SETTINGS.owner_logs,
    )
    owner_metrics_port: int = option(
        "Port of ContainerSSH's metrics, which tell when nobody is connected to it; 0 does not ask. Its own is 9100.",
        click.IntRange(0, 65535),
        Section.WHO,
        default=str(_SETTINGS.owner_metrics_port),
    )
    max_age: float = _rule("Age at which a session is over (OverAge); 0 turns the rule off.", _POLICY.max_age)
    max_ttl: float = _rule(
        "The most that a session's ssh-session-gc/ttl may ask for.", _POLICY.max_ttl, POSITIVE_DURATION
    )
    owner_grace: float = _rule("Time without a living owner until a session is Ownerless.", _POLICY.owner_grace)
    abandoned_grace: float = _rule(
        "Time since ContainerSSH was done with a session until it is Abandoned; keep it above its podStop.",
        _POLICY.abandoned_grace,
    )
    clock_tolerance: float = _rule(
        "How far the clocks of nodes and API server may be apart.", _POLICY.clock_tolerance
    )
    start_timeout: float = _rule(
        "Time for a session to start (StartTimeout); keep it above ContainerSSH's podStart and commandStart; "
        "0 turns the rule off.",
        _POLICY.start_timeout,
    )
    finished_grace: float = _rule("Time that a finished session stays (Finished).", _POLICY.finished_grace)
    deletion_grace: int = option(
        "Time that a session gets to end when it is deleted.",
        GRACE,
        Section.RULES,
        default=format_duration(_SETTINGS.deletion_grace),
    )
    force_after: float = _rule(
        "Time after which a deletion that led to nothing is repeated with grace 0; 0 never does.", _POLICY.force_after
    )
    logging: LogOptions = LogOptions()

    def settings(self) -> Settings:
        """Returns what they set. Raises click.UsageError where they contradict each other."""
        self.target.refuse_contradictions()
        if self.owner_selector and self.owner_given:
            raise click.UsageError("--owner and --owner-selector exclude each other: give one of them")
        owner = self.owner if isinstance(self.owner, OwnerRef) and not self.owner_selector else None
        return Settings(
            session_namespace=self.session_namespace,
            session_selector=self.session_selector,
            session_container=self.session_container or "",
            owner=owner,
            owner_selector=self.owner_selector or "",
            owner_namespace=owner.namespace if owner else self.owner_namespace,
            owner_container=self.owner_container or "",
            owner_logs=self.owner_logs and bool(owner or self.owner_selector),
            owner_metrics_port=self.owner_metrics_port if owner or self.owner_selector else 0,
            policy=Policy(
                max_age=self.max_age,
                max_ttl=self.max_ttl,
                owner_grace=self.owner_grace,
                abandoned_grace=self.abandoned_grace,
                clock_tolerance=self.clock_tolerance,
                start_timeout=self.start_timeout,
                finished_grace=self.finished_grace,
                force_after=self.force_after,
                ownerless=bool(owner or self.owner_selector),
            ),
            deletion_grace=self.deletion_grace,
        )

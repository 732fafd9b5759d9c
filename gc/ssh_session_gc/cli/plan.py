"""The command ``plan``: a snapshot, a dump or a watch of the cluster, judged.

Does not know how a plan reaches the terminal or the pipe (``plan_output``).
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from ssh_session_gc.cli.cluster import ClusterOptions, cluster
from ssh_session_gc.cli.command import command
from ssh_session_gc.cli.common import CommonOptions
from ssh_session_gc.cli.options import Section, flag, option, option_class, repeated
from ssh_session_gc.cli.values import INSTANT, POD_FILE, TEXT, Form, OneOf, PodFile
from ssh_session_gc.cli.work import work
from ssh_session_gc.containerssh.labels import label
from ssh_session_gc.core.model import Action, Reason
from ssh_session_gc.core.plan import Snapshot, Wanted, make
from ssh_session_gc.core.text import printable
from ssh_session_gc.settings import Settings

SOMETHING_DUE = 3
"""Exit status with ``--exit-code`` where something would be deleted now."""


@option_class
class PlanOptions:
    """The options of ``plan``."""

    common: CommonOptions = CommonOptions()
    output: Form = option(
        "Form of the plan. 'name' lists what would be deleted now, unless --verdict says otherwise.",
        OneOf(Form),
        Section.OUTPUT,
        "-o",
        default=Form.TABLE.value,
    )
    filename: str | None = option(
        "Read what `kubectl get pods,deployments -A -o json` (or yaml) printed, in place of a cluster; '-' is stdin.",
        TEXT,
        Section.CLUSTER,
        "-f",
    )
    at: float | None = option(
        "With --filename: judge as of this time, such as 2026-11-23T03:10:00Z.", INSTANT, Section.CLUSTER
    )
    owner_log: tuple[PodFile, ...] = repeated(
        "With --filename: a file of what `kubectl logs POD` printed for a ContainerSSH Pod; repeatable.",
        POD_FILE,
        Section.CLUSTER,
    )
    reason: tuple[Reason, ...] = repeated(
        "Only sessions with this reason; repeatable.", OneOf(Reason, case_sensitive=False), Section.FILTER
    )
    verdict: tuple[Action, ...] = repeated(
        "Only sessions with this verdict; repeatable.", OneOf(Action, case_sensitive=False), Section.FILTER
    )
    user: tuple[str, ...] = repeated("Only sessions of this user; repeatable.", TEXT, Section.FILTER)
    exit_code: bool = flag("End with status 3 if something would be deleted now.", Section.OUTPUT)
    watch: bool = flag("Go on and show the plan as the cluster changes, until stopped.", Section.OUTPUT, "-w")

    def wanted(self) -> Wanted:
        """Returns which sessions to show."""
        verdicts = self.verdict
        if self.output is Form.NAME and not verdicts:
            # What comes out is made to be passed on to kubectl delete.
            verdicts = (Action.COLLECT,)
        # As people write it, and as ContainerSSH has to.
        users = {*self.user, *(label(user) for user in self.user)}
        return Wanted(verdicts, self.reason, users)

    def refuse_contradictions(self) -> None:
        """Raises click.UsageError where two options exclude each other."""
        if self.at is not None and not self.filename:
            raise click.UsageError("--at goes with --filename: a cluster is judged by its own clock")
        if self.owner_log and not self.filename:
            raise click.UsageError("--owner-log goes with --filename: a cluster's own logs are read")
        if self.owner_log and not self.common.settings().owner_logs:
            raise click.UsageError("--owner-log excludes --no-owner-logs and --owner none: they leave all logs aside")
        target = self.common.target
        clusters = (("watch", self.watch), ("kubeconfig", target.kubeconfig), ("context", target.context))
        for name, value in (*clusters, ("sandbox", target.sandbox)):
            if self.filename and value:
                raise click.UsageError(f"--filename and --{name} exclude each other: give one of them")
        for name, value in (("--output name", self.output is Form.NAME), ("--exit-code", self.exit_code)):
            if self.watch and value:
                raise click.UsageError(
                    f"--watch and {name} exclude each other: the one goes on, the other is an answer"
                )


@command(
    examples=[
        ("", "what would be deleted now, and what later"),
        (" -o wide", "with the evidence for each"),
        (" --watch", "as the cluster changes"),
        (" --verdict collect -o name", "only the names of what would be deleted now"),
        (" -f dump.json --at 2026-11-23T03:10:00Z", "judge a dump of the cluster, as of then"),
        (" -f dump.json --owner-log containerssh-5d8f=owner.log", "with what that Pod has logged"),
    ],
)
def plan(options: PlanOptions) -> int:
    """Show what would happen to every session, and why; delete nothing."""
    settings = options.common.settings()
    options.refuse_contradictions()
    return work(_plan(options, settings), options.common.logging)


async def _plan(options: PlanOptions, settings: Settings) -> int:
    from ssh_session_gc.cli import plan_output
    from ssh_session_gc.preview.snapshot import CannotRead

    target, wanted = options.common.target, options.wanted()
    try:
        if options.watch:
            await plan_output.watch(target, settings, wanted, options.output)
            return 0
        if options.filename:
            snapshot = _from_file(options.filename, settings, options.at, options.owner_log)
        else:
            snapshot = await _from_cluster(target, settings)
    except CannotRead as error:
        raise click.ClickException(str(error)) from None
    made = make(snapshot, settings.policy, settings.session_namespace, wanted)
    plan_output.remark(snapshot.remarks)
    plan_output.show(made, options.output)
    return SOMETHING_DUE if options.exit_code and made.summary[Action.COLLECT] else 0


async def _from_cluster(target: ClusterOptions, settings: Settings) -> Snapshot:
    from ssh_session_gc.cli.plan_output import Progress
    from ssh_session_gc.preview.snapshot import read
    from ssh_session_gc.telemetry.metrics import Metrics

    async with cluster(target, Metrics(dry_run=True)) as api:
        progress = Progress()
        try:
            return await read(api, settings, progress=progress.tell)
        finally:
            progress.end()


def _from_file(name: str, settings: Settings, at: float | None, logs: Sequence[PodFile]) -> Snapshot:
    from ssh_session_gc.preview import dump
    from ssh_session_gc.preview.snapshot import CannotRead

    source = "stdin" if name == "-" else printable(name)
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise CannotRead(f"cannot read {source}: {error.strerror}; check --filename") from None
    return dump.read(data, source, settings, time.time(), at=at, logs=logs)

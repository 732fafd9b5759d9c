"""The command ``discover``: ContainerSSH in a cluster, and the settings that follow from it."""

from enum import StrEnum

import click

from ssh_session_gc.cli.cluster import ClusterOptions, cluster
from ssh_session_gc.cli.command import command
from ssh_session_gc.cli.options import Section, option, option_class, repeated
from ssh_session_gc.cli.values import NAME, OneOf
from ssh_session_gc.cli.work import LogOptions, work


class Written(StrEnum):
    """The forms in which settings can be written."""

    FLAGS = "flags"
    VALUES = "values"
    ENV = "env"


@option_class
class DiscoverOptions:
    """The options of ``discover``."""

    target: ClusterOptions = ClusterOptions()
    namespace: tuple[str, ...] = repeated(
        "Look in this namespace only; repeatable. Without it, wherever you may look.", NAME, Section.CLUSTER
    )
    output: Written = option(
        "Form of the settings: flags of `run`, values of the chart, or environment variables. In the last two "
        "everything else is a comment.",
        OneOf(Written),
        Section.OUTPUT,
        "-o",
        default=Written.FLAGS.value,
    )
    logging: LogOptions = LogOptions()


@command(
    examples=[
        ("", "where is ContainerSSH, and what does the daemon have to be told?"),
        (" -o values > values.yaml", "for the chart: helm install -f values.yaml …"),
        (" --namespace containerssh", "with permissions in one namespace"),
    ],
)
def discover(options: DiscoverOptions) -> int:
    """Find ContainerSSH in the cluster and write the settings for it; change nothing."""
    options.target.refuse_contradictions()
    return work(_discover(options), options.logging)


async def _discover(options: DiscoverOptions) -> int:
    from ssh_session_gc.cli.plan_output import remark
    from ssh_session_gc.preview import discovery_text as text
    from ssh_session_gc.preview.discover import NothingFound
    from ssh_session_gc.preview.discover import discover as look
    from ssh_session_gc.telemetry.metrics import Metrics

    async with cluster(options.target, Metrics(dry_run=True)) as api:
        try:
            found = await look(api, options.namespace)
        except NothingFound as error:
            raise click.ClickException(str(error)) from None
    remarks = list(found.remarks)
    if len(found.findings) > 1:
        remarks.append(f"{len(found.findings)} were found: each needs a collector of its own, so take one of them")
    comments = options.output is not Written.FLAGS
    if comments:
        remark(remarks)  # for those, too, who redirect the rest into a file
    write = {Written.FLAGS: text.flags, Written.VALUES: text.values, Written.ENV: text.env}[options.output]
    blocks = [(*text.about(finding), write(finding)) for finding in found.findings]
    between = "---\n" if options.output is Written.VALUES else ""
    click.echo(text.document(blocks, remarks, mark="# " if comments else "", between=between))
    return 0

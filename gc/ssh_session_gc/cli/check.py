"""The command ``check``: the preflight, a line for each question."""

from collections import Counter
from dataclasses import replace

from ssh_session_gc.cli.cluster import ClusterOptions, cluster
from ssh_session_gc.cli.command import command
from ssh_session_gc.cli.common import CommonOptions
from ssh_session_gc.cli.lease import LeaseOptions
from ssh_session_gc.cli.options import option_class
from ssh_session_gc.cli.work import work
from ssh_session_gc.core.text import printable
from ssh_session_gc.settings import Settings


@option_class
class CheckOptions:
    """The options of ``check``."""

    common: CommonOptions = CommonOptions()
    election: LeaseOptions = LeaseOptions()

    def settings(self) -> Settings:
        """Returns what they set. Raises click.UsageError where they contradict each other."""
        return replace(self.common.settings(), lease=self.election.lease(self.common.session_namespace))


@command(
    examples=[
        ("", "would the daemon find what it needs, and be allowed to do it?"),
        (" --leader-elect --lease-namespace ssh-gc", "with its lease"),
    ],
)
def check(options: CheckOptions) -> int:
    """Check everything that the daemon depends on; change nothing."""
    return work(_check(options.common.target, options.settings()), options.common.logging)


async def _check(target: ClusterOptions, settings: Settings) -> int:
    """Shows the findings; returns 1 if one of them is bad."""
    from rich.console import Console
    from rich.text import Text

    from ssh_session_gc.preview.check import check as findings
    from ssh_session_gc.preview.permissions import Mark
    from ssh_session_gc.telemetry.metrics import Metrics

    styles = {Mark.GOOD: "green", Mark.BAD: "bold red", Mark.OPEN: "dim"}
    console = Console(highlight=False, soft_wrap=True)
    marks: Counter[Mark] = Counter()
    async with cluster(target, Metrics(dry_run=True)) as api:
        async for mark, what, todo in findings(api, settings):
            marks[mark] += 1
            console.print(Text.assemble((mark, styles[mark]), " ", printable(what, 500)))
            if todo:
                console.print(Text(f"    {printable(todo, 500)}"))
    bad = marks[Mark.BAD]
    console.print(f"\n{marks.total()} checks, {bad} to mend" if bad else f"\n{marks.total()} checks, nothing to mend")
    return 1 if bad else 0

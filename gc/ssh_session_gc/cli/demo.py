"""The command ``demo``: the daemon at work on a simulated cluster, as a story."""

from ssh_session_gc.cli.command import command
from ssh_session_gc.cli.options import Section, flag, option, option_class
from ssh_session_gc.cli.values import LISTEN, Address


@option_class
class DemoOptions:
    """The options of ``demo``."""

    keep_running: bool = flag("Go on after the story, with the metrics up, until stopped.", Section.OTHER)
    listen: Address = option("Address for the metrics.", LISTEN, Section.OTHER, default="127.0.0.1:0")


@command()
def demo(options: DemoOptions) -> int:
    """Show the daemon at work on a simulated cluster, in under a minute; no cluster is needed."""
    import asyncio

    from ssh_session_gc.demo import play

    return asyncio.run(play(*options.listen, keep_running=options.keep_running))

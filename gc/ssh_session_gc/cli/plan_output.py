"""How a plan reaches a terminal or a pipe, once or as often as it changes.

Loads rich and the API client: ``plan`` imports it only when it runs.
"""

import asyncio
import sys
from collections.abc import Iterable

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ssh_session_gc.cli.cluster import ClusterOptions, cluster
from ssh_session_gc.cli.values import Form
from ssh_session_gc.cli.work import stopped
from ssh_session_gc.core.plan import Plan, Wanted
from ssh_session_gc.core.text import printable
from ssh_session_gc.core.times import format_instant
from ssh_session_gc.preview import document, tables
from ssh_session_gc.preview.watch import LivePlan, watching
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics

LONG = 1.0
"""Seconds after which the terminal shows how far the reading has got."""
TICK = 1.0
"""Seconds between two pictures on a terminal, on which ages are seen to grow."""
_AROUND = 9
"""Lines of a terminal that the sessions of a watch leave free for what stands around them."""


class Progress:
    """The number of sessions read so far, on stderr where that is a terminal and the reading takes long.

    Nobody knows how many there will be: the API server does not count what a selector selects.
    """

    def __init__(self) -> None:
        self._status = Console(stderr=True).status("reading sessions")
        self._timer = asyncio.get_running_loop().call_later(LONG, self._status.start)

    def tell(self, count: int) -> None:
        """Shows another number."""
        self._status.update(f"reading sessions: {count:,} so far")

    def end(self) -> None:
        """Leaves nothing on the terminal."""
        self._timer.cancel()
        self._status.stop()


def remark(lines: Iterable[str]) -> None:
    """Prints on stderr what an operator should know beside the plan."""
    for line in lines:
        click.echo(f"note: {printable(line, 500)}", err=True)


def show(plan: Plan, form: Form, *, again: bool = False) -> None:
    """Prints a plan; ``again`` sets it off from the one before."""
    match form:
        case Form.JSON:
            text = document.to_json(plan)
        case Form.YAML:
            text = ("---\n" if again else "") + document.to_yaml(plan)
        case Form.NAME:
            text = document.to_names(plan)
        case Form.TABLE | Form.WIDE:
            wide = form is Form.WIDE
            console = Console(highlight=False)
            if console.is_terminal:
                console.print(tables.styled(plan, console, wide=wide))
                return
            text = (f"\n{format_instant(plan.now)}\n" if again else "") + tables.plain(plan, wide=wide)
    click.echo(text, nl=False)


async def watch(target: ClusterOptions, settings: Settings, wanted: Wanted, form: Form) -> None:
    """Shows the plan as the cluster changes, until a signal ends it. Raises CannotRead."""
    stop = stopped()
    metrics = Metrics(dry_run=True)
    console = Console(highlight=False)
    async with cluster(target, metrics, lively=True) as api, watching(api, settings, metrics) as watched:
        if console.is_terminal and form in (Form.TABLE, Form.WIDE):
            showing = _redraw(watched, wanted, console, api.host, wide=form is Form.WIDE)
        else:
            showing = _repeat(watched, wanted, form)
        task = asyncio.create_task(showing)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if task.done():
            task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _redraw(watched: LivePlan, wanted: Wanted, console: Console, host: str, *, wide: bool) -> None:
    """Keeps the screen of a terminal up to date."""
    with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            plan = watched.plan(wanted)
            rows = max(1, console.height - _AROUND - len(plan.owners))
            title = Text(f"{format_instant(plan.now)}  {printable(host)}  Ctrl-C ends it", "dim")
            trouble = [Text(printable(line, 500), "bold yellow") for line in watched.out_of_sync()]
            live.update(Group(title, *trouble, "", tables.styled(plan, console, wide=wide, limit=rows)), refresh=True)
            await watched.next(plan, TICK)


async def _repeat(watched: LivePlan, wanted: Wanted, form: Form) -> None:
    """Prints the plan once more whenever it says something new; that time passes is nothing new."""
    said: object = None
    troubles: list[str] = []
    while True:
        plan, trouble = watched.plan(wanted), watched.out_of_sync()
        if trouble != troubles:
            remark(trouble)
            troubles = trouble
        saying = plan.owners, [(row.session, row.verdict) for row in plan.rows], plan.unknown
        if saying != said:
            show(plan, form, again=True)
            sys.stdout.flush()
            said = saying
        await watched.next(plan, None)

"""The command ``plan``: a snapshot or a watch, judged, in the form that the options ask for."""

import asyncio
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ssh_session_gc.cli.cluster import cluster
from ssh_session_gc.cli.run import stopped
from ssh_session_gc.core.model import Action, Reason
from ssh_session_gc.core.plan import Plan, Snapshot, Wanted, make
from ssh_session_gc.core.text import printable
from ssh_session_gc.core.times import format_instant
from ssh_session_gc.preview import document, dump, tables
from ssh_session_gc.preview.snapshot import CannotRead, read
from ssh_session_gc.preview.watch import LivePlan, watching
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics

SOMETHING_DUE = 3
"""Exit status with ``--exit-code`` where something would be deleted now."""
LONG = 1.0
"""Seconds after which it is said how far the reading has got."""
TICK = 1.0
"""Seconds between two pictures on a terminal, on which ages are seen to grow."""
_AROUND = 9
"""Lines of a terminal that the sessions of a watch leave free for what stands around them."""


async def plan(given: dict[str, Any], settings: Settings) -> int:
    """Shows the plan; returns the exit status. Raises click.ClickException with one line."""
    wanted = _wanted(given)
    _refuse_contradictions(given)
    try:
        if given["watch"]:
            await _watch(given, settings, wanted)
            return 0
        snapshot = await _snapshot(given, settings)
    except CannotRead as error:
        raise click.ClickException(str(error)) from None
    made = make(snapshot, settings.policy, settings.session_namespace, wanted)
    remark(snapshot.remarks)
    _show(made, given["output"])
    return SOMETHING_DUE if given["exit_code"] and made.summary[Action.COLLECT] else 0


def remark(lines: Iterable[str]) -> None:
    """Says on stderr what an operator should know beside the plan."""
    for line in lines:
        click.echo(f"note: {printable(line, 500)}", err=True)


def _wanted(given: dict[str, Any]) -> Wanted:
    verdicts = [Action(each) for each in given["verdict"]]
    if given["output"] == "name" and not verdicts:
        # What comes out is made to be passed on to kubectl delete.
        verdicts = [Action.COLLECT]
    return Wanted(verdicts, [Reason(each) for each in given["reason"]], given["user"])


def _refuse_contradictions(given: dict[str, Any]) -> None:
    if given["at"] is not None and not given["filename"]:
        raise click.UsageError("--at goes with --filename: a cluster is judged by its own clock")
    for other in ("watch", "kubeconfig", "context", "sandbox"):
        if given["filename"] and given[other]:
            raise click.UsageError(f"--filename and --{other} exclude each other: give one of them")
    for other in ("output", "exit_code"):
        if given["watch"] and given[other] in ("name", True):
            name = "--output name" if other == "output" else "--exit-code"
            raise click.UsageError(f"--watch and {name} exclude each other: the one goes on, the other is an answer")


async def _snapshot(given: dict[str, Any], settings: Settings) -> Snapshot:
    name = given["filename"]
    if name:
        return _from_file(name, settings, given["at"])
    async with cluster(given, Metrics(dry_run=True)) as api:
        progress = Progress()
        try:
            return await read(api, settings, progress=progress.tell)
        finally:
            progress.end()


def _from_file(name: str, settings: Settings, at: float | None) -> Snapshot:
    source = "stdin" if name == "-" else printable(name)
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise CannotRead(f"cannot read {source}: {error.strerror}; check --filename") from None
    return dump.read(data, source, settings, time.time(), at=at)


class Progress:
    """How many sessions have been read, on stderr where that is a terminal, and only if it takes long.

    How many there will be nobody knows: the API server does not count what a selector selects.
    """

    def __init__(self) -> None:
        self._status = Console(stderr=True).status("reading sessions")
        self._timer = asyncio.get_running_loop().call_later(LONG, self._status.start)

    def tell(self, count: int) -> None:
        """So many by now."""
        self._status.update(f"reading sessions: {count:,} so far")

    def end(self) -> None:
        """Leaves nothing on the terminal."""
        self._timer.cancel()
        self._status.stop()


def _show(plan: Plan, output: str, *, again: bool = False) -> None:
    match output:
        case "json":
            text = document.to_json(plan)
        case "yaml":
            text = ("---\n" if again else "") + document.to_yaml(plan)
        case "name":
            text = document.to_names(plan)
        case _:
            wide = output == "wide"
            console = Console(highlight=False)
            if console.is_terminal:
                console.print(tables.styled(plan, console, wide=wide))
                return
            text = (f"\n{format_instant(plan.now)}\n" if again else "") + tables.plain(plan, wide=wide)
    click.echo(text, nl=False)


async def _watch(given: dict[str, Any], settings: Settings, wanted: Wanted) -> None:
    stop = stopped()
    metrics = Metrics(dry_run=True)
    console = Console(highlight=False)
    output = given["output"]
    async with cluster(given, metrics, lively=True) as api, watching(api, settings, metrics) as watch:
        if console.is_terminal and output in ("table", "wide"):
            showing = _picture(watch, wanted, console, api.host, wide=output == "wide")
        else:
            showing = _repeat(watch, wanted, output)
        task = asyncio.create_task(showing)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if task.done():
            task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _picture(watch: LivePlan, wanted: Wanted, console: Console, host: str, *, wide: bool) -> None:
    """Redraws the terminal."""
    with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            plan = watch.plan(wanted)
            rows = max(1, console.height - _AROUND - len(plan.owners))
            title = Text(f"{format_instant(plan.now)}  {printable(host)}  Ctrl-C ends it", "dim")
            trouble = [Text(printable(line, 500), "bold yellow") for line in watch.out_of_sync()]
            live.update(Group(title, *trouble, "", tables.styled(plan, console, wide=wide, limit=rows)), refresh=True)
            await watch.next(plan, TICK)


async def _repeat(watch: LivePlan, wanted: Wanted, output: str) -> None:
    """Prints the plan once more whenever it says something new; that time passes is nothing new."""
    said: object = None
    troubles: list[str] = []
    while True:
        plan, trouble = watch.plan(wanted), watch.out_of_sync()
        if trouble != troubles:
            remark(trouble)
            troubles = trouble
        saying = plan.owners, [(row.session, row.verdict) for row in plan.rows], plan.unknown
        if saying != said:
            _show(plan, output, again=True)
            sys.stdout.flush()
            said = saying
        await watch.next(plan, None)

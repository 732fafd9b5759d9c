"""The command ``check``: the preflight, a line for each question."""

from collections import Counter
from typing import Any

from rich.console import Console
from rich.text import Text

from ssh_session_gc.cli.cluster import cluster
from ssh_session_gc.core.text import printable
from ssh_session_gc.preview.check import check as ask_all
from ssh_session_gc.preview.permissions import Mark
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics

_STYLES = {Mark.GOOD: "green", Mark.BAD: "bold red", Mark.OPEN: "dim"}


async def check(given: dict[str, Any], settings: Settings) -> int:
    """Shows the findings; returns 1 if one of them is bad. Raises click.ClickException with one line."""
    console = Console(highlight=False, soft_wrap=True)
    marks: Counter[Mark] = Counter()
    async with cluster(given, Metrics(dry_run=True)) as api:
        async for mark, what, todo in ask_all(api, settings):
            marks[mark] += 1
            console.print(Text.assemble((mark, _STYLES[mark]), " ", printable(what, 500)))
            if todo:
                console.print(Text(f"    {printable(todo, 500)}"))
    bad = marks[Mark.BAD]
    console.print(f"\n{marks.total()} checks, {bad} to mend" if bad else f"\n{marks.total()} checks, nothing to mend")
    return 1 if bad else 0

"""The plan as tables for people: coloured and fitted on a terminal, plain and stable everywhere else.

Texts in a plan are printable already (``core.text``), but letters that run from right to left could still turn round
what stands beside them on a terminal: here they are isolated. Does not know how a plan comes about (``core.plan``).
"""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ssh_session_gc.core.model import Action, Incarnation, Reason
from ssh_session_gc.core.plan import Plan, Row
from ssh_session_gc.core.text import counted
from ssh_session_gc.core.times import format_age, format_clock

STYLES = {Action.COLLECT: "bold red", Action.WAITING: "yellow", Action.KEEP: "green"}
NONE = "-"
GAP = "   "
"""The space between columns, as wide as kubectl's."""
_OWNERS_DROP = ("CONTAINER", "HOW", "STARTED", "ENDED")
_SESSIONS_DROP = ("PHASE", "CONNECTED", "OWNER", "AGE", "USER")
"""The columns that a narrow terminal goes without, in this order; ``explain`` shows what they say."""


class Column(NamedTuple):
    """A heading and its cells."""

    heading: str
    cells: list[str]

    @property
    def width(self) -> int:
        """The number of terminal cells that it takes."""
        return max(map(cell_len, (self.heading, *self.cells)))


def plain(plan: Plan, *, wide: bool) -> str:
    """Owners, sessions and summary as text of the same form wherever it goes."""
    parts = [_aligned(columns) for columns in (_owners(plan), _sessions(plan, wide=wide)) if columns[0].cells]
    return "\n".join([*parts, "".join(f"{line}\n" for line in summary(plan))])


def styled(plan: Plan, console: Console, *, wide: bool, limit: int | None = None) -> RenderableType:
    """The same for this terminal, with at most ``limit`` sessions and the number of those left out."""
    owners, sessions = _owners(plan), _sessions(plan, wide=wide)
    styles = [STYLES[row.verdict.action] for row in plan.rows]
    left_out = 0 if limit is None else max(0, len(styles) - limit)
    if left_out:
        sessions = [Column(heading, cells[:limit]) for heading, cells in sessions]
    too_wide: list[str] = []
    if not wide:
        owners, _ = _narrowed(owners, _OWNERS_DROP, console.width)
        sessions, too_wide = _narrowed(sessions, _SESSIONS_DROP, console.width)
    shown: list[RenderableType] = []
    if owners[0].cells:
        shown += [_fitted(owners, [""] * len(owners[0].cells)), ""]
    if sessions[0].cells:
        shown += [_fitted(sessions, styles), ""]
    if left_out:
        shown.append(Text(f"… and {left_out} more, less urgent", "dim"))
    head, *more = summary(plan)
    shown += [Text(head, "bold"), *(Text(line) for line in more)]
    if too_wide:
        shown.append(Text(f"too narrow for {', '.join(too_wide)}: widen the terminal, or pipe it into less", "dim"))
    return Group(*shown)


def summary(plan: Plan) -> list[str]:
    """The counts of the plan and what to know of them, a line each."""
    count = plan.summary
    reasons = [f"{reason} {n}" for reason in Reason if (n := _due_now(plan, reason))]
    why = f" ({', '.join(reasons)})" if reasons else ""
    total = len(plan.rows)
    which = counted(plan.total, "session")
    if total != plan.total:
        which = f"{total:,} of {which}"
    due_now = f"{count[Action.COLLECT]} would be deleted now{why}"
    lines = [f"{which}: {due_now}, {count[Action.WAITING]} later, {count[Action.KEEP]} kept"]
    if plan.unknown:
        lines.append(f"nobody is Ownerless: {plan.unknown}")
    elif unwatched := sum(map(_unwatched, plan.rows)):
        known = "a running daemon knows for how long already, a new one waits the whole owner-grace"
        lines.append(f"{unwatched} without an owner at least since now: {known}")
    return lines


def owner_row(owner: Incarnation, now: float) -> tuple[str, str, str, str]:
    """State, start and end of an incarnation, and how it ended."""
    started = NONE if owner.started is None else format_clock(owner.started, now)
    finished = NONE if owner.finished is None else format_clock(owner.finished, now)
    return owner.state, started, finished, owner.ending or NONE


def isolated(text: str) -> str:
    """The text, isolated where letters in it run from right to left: it cannot turn round what stands beside it
    (Unicode UAX #9)."""
    turns = any(unicodedata.bidirectional(letter) in ("R", "AL", "AN") for letter in text)
    return f"\u2068{text}\u2069" if turns else text


def due(row: Row, now: float) -> str:
    """When the session is due, as a distance from ``now``."""
    at = row.verdict.due
    if at is None:
        return "never"
    return f"in {format_age(at - now)}" if at > now else f"{format_age(now - at)} ago"


def _connected(row: Row, now: float) -> str:
    """Whether somebody is connected, and since when."""
    connected, since = row.presence
    word = {True: "yes", False: "no", None: "unknown"}[connected]
    return word if since is None else f"{word}, {format_age(max(0.0, now - since))}"


def _due_now(plan: Plan, reason: Reason) -> int:
    return sum(row.verdict.action is Action.COLLECT and row.verdict.reason is reason for row in plan.rows)


def _unwatched(row: Row) -> bool:
    owned = row.verdict.ownership
    return owned is not None and owned.since is not None and not owned.exact


def _owners(plan: Plan) -> list[Column]:
    rows = [(o.pod, o.container, *owner_row(o, plan.now)) for o in plan.owners]
    return _columns(("OWNER", "CONTAINER", "STATE", "STARTED", "ENDED", "HOW"), rows)


def _sessions(plan: Plan, *, wide: bool) -> list[Column]:
    headings = ["SESSION", "USER", "AGE", "PHASE", "CONNECTED", "OWNER", "VERDICT", "REASON", "DUE"]
    more = ["CLIENT", "CONNECTION", "UID", "STAMP", "EVIDENCE"] if wide else []
    return _columns((*headings, *more), (_cells(row, plan.now, wide=wide) for row in plan.rows))


def _cells(row: Row, now: float, *, wide: bool) -> Sequence[str]:
    session, verdict, evidence, *_ = row
    owner = verdict.ownership.owner if verdict.ownership else None
    state = session.waiting or session.phase or NONE
    cells = [session.name, session.user or NONE, format_age(now - session.created)]
    cells += ["Terminating" if session.deletion is not None else state]
    cells += [_connected(row, now), owner.pod if owner else NONE]
    cells += [verdict.action, verdict.reason or NONE, due(row, now)]
    if wide:
        cells += [session.client_ip or NONE, session.connection_id or NONE, session.uid]
        cells += [session.stamp_name or session.stamp_uid or NONE, evidence]
    return cells


def _columns(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[Column]:
    made = [Column(heading, []) for heading in headings]
    for row in rows:
        for column, cell in zip(made, row, strict=True):
            column.cells.append(cell)
    return made


def _aligned(columns: list[Column]) -> str:
    widths = [column.width for column in columns]
    lines = zip(*((column.heading, *column.cells) for column in columns), strict=True)
    padded = (
        GAP.join(cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
    return "".join(f"{line.rstrip()}\n" for line in padded)


def _narrowed(columns: list[Column], droppable: Iterable[str], width: int) -> tuple[list[Column], list[str]]:
    """The columns that fit into the width, and the headings of those that were left out."""
    gone: list[str] = []
    for heading in droppable:
        if _width(columns) <= width:
            break
        columns = [column for column in columns if column.heading != heading]
        gone.append(heading)
    return columns, gone


def _width(columns: list[Column]) -> int:
    return sum(column.width for column in columns) + len(GAP) * (len(columns) - 1)


def _fitted(columns: list[Column], styles: list[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0), header_style="bold")
    for column in columns:
        free = column.heading == "EVIDENCE"
        table.add_column(column.heading, no_wrap=not free, overflow="fold" if free else "ellipsis")
    tinted = ("VERDICT", "REASON", "DUE")
    for row, style in zip(zip(*(column.cells for column in columns), strict=True), styles, strict=False):
        table.add_row(
            *(
                Text(isolated(cell), style if column.heading in tinted else "")
                for column, cell in zip(columns, row, strict=True)
            )
        )
    return table

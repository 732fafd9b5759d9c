"""An explanation as text for people, on a terminal or in a file.

In the order in which they are asked at 3 a.m.: what, why, who, which rule, what will happen. Does not know how any of
it was decided (``core.explain``).
"""

import math
from collections.abc import Iterator

from rich.text import Text

from ssh_session_gc.core.connections import UNHEARD
from ssh_session_gc.core.explain import Applied, Candidate, Explanation
from ssh_session_gc.core.model import Action, Session
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.plan import Row
from ssh_session_gc.core.rules.judge import needs_fresh_read
from ssh_session_gc.core.times import format_age, format_clock, format_duration
from ssh_session_gc.preview.tables import STYLES, due, isolated, owner_row
from ssh_session_gc.settings import Settings


def lines(it: Explanation, owners: Owners, settings: Settings, now: float) -> Iterator[Text]:
    """The lines of the text, most of them indented under a heading."""
    session, verdict = it.session, it.verdict
    row = Row(session, verdict, it.evidence, it.connection, it.presence)
    head = Text.assemble((f"{session.name}: ", "bold"), (str(verdict.action), STYLES[verdict.action]))
    if verdict.reason is not None:
        head.append(f", {verdict.reason}, due {due(row, now)}", STYLES[verdict.action])
    yield head
    yield Text(f"  {isolated(it.evidence)}")
    yield from _section("Session", (*_facts(session, settings, now), *_connection(it, now)))
    yield from _section("Owners, oldest first", _candidates(it.candidates, owners, settings, now))
    yield from _section("Rules; the one that is due first counts", [_rule(rule, now) for rule in it.rules])
    yield from _section("Exempt", it.exempt or ("no",))
    yield from _section("What the daemon does", _deed(row, owners, settings, now))


def _section(heading: str, body: Iterator[str] | list[str] | tuple[str, ...]) -> Iterator[Text]:
    yield Text()
    yield Text(heading, "bold")
    for line in body:
        yield Text(f"  {line}")


def _facts(session: Session, settings: Settings, now: float) -> Iterator[str]:
    def fact(name: str, value: str) -> str:
        return f"{name:<12}{value or '-'}"

    created = f"{format_clock(session.created, now)}, {format_age(now - session.created)} ago"
    phase = session.phase + (f", {session.waiting}" if session.waiting else "")
    if session.started is not None:
        phase += f", container started at {format_clock(session.started, now)}"
    if session.finished is not None:
        phase += f", ended at {format_clock(session.finished, now)}"
    yield fact("namespace", settings.session_namespace)
    yield fact("user", isolated(session.user))
    yield fact("client", isolated(session.client_ip))
    yield fact("connection", session.connection_id)
    yield fact("uid", session.uid)
    yield fact("created", created)
    yield fact("phase", phase)
    if session.deletion is not None:
        yield fact("deletion", f"accepted, with grace until {format_clock(session.deletion, now)}")
    if session.ttl is not None:
        yield fact("ttl", "cannot be read" if session.ttl == math.inf else format_duration(session.ttl))
    stamp = f"made by Pod {session.stamp_name or '(no name)'}, uid {session.stamp_uid}"
    yield fact("stamp", stamp if session.stamp_uid else "none: its creator is told by start times")
    for name in session.invalid:
        yield fact("ignored", f"{name} cannot be read")


def _connection(explained: Explanation, now: float) -> Iterator[str]:
    """What is known of the connection, each fact by its source."""
    it, there = explained.connection, explained.presence
    who = f"the log of {it.speaker}" if it.speaker else "the owner's log"
    if it.opened is not None:
        yield f"{'connected':<12}since {format_clock(it.opened.at, now)}, by {who}"
    if it.closed is not None:
        yield f"{'':<12}until {format_clock(it.closed.at, now)}, by {who}"
    if it.given_up is not None:
        yield f"{'given up':<12}at {format_clock(it.given_up, now)}, by {who} ({it.how})"
    if it.superseded is not None:
        yield f"{'superseded':<12}at {format_clock(it.superseded, now)}, by a newer Pod of its connection"
    owned = explained.verdict.ownership
    if owned is not None and owned.idle is not None and there.connected is False and it.ended is None:
        yield f"{'connected':<12}nobody since {format_clock(there.since or now, now)}, by the metrics of its owners"
    elif it == UNHEARD:
        yield f"{'connected':<12}unknown: neither an owner's log nor its metrics tell of it"


def _candidates(found: tuple[Candidate, ...], owners: Owners, settings: Settings, now: float) -> Iterator[str]:
    if not settings.policy.ownerless:
        yield "not looked at (--owner none)"
    elif owners.unknown:
        yield f"not known: {owners.unknown}"
    elif not found:
        yield "there is none"
    for owner, could, why in found:
        state, started, ended, how = owner_row(owner, now)
        times = f"{state} since {started}" if owner.alive else f"{state} at {ended} ({how}), started {started}"
        yield f"{'✓' if could else '✗'} {owner.pod}, container {owner.container}: {times}"
        yield f"    {'could have created it' if could else 'could not'}: {why}"


def _rule(rule: Applied, now: float) -> str:
    if rule.due is None:
        when = "never"
    elif rule.due <= now:
        when = f"due since {format_clock(rule.due, now)}"
    else:
        when = f"in {format_age(rule.due - now)}"
    return f"{rule.reason:<14}{when:<22}{rule.why}"


def _deed(row: Row, owners: Owners, settings: Settings, now: float) -> Iterator[str]:
    session, verdict, *_ = row
    if verdict.due is None:
        yield "nothing, as things stand"
        return
    if verdict.action is Action.COLLECT:
        yield f"deletes it now: it is due since {format_clock(verdict.due, now)}"
    else:
        yield f"nothing until {format_clock(verdict.due, now)}; deletes it then, if nothing changes before"
    if needs_fresh_read(session, verdict, owners, settings.policy, row.connection):
        yield "reads the owners afresh right before it, and leaves it alone if one turns up"
    grace = "0" if verdict.force else format_duration(settings.deletion_grace)
    yield f"with a grace of {grace}, and only if it is still uid {session.uid}"
    yield f"in resourceVersion {session.resource_version}: a change before that has it judged again"

"""The logs that go with a dump: files of what ``kubectl logs`` printed, with or without ``--timestamps``.

Knows how such a file is read, line by line and however large it is, whose log it is, and what is missing. Trusts no
byte of it. Does not know what the lines say (``cluster.logbook``).
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from ssh_session_gc.cluster.logbook import Logbook
from ssh_session_gc.containerssh.log import LONGEST_LINE
from ssh_session_gc.core.connections import Connection
from ssh_session_gc.core.model import Incarnation, Session
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.text import printable
from ssh_session_gc.preview.snapshot import CannotRead
from ssh_session_gc.settings import Settings

_NAMED = 5
"""Pods that a sentence names at the most."""
_BEFORE = re.compile(rb"(?:\S+Z )?(?=\{)")
"""What may stand before the JSON of a line: the time that the kubelet wrote."""
_objects = msgspec.json.Decoder(dict)


def read(
    files: Sequence[tuple[str, str]], source: str, settings: Settings, owners: Owners, sessions: Sequence[Session]
) -> tuple[dict[str, Connection], list[str]]:
    """What these logs say of the sessions, by uid, and remarks on what they cannot say.

    ``files`` are names of owner Pods, each with a file; a Pod may have several. ``source`` is the dump's name for
    people. Raises CannotRead.
    """
    book = Logbook(sessions)
    known = sorted(owners.owners, key=lambda owner: owner.earliest_start)
    names = dict.fromkeys(owner.pod for owner in known)
    remarks: list[str] = []
    for pod, name in files:
        if pod not in names:
            there = f"there are {_some(names)}" if names else owners.unknown or "there is none"
            raise CannotRead(f"--owner-log: {pod} is no ContainerSSH Pod in {source}; {there}")
        if not _take(name, book, pod):
            remarks.append(
                f"{printable(name)} has no line of JSON and says nothing: give what `kubectl logs {pod}` printed; "
                "ContainerSSH has to have log.format ljson"
            )
    given = {pod for pod, _ in files}
    if settings.owner_logs:
        remarks += _missing([owner for owner in known if _has_log(owner) and owner.pod not in given], settings)
    return book.connections(), remarks


def moments(connections: Iterable[Connection]) -> list[float]:
    """When anything happened that logs tell of."""
    found: list[float] = []
    for said in connections:
        found += [moment.at for moment in (said.opened, said.closed) if moment is not None]
        if said.given_up is not None:
            found.append(said.given_up)
    return found


def _has_log(owner: Incarnation) -> bool:
    return owner.alive and owner.started is not None


def _missing(owners: Sequence[Incarnation], settings: Settings) -> Iterator[str]:
    if owners:
        pods = dict.fromkeys(owner.pod for owner in owners)
        command = f"kubectl logs -n {settings.owner_namespace} -c {owners[0].container} POD > FILE"
        # The names come last: they may be too many for the line.
        yield (
            f"a dump has no logs: write one with `{command}` and give it with --owner-log POD=FILE; "
            f"without it nobody knows whether a connection of {_some(pods)} has ended"
        )


def _some(pods: Collection[str]) -> str:
    return ", ".join(list(pods)[:_NAMED]) + (", …" if len(pods) > _NAMED else "")


def _take(name: str, book: Logbook, pod: str) -> bool:
    """Takes in all lines of a file, and returns whether any of them is JSON."""
    json = False
    try:
        with Path(name).open("rb") as file:
            for text in _lines(file):
                book.take(text, pod)
                json = json or _is_json(text)
    except OSError as error:
        raise CannotRead(f"cannot read {printable(name)}: {error.strerror}; check --owner-log") from None
    return json


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines. Of one that is too long to say anything only the beginning, which is too long as well."""
    skipping = False
    while part := file.readline(LONGEST_LINE + 1):
        if not skipping:
            yield part.removesuffix(b"\n")
        skipping = not part.endswith(b"\n")


def _is_json(text: bytes) -> bool:
    # Stricter than ``containerssh.log.is_json``: any two bytes are somewhere in a compressed file.
    before = _BEFORE.match(text)
    if before is None:
        return False
    try:
        _objects.decode(text[before.end() :])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True

"""ContainerSSH's log: the few lines that say something of a session, out of very many.

Knows the format ``ljson`` (its source, ``log/format_ljson.go``, and the recordings): one JSON object a line. Looks
before it parses: a line without a code that means something costs one search. Its bytes are other people's, so
whatever is no such line is passed over. Does not read the format ``text``, but notices it.
"""

import re
from datetime import datetime
from typing import Annotated

import msgspec

from ssh_session_gc.core import names
from ssh_session_gc.core.connections import Line, Said

LONGEST_LINE = 16 * 1024
"""Bytes of a line at the most; a longer one says nothing. The longest of ours seen has 600."""
_SIGNS = re.compile(b"|".join(f'"{said}"'.encode() for said in Said))
_ERROR = "error"
_CONNECTION_ID = re.compile("[0-9a-f]{32}")


class Details(msgspec.Struct, gc=False, rename="camel"):
    """The details of an entry, as far as they matter, whatever they are."""

    connection_id: str = ""
    pod_name: str = ""


class Entry(msgspec.Struct, gc=False):
    """One line in the format ``ljson``, whatever it says."""

    timestamp: Annotated[datetime, msgspec.Meta(tz=True)]
    level: str
    code: str
    details: Details = msgspec.field(default_factory=Details)


_entries = msgspec.json.Decoder(Entry)


def interesting(text: bytes) -> bool:
    """Whether these bytes may hold a line that means something."""
    return _SIGNS.search(text) is not None


def parse(text: bytes, arrived: float | None) -> Line | None:
    """What a line says, None where it says nothing.

    ``text``: with or without the kubelet's timestamp. ``arrived``: when it came, by the API server's clock; None
    where nobody knows, as in a file: then its own time counts.
    """
    if len(text) > LONGEST_LINE or not interesting(text):
        return None
    written, found = _read(text)
    if found is None:
        return None
    try:
        said = Said(found.code)
    except ValueError:
        return None
    connection, pod = found.details.connection_id, found.details.pod_name
    if (connection and not _CONNECTION_ID.fullmatch(connection)) or (pod and not names.is_name(pod)):
        return None
    if said.gives_up:
        # At debug the same code says that it tries again.
        if found.level != _ERROR or not pod:
            return None
    elif not connection:
        return None
    if written is None:
        written = found.timestamp.timestamp()
    at = written if arrived is None else max(written, arrived)
    return Line(said, connection, pod, written, at)


def entry(text: bytes) -> Entry | None:
    """The entry in a line, with or without the kubelet's timestamp; None where it holds none."""
    return _read(text)[1]


def is_json(text: bytes) -> bool:
    """Whether a line looks like one of the format ``ljson``."""
    return b'{"' in text


def _read(text: bytes) -> tuple[float | None, Entry | None]:
    """The kubelet's time of a line, and the entry in it; each None where it holds none."""
    stamp, _, rest = text.partition(b" ")
    written = _time(stamp)
    try:
        return written, _entries.decode(rest if written is not None else text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return written, None


def _time(text: bytes) -> float | None:
    """The time in seconds since the epoch, None where it is none."""
    # RFC 3339 in the node's time zone; of the nine digits that the kubelet writes after the point, Python takes six.
    try:
        at = datetime.fromisoformat(text.decode())
    except ValueError:  # of bytes that are no text, too
        return None
    return None if at.tzinfo is None else at.timestamp()

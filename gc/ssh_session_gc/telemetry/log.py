"""The log: one structured line a fact on stderr, as JSON in a Pod and readable on a terminal.

Escapes and bounds every text in a line, so that none can fill the log or repaint a terminal.
"""

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import msgspec
import structlog

from ssh_session_gc.core.model import Session
from ssh_session_gc.core.text import printable

LogFormat = Literal["auto", "json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]

LONGEST_VALUE = 1024
"""Characters of a value in a line at the most."""


def configure(fmt: LogFormat, level: LogLevel) -> None:
    """Sets up structlog, and the standard library's logging for our dependencies, in the whole process."""
    console = fmt == "console" or (fmt == "auto" and sys.stderr.isatty())
    colors = sys.stderr.isatty() and not os.environ.get("NO_COLOR")  # https://no-color.org
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    plain = structlog.dev.plain_traceback  # others show the variables of every frame, tokens included
    render: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        _safe,
        structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False, exception_formatter=plain)
        if console
        else structlog.processors.JSONRenderer(serializer=_json),
    ]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # asyncio and aiohttp log in the same form. Below a warning, their lines are not for operators.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *render,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def session_fields(session: Session, namespace: str) -> dict[str, object]:
    """The fields of a line by which one finds a session again."""
    return {
        "namespace": namespace,
        "pod": session.name,
        "uid": session.uid,
        "user": session.user,
        "connection_id": session.connection_id,
        "client_ip": session.client_ip,
    }


def _safe(_: object, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Puts first what a reader looks for, and bounds every text. A traceback keeps its lines."""
    head = [name for name in ("timestamp", "level", "event") if name in line]
    order = [*head, *(name for name in line if name not in head)]
    return {name: _bounded(name, line[name]) for name in order}


def _json(line: MutableMapping[str, Any], **_: object) -> str:
    return msgspec.json.encode(line, enc_hook=repr).decode()


def _bounded(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if name == "exception":
        return "\n".join(printable(each, LONGEST_VALUE) for each in value.splitlines())
    return printable(value, LONGEST_VALUE)

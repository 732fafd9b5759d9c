"""A command line run in this process: its exit status and what it prints."""

import io
import sys
from typing import NamedTuple

import pytest
import structlog

from ssh_session_gc.cli.main import main


class End(NamedTuple):
    """An exit status, and what came on stdout and stderr."""

    status: int
    out: str
    err: str


def ends(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *args: str,
    stdin: bytes = b"",
    program: str = "ssh-session-gc",
) -> End:
    """Runs one command line. Undoes whatever it does with the log."""
    monkeypatch.setattr(sys, "argv", [program, *args])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    before = structlog.get_config()
    capsys.readouterr()
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        structlog.configure(**before)
    out = capsys.readouterr()
    return End(int(ended.value.code or 0), out.out, out.err)

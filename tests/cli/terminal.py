"""A terminal with somebody in front of it: a program on a pseudo-terminal, and what its screen shows."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte

PATIENCE = 60.0
"""Seconds after which a test that waits for the screen fails."""


class Terminal:
    """One program on a terminal of this size. Use as a context manager; what runs then is killed at the end."""

    def __init__(self, home: Path, *command: str, columns: int = 120, rows: int = 30, **env: str) -> None:
        self.screen = pyte.Screen(columns, rows)
        self.raw = b""
        """Every byte that came."""
        self._stream = pyte.ByteStream(self.screen)
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("KUBE", "SSH_SESSION_GC", "NO_COLOR"))}
        clean |= {"HOME": str(home), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        bare = ("COLUMNS", "LINES", "FORCE_COLOR", "CI")
        self._process = subprocess.Popen(
            [Path(sys.executable).parent / command[0], *command[1:]],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={k: v for k, v in clean.items() if k not in bare} | env,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C is a signal
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._master)

    @property
    def text(self) -> str:
        """The lines on the screen."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def shows(self, *words: str) -> None:
        """Returns when all of these words are on the screen."""
        self._until(lambda: all(word in self.text for word in words), f"{words}")

    def type(self, keys: str) -> None:
        """Types these keys."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Changes the size of the window."""
        self.screen.resize(rows, columns)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def ends(self) -> int:
        """Waits until the program is over and all it printed is on the screen; returns its exit status."""
        self._until(lambda: self._process.poll() is not None and not self._read(0.1), "its end")
        return self._process.returncode

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        patience = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < patience, f"never saw {what}; the screen:\n{self.text}"
            self._read(0.1)

    def _read(self, seconds: float) -> bytes:
        if not select.select([self._master], [], [], seconds)[0]:
            return b""
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the other end is closed
            return b""
        self.raw += data
        self._stream.feed(data)
        return data

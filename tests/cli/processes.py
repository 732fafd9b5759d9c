"""Our commands as installed, each in a process of its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests import tools

SCRIPTS = Path(sys.executable).parent


def shell(tmp_path: Path, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a command that finds ours on its path, and nothing of the machine's configuration."""
    path = f"{SCRIPTS}:{tools.kubectl().parent}:/usr/bin:/bin"
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": path, "HOME": str(tmp_path), "KUBECONFIG": "/dev/null", **env},
    )


class DaemonProcess:
    """The command ``run`` in a process of its own."""

    def __init__(self, tmp_path: Path, *args: str, program: str = "ssh-session-gc", **env: str) -> None:
        self._err = tmp_path / "stderr"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("KUBE", "SSH_SESSION_GC"))}
        with self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [SCRIPTS / program, "run", "--listen", "127.0.0.1:0", *args],
                stdout=subprocess.PIPE,
                stderr=err,
                env=clean | {"HOME": str(tmp_path)} | env,
            )

    def lines(self) -> list[dict[str, object]]:
        """Returns the log so far."""
        return [json.loads(line) for line in self._err.read_text().splitlines() if line.startswith("{")]

    def events(self) -> list[object]:
        """Returns the names of what was logged so far."""
        return [line["event"] for line in self.lines()]

    async def ends(self) -> tuple[int, str]:
        """Returns the exit status and the last line on stderr; nothing may be on stdout, and no traceback."""
        out, _ = await asyncio.to_thread(self._process.communicate, timeout=30)
        text = self._err.read_text()
        assert out == b""
        assert "Traceback" not in text
        return self._process.returncode, text.splitlines()[-1]

    def send(self, sign: signal.Signals) -> None:
        """Sends a signal to it."""
        self._process.send_signal(sign)

    def kill(self) -> None:
        """Kills it, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@asynccontextmanager
async def process(
    tmp_path: Path, *args: str, program: str = "ssh-session-gc", **env: str
) -> AsyncIterator[DaemonProcess]:
    """Runs the daemon while the context is open."""
    made = DaemonProcess(tmp_path, *args, program=program, **env)
    try:
        yield made
    finally:
        made.kill()

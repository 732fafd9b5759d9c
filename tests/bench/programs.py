"""The programs that are measured, each a process of its own: the daemon and its peers.

Knows how they are started and asked, and what the kernel says of a process. Does not know what is measured.
"""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

PATIENCE = 120.0
"""Seconds that a program may take to start or to answer."""
_TICK = os.sysconf("SC_CLK_TCK")


class Memory(NamedTuple):
    """The memory of a process in bytes, from ``/proc``: all of it, its share of shared memory, its own, and its
    peak."""

    resident: int
    proportional: int
    unique: int
    peak: int


class Program:
    """A process with pipes. Use as a context manager, which kills it in the end."""

    def __init__(self, *command: str | Path, log: Path, **env: str) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("KUBE", "SSH_SESSION_GC", "PYTHONPROFILE"))}
        self.log = log
        with log.open("wb") as err:
            self.begun = time.time()
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, env=clean | env, text=True
            )

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def line(self) -> str:
        """Waits for the next line that it prints. Raises RuntimeError where it ends instead."""
        assert self._process.stdout is not None
        line: str = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"it ended: {self.log.read_text()[-2000:]}")
        return line.rstrip("\n")

    def ask(self, question: str) -> str:
        """Writes a line to it, and returns the line that it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self.line()

    def cpu(self) -> float:
        """Seconds of processor time used so far, to the hundredth."""
        # The name may hold anything; of the fields after it, the 12th and 13th are user and system time (proc(5)).
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def memory(self) -> Memory:
        """Its memory now."""
        proc = Path(f"/proc/{self._process.pid}")
        found = dict(re.findall(r"^(\w+): +(\d+) kB", (proc / "smaps_rollup").read_text(), re.MULTILINE))
        unique = int(found["Private_Clean"]) + int(found["Private_Dirty"])
        peak = re.findall(r"^VmHWM:\s+(\d+) kB", (proc / "status").read_text(), re.MULTILINE)[0]
        return Memory(int(found["Rss"]) << 10, int(found["Pss"]) << 10, unique << 10, int(peak) << 10)

    def pause(self) -> None:
        """Stops it until ``go_on``."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Ends ``pause``."""
        self._process.send_signal(signal.SIGCONT)


class Daemon(Program):
    """``ssh-session-gc run``."""

    def __init__(self, kubeconfig: Path, folder: Path, *options: str) -> None:
        super().__init__(
            *(str(Path(sys.executable).with_name("ssh-session-gc")), "run", "--log-format", "json"),
            *("--kubeconfig", str(kubeconfig), "--listen", "127.0.0.1:0", *options),
            log=folder / "daemon.log",
        )
        self._listen = ""

    def __enter__(self) -> "Daemon":
        return self

    def ready(self) -> float:
        """Waits until every stream is in step. Returns the seconds since its start. Raises TimeoutError."""
        while True:
            try:
                with urllib.request.urlopen(f"{self._url()}/readyz", timeout=PATIENCE):
                    return time.time() - self.begun
            except OSError as error:
                if self._process.poll() is not None or time.time() - self.begun > PATIENCE:
                    raise TimeoutError(f"the daemon is not ready: {error}: {self.log.read_text()[-2000:]}") from None
            time.sleep(0.02)

    def _url(self) -> str:
        """Where it listens, as its log says: a port chosen for it could be another's by then. Raises OSError."""
        if not self._listen:
            found = re.search(r'"listen": ?"(127\.0\.0\.1:\d+)"', self.log.read_text())
            if not found:
                raise ConnectionError("it does not listen yet")
            self._listen = found[1]
        return f"http://{self._listen}"

    def metrics(self, *names: str) -> list[float]:
        """The sum of all series of each of these metrics, or the one series where the name has labels."""
        with urllib.request.urlopen(f"{self._url()}/metrics", timeout=PATIENCE) as answer:
            text = answer.read().decode()
        series = [
            re.compile(rf"^ssh_session_gc_{re.escape(name)}(?:\{{.*\}})? (\S+)$", re.MULTILINE) for name in names
        ]
        return [sum(map(float, each.findall(text))) for each in series]

    def deleting(self) -> float:
        """Waits until it is sure of the time, before which it deletes nothing. Returns the time."""
        # It asks for the time again 5 s after its first answer; then that and its first second are over.
        time.sleep(max(0.0, self.begun + self.ready() + 6.5 - time.time()))
        return time.time()


def bare(kubeconfig: Path, folder: Path, concurrency: int, *, models: bool = False) -> Program:
    """A process that deletes the Pods that each line names."""
    how = "models" if models else "bare"
    return _peer(folder, "delete", str(kubeconfig), how, str(concurrency))


def watcher(kubeconfig: Path, folder: Path) -> Program:
    """A process that follows the sessions by kubernetes_asyncio's own watch."""
    return _peer(folder, "watch", str(kubeconfig))


def counter(kubeconfig: Path, folder: Path, pod: str) -> Program:
    """A process that reads the log of this Pod, and counts the lines."""
    return _peer(folder, "count", str(kubeconfig), pod)


def dependencies(folder: Path) -> Program:
    """A process that has imported what the daemon imports, and none of the daemon."""
    return _peer(folder, "dependencies")


def _peer(folder: Path, *args: str) -> Program:
    return Program(sys.executable, "-m", "tests.bench.peers", *args, log=folder / f"{args[0]}.log")

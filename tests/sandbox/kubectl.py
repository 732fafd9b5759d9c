"""The real kubectl, for tests of the simulated cluster. Holds no tests."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from ssh_session_gc.sandbox.api.server import ApiServer
from ssh_session_gc.sandbox.api.storage import Store
from tests import tools
from tests.sandbox.api.serving import NAMESPACE


class Served(Protocol):
    """What has an API server: a test's client, or a world."""

    store: Store
    server: ApiServer


class Kubectl:
    """kubectl, pointed at a server."""

    def __init__(self, served: Served, home: Path, *options: str, namespace: str = NAMESPACE) -> None:
        self.store = served.store
        self._program = tools.kubectl()
        self._arguments = [f"--server={served.server.url}", f"--cache-dir={home}/cache", f"--namespace={namespace}"]
        self._arguments += options
        self._env = {"HOME": str(home), "KUBECONFIG": "/dev/null", "PATH": "/usr/bin:/bin"}

    async def __call__(self, *arguments: str, stdin: Any = None, status: int = 0) -> str:
        """Runs kubectl; returns what it prints, on both outputs."""
        process = await asyncio.create_subprocess_exec(
            self._program,
            *self._arguments,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._env,
        )
        printed = (await process.communicate(json.dumps(stdin).encode() if stdin else None))[0].decode()
        assert process.returncode == status, printed
        return printed

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[asyncio.StreamReader]:
        """The standard output of a kubectl that runs until it is stopped, or ends by itself."""
        process = await asyncio.create_subprocess_exec(
            self._program, *self._arguments, *arguments, stdout=asyncio.subprocess.PIPE, env=self._env
        )
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            with suppress(ProcessLookupError):  # it has ended by itself
                process.terminate()
            await process.communicate()

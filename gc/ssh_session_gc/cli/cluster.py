"""Which cluster a command works on: the one that the kubeconfig names, the Pod's own, or a simulated one.

Knows the options ``--kubeconfig``, ``--context`` and ``--sandbox``. Does not know what the command wants there.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click

from ssh_session_gc.kube.client import Api, Observer, connect
from ssh_session_gc.kube.config import Loader, loader
from ssh_session_gc.kube.errors import ConfigError


@asynccontextmanager
async def cluster(given: dict[str, Any], observer: Observer, *, lively: bool = False) -> AsyncIterator[Api]:
    """The API server that the options name. ``lively``: a simulated cluster does not stand still.

    Raises click.ClickException where there is none.
    """
    try:
        if not given["sandbox"]:
            async with connect(loader(given["kubeconfig"], given["context"]), observer) as api:
                yield api
            return
        async with _simulated(lively) as load, connect(load, observer) as api:
            yield api
    except ConfigError as error:
        raise click.ClickException(str(error)) from None


@asynccontextmanager
async def _simulated(lively: bool) -> AsyncIterator[Loader]:
    # Only here, because it takes as long to load as all the rest.
    from ssh_session_gc.sandbox.story import PAST, QUICK, go_on, lived_in
    from ssh_session_gc.sandbox.world import World

    with tempfile.TemporaryDirectory(prefix="ssh-session-gc-") as folder:
        async with World(began=time.time() - PAST, stamp=True, program=QUICK) as world:
            await lived_in(world)
            life = asyncio.create_task(go_on(world)) if lively else None
            try:
                yield loader(str(world.kubeconfig(Path(folder) / "kubeconfig")), None)
            finally:
                if life is not None:
                    life.cancel()

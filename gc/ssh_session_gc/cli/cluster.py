"""Which cluster a command works on: the one that the kubeconfig names, the Pod's own, or a simulated one.

Does not know what the command wants there.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ssh_session_gc.cli.options import Section, flag, option, option_class
from ssh_session_gc.cli.values import TEXT

if TYPE_CHECKING:
    from ssh_session_gc.kube.client import Api, Observer
    from ssh_session_gc.kube.config import Loader


@option_class
class ClusterOptions:
    """The options that name a cluster."""

    kubeconfig: str | None = option(
        "Kubeconfig to use; without one, $KUBECONFIG, ~/.kube/config, or the Pod's own account.",
        TEXT,
        Section.CLUSTER,
    )
    context: str | None = option("Context of the kubeconfig.", TEXT, Section.CLUSTER)
    sandbox: bool = flag(
        "Use a simulated cluster, made for this one run, that has a past with every kind of session in it.",
        Section.CLUSTER,
    )

    def refuse_contradictions(self) -> None:
        """Raises click.UsageError where two clusters are named."""
        for name, value in (("--kubeconfig", self.kubeconfig), ("--context", self.context)):
            if self.sandbox and value:
                raise click.UsageError(f"--sandbox and {name} exclude each other: give one of them")


@asynccontextmanager
async def cluster(target: ClusterOptions, observer: "Observer", *, lively: bool = False) -> AsyncIterator["Api"]:
    """Connects to the API server of a cluster. A simulated cluster goes on living where ``lively`` says so.

    Raises click.ClickException where there is no such cluster.
    """
    from ssh_session_gc.kube.client import connect
    from ssh_session_gc.kube.config import loader
    from ssh_session_gc.kube.errors import ConfigError

    try:
        if not target.sandbox:
            async with connect(loader(target.kubeconfig, target.context), observer) as api:
                yield api
            return
        async with _simulated(lively) as load, connect(load, observer) as api:
            yield api
    except ConfigError as error:
        raise click.ClickException(str(error)) from None


@asynccontextmanager
async def _simulated(lively: bool) -> AsyncIterator["Loader"]:
    import asyncio
    import tempfile

    from ssh_session_gc.kube.config import loader
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

"""A simulated cluster behind a real HTTP(S) API, for the demo, the tests and the benchmarks.

``World`` is a whole cluster, ``Replay`` a recording served again. Both have as much of Kubernetes as sessions and
their owners need, and are held to recordings of a real cluster. Knows nothing of the collector.

    api            the API server and the objects it keeps
    node           kubelets, scheduler, controllers
    containerssh   ContainerSSH's processes, and the truth about their sessions

Each knows those above it, and none below it.
"""

from ssh_session_gc.sandbox.api.authorization import Identity, PolicyRule
from ssh_session_gc.sandbox.api.faults import Fault, Faults
from ssh_session_gc.sandbox.containerssh.layouts import LAYOUTS, Layout
from ssh_session_gc.sandbox.containerssh.truth import TrueSession
from ssh_session_gc.sandbox.node.programs import Program
from ssh_session_gc.sandbox.replay import Replay
from ssh_session_gc.sandbox.world import World

__all__ = [
    "LAYOUTS",
    "Fault",
    "Faults",
    "Identity",
    "Layout",
    "PolicyRule",
    "Program",
    "Replay",
    "TrueSession",
    "World",
]

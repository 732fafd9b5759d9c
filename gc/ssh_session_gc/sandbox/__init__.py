"""A simulated cluster behind a real HTTP(S) API, for the demo, the tests and the benchmarks.

``World`` is the whole of it, ``Replay`` a recording served again. It knows what sessions and their owners need of
Kubernetes and is held to recordings of a real cluster; it knows nothing of the collector.
"""

from ssh_session_gc.sandbox.api.authorization import Identity, Rule
from ssh_session_gc.sandbox.api.faults import Fault, Faults
from ssh_session_gc.sandbox.containerssh.truth import TrueSession
from ssh_session_gc.sandbox.node.programs import Program
from ssh_session_gc.sandbox.replay import Replay
from ssh_session_gc.sandbox.world import World

__all__ = ["Fault", "Faults", "Identity", "Program", "Replay", "Rule", "TrueSession", "World"]

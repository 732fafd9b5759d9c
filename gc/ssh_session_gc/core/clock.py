"""The API server's clock, told from the ``Date`` headers of its answers.

Knows how much a header cut to whole seconds can tell. Does not read any clock: the caller passes the reading
of its own monotonic clock, so that a laptop with a wrong wall clock judges as the cluster would.
"""

import math
from dataclasses import dataclass, replace

DRIFT = 1e-4
"""How far apart two healthy clocks run, in seconds a second. Quartz does 1e-5 to 5e-5."""
APART = 0.5
"""Seconds by which the clocks of several API servers behind one address may differ and still pass for one."""
CONFIRMED_AFTER = 5.0
"""Seconds for which all answers must agree on another time before a jump is believed."""


@dataclass(frozen=True, slots=True)
class ServerClock:
    """Bounds on (server time - local monotonic time), as far as the answers seen so far tell.

    ``Date`` is cut to whole seconds (RFC 9110, 5.6.7), so one answer leaves the server's time open by a second
    plus the round trip. Answers that arrive at other fractions of the second narrow it down: the bounds of all
    of them hold at once. ``now`` uses the lower bound: a session is then never older than we say it is.
    """

    low: float = -math.inf
    high: float = math.inf
    at: float = 0.0
    """Local reading at the last answer that agreed; the bounds widen from there with the drift."""
    since: float = math.inf
    """Local reading at the first answer that agreed."""
    other: "ServerClock | None" = None
    """The clock as the latest answers tell it, while they contradict those before and are not believed yet."""

    def answered(self, date: float, sent: float, received: float) -> "ServerClock":
        """Narrows the bounds by an answer dated ``date`` (epoch seconds, whole) to a request sent and answered at
        these local readings (seconds)."""
        slack = DRIFT * max(0.0, received - self.at)
        low, high = date - received, date + 1.0 - sent
        since = min(self.since, received)
        latest, earliest = max(self.low - slack, low), min(self.high + slack, high)
        if latest <= earliest:
            return ServerClock(latest, earliest, received, since)
        if latest - earliest <= APART:
            # Another API server answers now. Of two clocks that disagree so little, the one that is behind is taken.
            return ServerClock(max(min(self.low - slack, low), latest - APART), earliest, received, since)
        # One of the clocks was set, or another API server with another clock answers now, or a proxy. A later time
        # makes every session older, and a single wrong one would end them all: it must last.
        said = ServerClock(low, high, received, received)
        if self.other is None or not self.other.agrees(said):
            return replace(self, other=said)
        said = replace(said, since=self.other.since)
        return said if said.sure else replace(self, other=said)

    def agrees(self, other: "ServerClock") -> bool:
        """Whether both can be true of one clock."""
        slack = DRIFT * max(0.0, other.at - self.at)
        return max(self.low - slack, other.low) - min(self.high + slack, other.high) <= APART

    @property
    def sure(self) -> bool:
        """Whether answers have agreed for long enough, and none says otherwise at present."""
        return self.other is None and self.at - self.since >= CONFIRMED_AFTER

    @property
    def known(self) -> bool:
        """Whether any answer has been seen."""
        return self.low > -math.inf

    def latest(self, local: float) -> float:
        """The latest that server time can be at this local reading; never behind the truth while the drift is as
        assumed. Infinity before the first answer."""
        return local + self.high + DRIFT * max(0.0, local - self.at)

    def now(self, local: float) -> float:
        """Server time in epoch seconds at this local reading; at most a second behind the truth, never ahead
        of it while the drift is as assumed. Raises ValueError before the first answer."""
        if not self.known:
            raise ValueError("no answer of the API server has been seen yet")
        return local + self.low - DRIFT * max(0.0, local - self.at)

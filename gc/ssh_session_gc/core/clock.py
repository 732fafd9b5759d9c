"""The API server's clock, told from the ``Date`` headers of its answers, and whether that is certain.

Knows how much a header cut to whole seconds can tell, and what disagrees. Does not read any clock: the caller passes
the reading of its own monotonic clock, so that a laptop with a wrong wall clock judges as the cluster would. Does not
know headers or caches (``kube.servertime``).

**Certain** means: all answers of a whole window agree, and the window goes on to this day.

- Two answers agree where both can be true of clocks that are no more than ``APART`` apart, given how far two clocks
  drift in the time between them. Each answer of a window agrees with each other one, not only with the one before.
- An answer that disagrees with the window ends it, and begins the next. Which of the two clocks was heard first,
  which is ahead, and what was believed before make no difference: while answers disagree, no clock is certain.
- A window is whole where its last answer was asked for ``CONFIRMED_AFTER`` seconds after its first had arrived. So
  the server has answered twice with other times, and a date that stands still ends each window that it is in.
- Where answers have disagreed before, the window must be longer: twice as long each time, up to
  ``CONFIRMED_AT_MOST``. Who answers may be chance, and by chance the wrong one of three servers answers six times in
  a row every quarter of an hour. ``REMEMBERED`` seconds of agreement begin this anew.

So a single wrong date costs a few seconds, no clock of several that disagree is believed for as long as they answer
by turns, and a clock that was put right is believed as soon as nobody says otherwise. Until then the bounds stay as
they were when they were certain; where they never were, they hold all that anybody said.
"""

import math
from dataclasses import dataclass, replace

DRIFT = 1e-4
"""How far apart two healthy clocks run, in seconds a second. Quartz does 1e-5 to 5e-5."""
APART = 0.5
"""Seconds by which the clocks of several API servers behind one address may differ and still pass for one."""
CONFIRMED_AFTER = 5.0
"""Seconds for which all answers must agree, where they have not disagreed lately."""
CONFIRMED_AT_MOST = 60.0
"""Seconds for which all answers must agree, however often they have disagreed."""
REMEMBERED = 3600.0
"""Seconds of agreement after which it does not matter any more how often answers disagreed before."""


@dataclass(frozen=True, slots=True)
class Window:
    """What answers that agree with each other leave open: bounds on (server time - local monotonic time)."""

    low: float
    """The lower bound; where the servers are a little apart, that of the one behind."""
    high: float
    """The least upper bound that any of the answers left."""
    ahead: float
    """The greatest lower bound that any of them left. Where the servers are a little apart, it is above ``high``."""
    since: float
    """Local reading when the first of them arrived."""
    asked: float
    """Local reading when the last of them was asked for."""
    at: float
    """Local reading when the last of them arrived; the bounds widen from there with the drift."""

    @property
    def lasted(self) -> float:
        """For how many seconds the answers agree at least."""
        return self.asked - self.since

    def joined(self, other: "Window") -> "Window | None":
        """Both of them, of which the other is the later one; None where their answers disagree."""
        slack = DRIFT * max(0.0, other.at - self.at)
        ahead, high = max(self.ahead - slack, other.ahead), min(self.high + slack, other.high)
        if ahead - high > APART:
            return None
        low = max(self.low - slack, other.low)
        if low > high:
            # Several API servers answer, a little apart. The one that is behind is taken.
            low = max(min(self.low - slack, other.low), low - APART)
        return Window(low, high, ahead, self.since, other.asked, other.at)


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
    """Local reading from which the bounds widen with the drift."""
    window: Window | None = None
    """What the latest answers say, as far back as all agree. None before the first, and after the machine slept."""
    disputed: bool = False
    """Whether the bounds are not the window's: it contradicts them, or is too short to be believed after a doubt."""
    confirmed: bool = False
    """Whether the bounds have ever been certain."""
    needed: float = CONFIRMED_AFTER
    """Seconds for which all answers must agree at present."""
    doubled: float = CONFIRMED_AFTER
    """Seconds for which they must agree after they disagree the next time."""
    contradictions: int = 0
    """How many answers have disagreed with those before."""
    apart: float = 0.0
    """By how many seconds the last of them was ahead of those before it."""

    def answered(self, date: float, sent: float, received: float) -> "ServerClock":
        """Takes in an answer dated ``date`` (epoch seconds, whole) to a request sent and answered at these local
        readings (seconds)."""
        low, high = date - received, date + 1.0 - sent
        said = Window(low, high, low, received, sent, received)
        if self.window is None:
            window = said
        elif (joined := self.window.joined(said)) is not None:
            window = joined
        else:
            return self._contradicted(self.window, said)
        if self.disputed:
            if window.lasted < self.needed:
                return replace(self, window=window)
            before = Window(self.low, self.high, self.low, window.since, window.asked, self.at)
            # Where it agrees with what was believed, both are true, and tell more.
            window = before.joined(window) or window
        return replace(
            self,
            low=window.low,
            high=window.high,
            at=window.at,
            window=window,
            disputed=False,
            confirmed=self.confirmed or window.lasted >= self.needed,
        )

    def woken(self) -> "ServerClock":
        """After the local clock has stood still for an unknown time: the server's may be later by any time, and what
        was heard before confirms nothing that will be heard."""
        return replace(self, high=math.inf, window=None, disputed=True) if self.known else self

    @property
    def sure(self) -> bool:
        """Whether it is certain: all answers of a whole window agree, and what they say is what is believed."""
        return self.window is not None and not self.disputed and self.window.lasted >= self.needed

    @property
    def known(self) -> bool:
        """Whether any answer has been seen."""
        return self.low > -math.inf

    def latest(self, local: float) -> float:
        """The latest that it can be on any of the API servers at this local reading, while the drift is as assumed.
        Infinity before the first answer."""
        return local + self.high + APART + DRIFT * max(0.0, local - self.at)

    def now(self, local: float) -> float:
        """Server time in epoch seconds at this local reading; at most a second behind the truth, never ahead
        of it while the drift is as assumed. Raises ValueError before the first answer."""
        if not self.known:
            raise ValueError("no answer of the API server has been seen yet")
        return local + self.low - DRIFT * max(0.0, local - self.at)

    def _contradicted(self, before: Window, said: Window) -> "ServerClock":
        needed = CONFIRMED_AFTER if before.lasted >= REMEMBERED else self.doubled
        doubted = replace(
            self,
            window=said,
            disputed=True,
            needed=needed,
            doubled=min(2.0 * needed, CONFIRMED_AT_MOST),
            contradictions=self.contradictions + 1,
            apart=(said.low + said.high - before.low - before.high) / 2.0,
        )
        if self.confirmed:
            return doubted
        # Nothing speaks for what was heard first: no session may be older than by the clock that is most behind.
        slack = DRIFT * max(0.0, said.at - self.at)
        return replace(
            doubted, low=min(self.low - slack, said.low), high=max(self.high + slack, said.high), at=said.at
        )

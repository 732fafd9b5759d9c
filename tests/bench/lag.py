"""Lag: from the moment a session is due to the acceptance of its deletion, one at a time.

Each deletion has three figures. The daemon's own metric counts from the moment that it assumes until the answer. The
server's counts from the true moment until the deletion is carried out. A bare request by another process stands
beside them. The first two differ by how far the daemon's idea of the server's clock is behind: less than a second,
and never ahead; see ``core.clock``.
"""

import time

from tests.bench.programs import Daemon, Program, bare
from tests.bench.report import Row, Sample, beside, growth
from tests.bench.setting import Bench, SteeredServer

SPACING = 1.07
"""Seconds between two sessions that fall due: metrics are counted once a second at the most. It is not a whole
number, so that they fall into different fractions of the second."""
PAUSE = 0.03
"""Seconds between two looks at the metrics; a deletion's log line and Event follow it."""
MARGIN = 2.0
"""Seconds in which sessions are created before the first of them falls due."""
WARM_UP = 30
"""Deletions that are not counted, before those that are."""
GOAL = "≤ 2 × a bare DELETE"
GRACE = 1.3
OPTIONS = ("--max-age", "24h", "--owner-grace", f"{GRACE}s")


def over_age(bench: Bench) -> list[Row]:
    """Measures OverAge, with more and more sessions there."""
    rows: list[Row] = []
    for size in bench.scale.sessions[:-1]:
        with bench.server() as server:
            server.fill(size)
            rows += _over_age(bench, server, size)
    return [*rows, growth("lag", "lag by the daemon", [(row.size, row.ours.value) for row in rows if row.goal])]


def _over_age(bench: Bench, server: SteeredServer, size: int) -> list[Row]:
    count = bench.scale.lags
    spare = server.fill(count)
    with (
        Daemon(server.kubeconfig, bench.folder, *OPTIONS) as daemon,
        bare(server.kubeconfig, bench.folder, 1) as peer,
    ):
        peer.line()
        first = daemon.deleting() + MARGIN
        # The daemon learns the server's time from answers at different fractions of the second, and better from
        # more of them. Deletions before that are not counted.
        early = [first + number * (1.0 / WARM_UP + 0.01) for number in range(WARM_UP)]
        names = server.fall_due(early)
        server.accepted(WARM_UP)
        first = time.time() + MARGIN
        lags = _Lags(daemon, peer, server, spare, len(names))
        dues = [first + number * SPACING for number in range(count)]
        for name, due in zip(server.fall_due(dues), dues, strict=True):
            lags.follow(name, due)
    what = f"OverAge, {size:,} sessions there"
    return [
        beside("lag", what, lags.own, "bare DELETE", lags.bare, size=size, goal=GOAL).at_most(2.0),
        Row("lag", f"{what}: until it was sent", lags.before, size, detail=True),
        Row("lag", f"{what}: by the server's clock", lags.true, size, detail=True),
    ]


def ownerless(bench: Bench) -> list[Row]:
    """Measures Ownerless: kills one owner after another, each with one session."""
    count = max(2, bench.scale.lags // 4)
    with bench.server(owners=count + 1) as server:
        lags = _follow_crashes(bench, server, count)
    what = "Ownerless, one owner killed: two reads, then the DELETE"
    return [beside("lag", what, lags.own, "bare DELETE", lags.bare)]


def _follow_crashes(bench: Bench, server: SteeredServer, count: int) -> "_Lags":
    names = [server.fill(1, owner=number)[0] for number in range(count)]
    spare = server.fill(count, owner=count)
    with (
        Daemon(server.kubeconfig, bench.folder, *OPTIONS) as daemon,
        bare(server.kubeconfig, bench.folder, 1) as peer,
    ):
        peer.line()
        daemon.deleting()
        lags = _Lags(daemon, peer, server, spare, 0)
        for number, name in enumerate(names):
            lags.follow(name, server.crash(number) + GRACE)
    return lags


class _Lags:
    """The lags of the deletions, in milliseconds."""

    def __init__(self, daemon: Daemon, peer: Program, server: SteeredServer, spare: list[str], before: int) -> None:
        self._daemon, self._peer, self._server, self._spare = daemon, peer, server, spare
        self._deleted, self._sums = before, self._scrape()
        self.own, self.before, self.true, self.bare = (Sample("ms", []) for _ in range(4))

    def follow(self, name: str, due: float) -> None:
        """Waits for the deletion of this session, due at that time, and has the peer delete another."""
        accepted = self._server.accepted(self._deleted + 1)[name]
        time.sleep(PAUSE)
        sums = self._scrape()
        while sums == self._sums:
            time.sleep(PAUSE)
            sums = self._scrape()
        own, sent = (now - before for now, before in zip(sums, self._sums, strict=True))
        self._sums = sums
        self.own.values.append(1000 * own)
        self.before.values.append(1000 * (own - sent))
        self.true.values.append(1000 * (accepted - due))
        self.bare.values.append(1000 * float(self._peer.ask(self._spare[len(self.bare.values)])))
        self._deleted += 2

    def _scrape(self) -> list[float]:
        requests = 'api_request_duration_seconds_sum{resource="pods",verb="delete"}'
        return self._daemon.metrics("deletion_lag_seconds_sum", requests)

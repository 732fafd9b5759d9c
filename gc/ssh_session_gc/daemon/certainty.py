"""Tells whether the API server's time is certain: in the log when that begins and ends to be so, and by metrics.

Knows what was told already. Does not know what makes the time certain (``core.clock``), or what waits for it
(``holds``).
"""

import structlog

from ssh_session_gc.kube.servertime import Cause, Doubt, ServerTime
from ssh_session_gc.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger()

HINTS = {
    Cause.DISAGREE: "nothing is deleted until all answers agree; do the clocks of all API servers?",
    Cause.SLEPT: "nothing is deleted until the time is heard anew",
}


class Certainty:
    """Listens to one API server's time."""

    def __init__(self, time: ServerTime, metrics: Metrics) -> None:
        self._time, self._metrics = time, metrics
        self._certain = False
        self._doubted: Doubt | None = None
        """What was told of; None where nothing was since the time was last certain."""
        # As of the scrape: a sleep is noticed by whoever asks.
        metrics.server_time_certain.set_function(lambda: time.sure)
        time.doubts.subscribe(self._doubt)
        time.subscribe(self._moved)

    def _doubt(self, doubt: Doubt) -> None:
        if doubt.cause is Cause.DISAGREE:
            self._metrics.server_time_contradictions.inc()
        elif not self._certain:
            return  # it slept before the time was certain, which begins nothing
        if self._doubted is None:
            self._doubted = doubt
            log.warning("server_time_uncertain", **_fields(doubt), hint=HINTS[doubt.cause])

    def _moved(self, seconds: float) -> None:
        self._certain = self._time.sure
        if self._certain and self._doubted is not None:
            log.info("server_time_certain", **_fields(self._doubted), moved=round(seconds, 1))
            self._doubted = None


def _fields(doubt: Doubt) -> dict[str, str | float]:
    return {"cause": str(doubt.cause), "seconds": round(doubt.seconds, 1)}

"""What every source of facts has: whether it is in step with the cluster, and whoever wants to hear of changes.

Knows what is worth a log line about a stream. Does not know what the stream brings: each source is a file of its own.
"""

import structlog

from ssh_session_gc.kube.listeners import Listeners
from ssh_session_gc.kube.servertime import ServerTime
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics, Stream

log = structlog.stdlib.get_logger()

UNREAD = "it has not been read yet"
"""Why every source is out of step at first."""


class Hopeless(Exception):
    """The sessions cannot be read at all: one line that says why and what to do."""


class Report:
    """What is told of one stream, in the log and by its metrics. Each cause of trouble is logged once, until it is
    over."""

    def __init__(self, stream: Stream, metrics: Metrics) -> None:
        self._stream, self._metrics = stream, metrics
        self._reported: str | None = None
        """The cause of the present trouble, once it was logged."""

    def restored(self) -> None:
        """Tells that the stream is in step."""
        if self._reported:
            self._reported = None
            log.info("stream_restored", stream=self._stream)
        self._metrics.synced(self._stream, synced=True)

    def lost(self) -> None:
        """Tells that the stream has fallen behind."""
        self._metrics.synced(self._stream, synced=False)

    def interrupted(self, cause: str, detail: str, hint: str) -> None:
        """Tells that the stream ended by a failure."""
        self._metrics.restarted(self._stream, cause)
        if cause != self._reported:
            self._reported = cause
            log.warning("stream_interrupted", stream=self._stream, cause=cause, error=detail, hint=hint)


class Source:
    """One source of facts. It is the Sink of its stream."""

    stream: Stream

    def __init__(self, settings: Settings, metrics: Metrics, time: ServerTime) -> None:
        self._settings, self._metrics, self._time = settings, metrics, time
        self.changes: Listeners[str | None] = Listeners()
        """Told the uid of what appeared, changed or went; None where more than that changed."""
        self.has_synced = False
        self.out_of_sync: str | None = UNREAD
        """Why it is out of step; None while it is in step."""
        self.last_news: float | None = None
        """When it last brought anything; None before the first list."""
        self._report = Report(self.stream, metrics)

    @property
    def incomplete(self) -> str | None:
        """None: single changes suffice, unless a source says otherwise."""
        return None

    def sync(self, out_of_sync: str | None) -> None:
        """Notes that the stream is in step (None), or has fallen behind and why."""
        self.out_of_sync = out_of_sync
        if out_of_sync is None:
            self.has_synced = True
            self._report.restored()
        else:
            self._report.lost()

    def clock_moved(self, seconds: float) -> None:
        """Moves what was dated by the API server's clock."""
        if self.last_news is not None:
            self.last_news += seconds

    def arrived(self) -> None:
        """Notes that something came: a list, an event, a bookmark."""
        self.last_news = self._time.now()
        self._metrics.event(self.stream, self.last_news)

    def restarted(self, cause: str, detail: str) -> None:
        """Notes that a list or a watch ended and is taken up again. Logs each cause once, until it is over."""
        if cause == "closed":
            self._metrics.restarted(self.stream, cause)
            log.debug("watch_ended", stream=self.stream)
            return
        hint = "grant get, list and watch on it in that namespace, by a Role" if cause == "forbidden" else "retrying"
        self._report.interrupted(cause, detail, hint)

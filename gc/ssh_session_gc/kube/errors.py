"""What can go wrong between us and the API server, each as an exception that says so in one line.

Knows which refusals mean what. Does not know what to do about them: that depends on the request.
"""

from ssh_session_gc.core.text import printable
from ssh_session_gc.kube import wire


class ConfigError(Exception):
    """No usable configuration: one line that says what is wrong and what to do."""


class Unreachable(Exception):
    """The request got no answer, or half of one."""


class Malformed(Exception):
    """Bytes that are no answer of an API server: broken JSON, or JSON of another shape. Says what is wrong."""


class ApiError(Exception):
    """The API server refused. ``retry_after`` is in seconds, None where the server named no time."""

    def __init__(self, code: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code} {reason}: {message}" if message else f"{code} {reason}")
        self.code, self.reason, self.message, self.retry_after = code, reason, message, retry_after

    @classmethod
    def from_status(cls, status: wire.Status, code: int = 0, retry_after: float | None = None) -> "ApiError":
        """Made of the Status object of an answer or of an ERROR event. Its texts may quote anybody."""
        after = status.details.retry_after_seconds if status.details else None
        return cls(
            status.code or code,
            printable(status.reason, 64),
            printable(status.message, 512),
            retry_after if retry_after is not None else after,
        )

    @property
    def not_found(self) -> bool:
        """Whether the API server knows that there is no such object. A proxy's 404 knows nothing."""
        return self.code == 404 and self.reason == "NotFound"

    @property
    def forbidden(self) -> bool:
        """Whether a permission is missing, or an admission policy objects."""
        return self.code == 403

    @property
    def transient(self) -> bool:
        """Whether the same request may well succeed later without anybody doing anything."""
        return self.code == 429 or self.code >= 500


def one_line(error: BaseException) -> str:
    """The text of somebody else's error, on one line and not too long."""
    return printable(" ".join(str(error).split()) or type(error).__name__, 400)

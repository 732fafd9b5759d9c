"""Throw-away certificates for simulated API servers."""

import ssl
from datetime import UTC, datetime, timedelta

import trustme


def server_tls(ca: trustme.CA, *, expired: bool = False) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate for 127.0.0.1 that this authority has issued."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    ca.issue_cert("127.0.0.1", not_after=yesterday if expired else None).configure_cert(context)
    return context

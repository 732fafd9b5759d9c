"""Runs asynchronous tests on a loop whose time can be moved on, and properties without a deadline."""

import asyncio
from collections.abc import Callable, Mapping

from hypothesis import HealthCheck, settings

from tests.support import SkippingLoop

# A busy machine must not fail a property.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Runs every asynchronous test on a ``SkippingLoop``."""
    return {"skipping": SkippingLoop}

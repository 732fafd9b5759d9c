"""How every test runs: asynchronous ones on a loop whose time can be moved on, properties without a stop-watch."""

import asyncio
from collections.abc import Callable, Mapping

from hypothesis import HealthCheck, settings

from tests.support import SkippingLoop

# A busy machine is no bug.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The one kind of loop."""
    return {"skipping": SkippingLoop}

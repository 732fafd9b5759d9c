"""Every asynchronous test runs on a loop whose time can be moved forward."""

import asyncio
from collections.abc import Callable, Mapping

from tests.support import SkippingLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The one kind of loop."""
    return {"skipping": SkippingLoop}

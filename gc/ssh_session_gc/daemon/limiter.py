"""A limit to how many may pass in a minute. Knows nothing of what passes."""

import asyncio
from collections import deque
from collections.abc import Callable


class Limiter:
    """Lets at most so many through in any minute; 0 for no limit."""

    def __init__(self, per_minute: int) -> None:
        self._limit = per_minute
        self._passed: deque[float] = deque(maxlen=per_minute or None)
        self._turn = asyncio.Lock()
        self._time: Callable[[], float] = asyncio.get_running_loop().time

    async def wait(self) -> None:
        """Returns when one more may pass, in the order of arrival."""
        if not self._limit:
            return
        async with self._turn:
            if len(self._passed) == self._limit:
                await asyncio.sleep(self._passed[0] + 60.0 - self._time())
            self._passed.append(self._time())

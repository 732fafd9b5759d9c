"""How a single request is tried again: a few times, with a growing wait, or with the one that the server asks for.

Knows which failures may pass by themselves. Does not serve streams, which never give up (``reflector``).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar, cast

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from ssh_session_gc.kube.errors import ApiError, Unreachable

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 4
"""Attempts in a row before the caller hears of the failure."""
FIRST_WAIT = 0.1
"""Seconds after the first, and twice as long after each further one."""
LONGEST_WAIT = 10.0
"""Seconds that the server may ask for at the most."""


async def retried(call: Callable[P, Awaitable[R]], *args: P.args, **more: P.kwargs) -> R:
    """Calls the function up to ATTEMPTS times. Returns what it returns, raises what the last call raised."""
    try:
        # Nearly all succeed at once, and tenacity would cost them a fifth of a request.
        return await call(*args, **more)
    except (ApiError, Unreachable) as error:
        if not _transient(error):
            raise
        await asyncio.sleep(_pause(error, 1))
    retrying = AsyncRetrying(
        retry=retry_if_exception(_transient), stop=stop_after_attempt(ATTEMPTS - 1), wait=_wait, reraise=True
    )
    return cast(R, await retrying(call, *args, **more))


def _transient(error: BaseException) -> bool:
    return isinstance(error, Unreachable) or (isinstance(error, ApiError) and error.transient)


def _wait(state: RetryCallState) -> float:
    return _pause(state.outcome.exception() if state.outcome else None, state.attempt_number + 1)


def _pause(error: BaseException | None, attempt: int) -> float:
    """Seconds to wait after this many attempts."""
    if isinstance(error, ApiError) and error.retry_after is not None:
        return min(error.retry_after, LONGEST_WAIT) + random.uniform(0.0, 0.2)  # noqa: S311 - jitter
    return FIRST_WAIT * 2.0 ** (attempt - 1) + random.uniform(0.0, FIRST_WAIT)  # noqa: S311

"""How a single request is tried again: a few times, with a growing wait, or with the one that the server asks for.

Knows which failures may pass by themselves. Does not serve streams, which never give up (``reflector``).
"""

import random
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar, cast

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from ssh_session_gc.kube.client import ApiError, Unreachable

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 4
"""Attempts in a row before the caller hears of the failure."""
LONGEST_WAIT = 10.0
"""Seconds between them at the most."""


async def retried(call: Callable[P, Awaitable[R]], *args: P.args, **more: P.kwargs) -> R:
    """What the function returns, called up to ATTEMPTS times. Raises what the last call raised."""
    retrying = AsyncRetrying(
        retry=retry_if_exception(_transient), stop=stop_after_attempt(ATTEMPTS), wait=_wait, reraise=True
    )
    return cast(R, await retrying(call, *args, **more))


def _transient(error: BaseException) -> bool:
    return isinstance(error, Unreachable) or (isinstance(error, ApiError) and error.transient)


_backoff = wait_exponential_jitter(multiplier=0.1, max=LONGEST_WAIT / 2, jitter=0.1)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, ApiError) and error.retry_after is not None:
        return min(error.retry_after, LONGEST_WAIT) + random.uniform(0.0, 0.2)  # noqa: S311 - jitter
    return _backoff(state)

"""Refusals: what they mean and what is kept of them."""

import pytest

from ssh_session_gc.kube.errors import ApiError, one_line
from ssh_session_gc.kube.resources import PODS
from ssh_session_gc.kube.wire import Details, Status
from ssh_session_gc.sandbox import Fault, World
from tests.harness import connected


@pytest.mark.parametrize(("code", "transient"), [(400, False), (403, False), (409, False), (429, True), (503, True)])
async def test_what_a_refusal_says(code: int, transient: bool) -> None:
    async with World() as world, connected(world.url) as api:
        world.faults.add(Fault("status", code=code, retry_after=7))
        with pytest.raises(ApiError) as refused:
            await api.request("list", PODS, "default")
        assert (refused.value.code, refused.value.transient, refused.value.retry_after) == (code, transient, 7)


def test_what_is_kept_of_a_refusal_is_short_and_printable() -> None:
    refused = ApiError.from_status(Status(code=403, reason="R" * 1000, message="\x1b[2J" + "m" * 10_000))
    assert str(refused).isprintable()
    assert (len(refused.reason), len(refused.message)) == (64, 512)
    assert refused.forbidden


@pytest.mark.parametrize(
    ("header", "body", "after"), [(None, None, None), (None, 5.0, 5.0), (7.0, None, 7.0), (7.0, 5.0, 7.0)]
)
def test_the_header_says_when_to_come_again_and_otherwise_the_body(
    header: float | None, body: float | None, after: float | None
) -> None:
    status = Status(code=429, details=Details(retry_after_seconds=body))
    assert ApiError.from_status(status, retry_after=header).retry_after == after


@pytest.mark.parametrize(
    ("code", "reason", "gone"),
    [(404, "NotFound", True), (404, "Not Found", False), (404, "", False), (410, "NotFound", False)],
)
def test_only_the_api_server_knows_that_there_is_no_such_object(code: int, reason: str, gone: bool) -> None:
    assert ApiError(code, reason, "").not_found is gone


def test_somebody_else_s_error_becomes_one_line() -> None:
    assert one_line(ValueError("a\n  b\x07")) == "a b\\x07"
    assert one_line(TimeoutError()) == "TimeoutError"
    assert len(one_line(OSError(10_000 * "x"))) == 400

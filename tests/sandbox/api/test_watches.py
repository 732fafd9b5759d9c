"""Watches where time passes and clients leave."""

from tests.sandbox.api.serving import serving
from tests.support import advance, eventually


async def test_bookmarks_come_once_a_minute_to_those_who_ask() -> None:
    async with serving() as client:
        rv = client.store.rv
        async with (
            client.watch(f"resourceVersion={rv}&allowWatchBookmarks=true") as asked,
            client.watch(f"resourceVersion={rv}&timeoutSeconds=130") as unasked,
        ):
            client.store.advance_rv(900)
            await advance(60)
            pod_shape = {"spec": {"containers": None}, "status": {}}
            metadata = {"resourceVersion": "900"}
            bookmark = {"kind": "Pod", "apiVersion": "v1", "metadata": metadata} | pod_shape
            assert await asked.next() == {"type": "BOOKMARK", "object": bookmark}
            await advance(60)
            assert (await asked.next())["type"] == "BOOKMARK"
            await advance(10)
            assert await unasked.next() is None


async def test_a_watch_ends_by_itself_some_time() -> None:
    async with serving() as client, client.watch(f"resourceVersion={client.store.rv}") as lines:
        await advance(1800)
        assert client.server.watches == 1
        await advance(1800)
        assert await lines.next() is None
        assert client.server.watches == 0


async def test_clients_that_leave_are_forgotten() -> None:
    async with serving() as client:
        for _ in range(3):
            async with client.watch():
                assert client.server.watches == 1
            await eventually(lambda: client.server.watches == 0)

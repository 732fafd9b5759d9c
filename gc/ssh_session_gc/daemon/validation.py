"""The last look at a session before it is deleted: the owners read afresh, everything judged again.

Knows what to do where a fresh read says otherwise. Does not know which verdicts need one (``core.rules``), what is
read for it (``cluster.reads``) or how a session is deleted (``workers``).
"""

import asyncio
from typing import NamedTuple

import msgspec
import structlog

from ssh_session_gc.cluster.cluster import Cluster
from ssh_session_gc.cluster.reads import read_owners
from ssh_session_gc.core.connections import Connection
from ssh_session_gc.core.model import Action, Session, Verdict
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.rules.judge import judge, needs_fresh_read
from ssh_session_gc.daemon.lines import facts
from ssh_session_gc.daemon.queue import RETRY, Queue
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.errors import ApiError, Malformed, Unreachable
from ssh_session_gc.kube.retries import retried
from ssh_session_gc.settings import Settings

log = structlog.stdlib.get_logger()


class FreshOwners(NamedTuple):
    """The owners as read afresh for a session, and who had created it as far as it said then."""

    owners: Owners
    stamp_uid: str


class Due(NamedTuple):
    """A session that is due, as of now, and by what was known of its owners and its connection."""

    session: Session
    verdict: Verdict
    owners: Owners
    connection: Connection


class Validation:
    """Validates sessions that are due, and puts those that still are in line for their deletion."""

    def __init__(self, cluster: Cluster, api: Api, settings: Settings, queue: Queue) -> None:
        self._cluster, self._api, self._settings, self._queue = cluster, api, settings, queue
        self._unread: asyncio.Queue[str] = asyncio.Queue()
        """Sessions whose owners are to be read afresh."""
        self.valid: asyncio.Queue[tuple[str, FreshOwners | None]] = asyncio.Queue()
        """Sessions to be deleted, each with its owners as read afresh, where that was needed."""
        self._unread_for: set[str] = set()
        """Sessions whose owners could not be read the last time."""

    def put(self, uid: str) -> None:
        """Takes over a session whose time has come."""
        session, verdict = self._cluster.sessions.by_uid[uid], self._queue.verdicts[uid]
        if self._needs_fresh_read(session, verdict, self._cluster.owners):
            self._unread.put_nowait(uid)
        else:
            self.valid.put_nowait((uid, None))

    @property
    def owners_known(self) -> bool:
        """Whether no session waits for owners that could not be read."""
        owners, verdicts = self._cluster.owners, self._queue.verdicts
        there = self._unread_for & verdicts.keys() & self._cluster.sessions.by_uid.keys()
        return not any(
            self._needs_fresh_read(self._cluster.sessions.by_uid[uid], verdicts[uid], owners) for uid in there
        )

    async def run(self) -> None:
        """Validates until cancelled: one fresh read for all that fell due meanwhile."""
        while True:
            batch = [await self._unread.get()]
            while not self._unread.empty():
                batch.append(self._unread.get_nowait())
            await self._validate(batch)

    def judge_again(self, uid: str, fresh: FreshOwners | None) -> Due | None:
        """The session, if it is still due. It may have changed while it waited for its turn: what it is now is what
        counts."""
        session = self._cluster.sessions.by_uid.get(uid)
        if session is None or (fresh is not None and fresh.stamp_uid != session.stamp_uid):
            return None  # gone; or another creator was looked at, and it comes back
        owners = self._cluster.owners if fresh is None else fresh.owners
        said = self._cluster.connections.of(uid)
        verdict = judge(session, owners, self._settings.policy, self._api.time.now(), said)
        unread = fresh is None and self._needs_fresh_read(session, verdict, owners)
        if verdict.action is not Action.COLLECT or unread:
            return None
        return Due(session, verdict, owners, said)

    def _needs_fresh_read(self, session: Session, verdict: Verdict, owners: Owners) -> bool:
        said = self._cluster.connections.of(session.uid)
        return needs_fresh_read(session, verdict, owners, self._settings.policy, said)

    async def _validate(self, uids: list[str]) -> None:
        cluster, policy = self._cluster, self._settings.policy
        sessions = [s for uid in uids if (s := cluster.sessions.by_uid.get(uid))]
        fresh = await self._read(sessions, len(uids))
        self._unread_for &= cluster.sessions.by_uid.keys()
        self._unread_for = self._unread_for - set(uids) if fresh.unknown is None else self._unread_for | set(uids)
        now = self._api.time.now()
        for session in sessions:
            connection = cluster.connections.of(session.uid)
            verdict = judge(session, fresh, policy, now, connection)
            if verdict.action is Action.COLLECT:
                self.valid.put_nowait((session.uid, FreshOwners(fresh, session.stamp_uid)))
                continue
            if fresh.unknown is None and not self._needs_fresh_read(session, verdict, fresh):
                said = facts(session, verdict, fresh, self._settings, now, connection)
                log.info("session_kept", **said, outcome="kept")
            # Where the streams do not know it yet they will catch up, and until then it is looked at once in a while.
            behind = judge(session, cluster.owners, policy, now, connection).action is Action.COLLECT
            wait = RETRY if fresh.unknown else max(policy.owner_grace, RETRY)
            self._queue.release([session.uid], wait if behind else 0.0)
        self._queue.release(set(uids) - {session.uid for session in sessions})

    async def _read(self, sessions: list[Session], asked: int) -> Owners:
        """The owners of these sessions, unknown where they cannot be read. The other rules go on without them."""
        cluster = self._cluster
        known, selector, news = cluster.owners, cluster.workload.selector, cluster.owner_pods.last_news
        try:
            fresh = await retried(read_owners, self._api, self._settings, known, selector, sessions, news)
        except (ApiError, Unreachable, Malformed) as error:
            log.warning(
                "owners_unreadable",
                error=str(error),
                sessions=asked,
                hint="nobody is collected as Ownerless until the owners can be read",
            )
            return msgspec.structs.replace(cluster.owners, unknown=str(error))
        cluster.owner_pods.confirm(fresh)
        return fresh

"""The plan as a document for programs: the contract's JSON, the same as YAML, and names.

The form of the document is promised to users. Does not know how a plan comes about (``core.plan``).
"""

import msgspec
import yaml

from ssh_session_gc.core.model import Action
from ssh_session_gc.core.plan import Plan, Row
from ssh_session_gc.core.times import format_instant

API_VERSION = "ssh-session-gc/v1"


class _Document(msgspec.Struct, rename="camel"):
    """Spells the names of fields as Kubernetes does."""


class _Owner(_Document):
    pod: str
    uid: str
    container: str
    state: str
    started_at: str | None
    finished_at: str | None


class _Session(_Document):
    namespace: str
    name: str
    uid: str
    user: str
    connection_id: str
    phase: str
    age_seconds: int
    connected: bool | None
    verdict: str
    reason: str | None
    due: str | None
    owner: str | None
    evidence: str


class _Plan(_Document):
    api_version: str
    kind: str
    now: str
    owners: list[_Owner]
    sessions: list[_Session]
    summary: dict[str, int]


def to_json(plan: Plan) -> str:
    """The document as indented JSON, with a line end."""
    return msgspec.json.format(msgspec.json.encode(_document(plan)), indent=2).decode() + "\n"


def to_yaml(plan: Plan) -> str:
    """The document as YAML."""
    text: str = yaml.safe_dump(msgspec.to_builtins(_document(plan)), sort_keys=False, allow_unicode=True, width=1000)
    return text


def to_names(plan: Plan) -> str:
    """A line ``pod/NAME`` for each session, as ``kubectl delete`` and ``xargs`` take it."""
    return "".join(f"pod/{row.session.name}\n" for row in plan.rows)


def _document(plan: Plan) -> _Plan:
    return _Plan(
        api_version=API_VERSION,
        kind="Plan",
        now=format_instant(plan.now),
        owners=[
            _Owner(o.pod, o.pod_uid, o.container, o.state, _instant(o.started), _instant(o.finished))
            for o in plan.owners
        ],
        sessions=[_session(plan, row) for row in plan.rows],
        summary={action: plan.summary[action] for action in Action},
    )


def _session(plan: Plan, row: Row) -> _Session:
    session, verdict, evidence, *_ = row
    owner = verdict.ownership.owner if verdict.ownership else None
    return _Session(
        namespace=plan.namespace,
        name=session.name,
        uid=session.uid,
        user=session.user,
        connection_id=session.connection_id,
        phase=session.phase,
        age_seconds=int(plan.now - session.created),
        connected=row.presence.connected,
        verdict=verdict.action,
        reason=verdict.reason,
        due=_instant(verdict.due),
        owner=owner.pod if owner else None,
        evidence=evidence,
    )


def _instant(at: float | None) -> str | None:
    return None if at is None else format_instant(at)

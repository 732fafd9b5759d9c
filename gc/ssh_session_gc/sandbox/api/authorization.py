"""Authorization: identities, RBAC rules, and the answers to access reviews.

Knows rules as a Role spells them ("Using RBAC Authorization") and the wording of a refusal. Roles and bindings are no
objects here: the server is told what each user may do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ssh_session_gc.sandbox.api.objects import Object, Resource
from ssh_session_gc.sandbox.api.refusals import Refusal


@dataclass(frozen=True, slots=True)
class Identity:
    """The user that a token belongs to."""

    user: str
    groups: tuple[str, ...] = ()


ADMIN = Identity("kubernetes-admin", ("system:masters",))
"""The identity of all requests where the server wants no token. The group may do everything, without any rule."""
ANONYMOUS = Identity("system:anonymous", ("system:unauthenticated",))
"""The identity of requests without a token where one is wanted. It may read the health and the version."""


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One rule of a Role; ``*`` stands for all. A subresource is spelled ``pods/status``."""

    verbs: tuple[str, ...]
    resources: tuple[str, ...]
    api_groups: tuple[str, ...] = ("",)
    resource_names: tuple[str, ...] = ()
    namespace: str | None = None  # None: a ClusterRole, bound everywhere


@dataclass(frozen=True, slots=True)
class Access:
    """A verb on something. ``namespace`` is "" for the whole cluster; ``name`` is "" for no object in particular.

    A list or watch counts as one of a single object where its field selector pins ``metadata.name``.
    """

    verb: str
    group: str
    resource: str  # "pods", "pods/status"
    namespace: str = ""
    name: str = ""


Roles = Mapping[str, Sequence[PolicyRule]]
"""The rules of each user, by name."""


def allowed(roles: Roles | None, who: Identity, access: Access) -> bool:
    """Whether the rules allow it. Without rules, everybody but ``ANONYMOUS`` may do everything."""
    if "system:masters" in who.groups or (roles is None and who is not ANONYMOUS):
        return True
    return any(_grants(rule, access) for rule in (roles or {}).get(who.user, ()))


def check(roles: Roles | None, who: Identity, access: Access, res: Resource) -> None:
    """Raises Refusal 403, in the API server's words, unless it is allowed."""
    if allowed(roles, who, access):
        return
    scope = f'in the namespace "{access.namespace}"' if access.namespace else "at the cluster scope"
    what = f'cannot {access.verb} resource "{access.resource}" in API group "{access.group}" {scope}'
    named = f'{res.qualified} "{access.name}"' if access.name else res.qualified
    raise Refusal.about(res, access.name, 403, "Forbidden", f'{named} is forbidden: User "{who.user}" {what}')


def review(roles: Roles | None, who: Identity, body: Object) -> Object:
    """The answer to a SelfSubjectAccessReview. Raises Refusal 422 where it asks for nothing."""
    spec = body.get("spec") or {}
    wanted = {key: value for key, value in (spec.get("resourceAttributes") or {}).items() if value}
    if wanted:
        answered: Object = {"resourceAttributes": wanted}
        parts = (wanted.get("resource", ""), wanted.get("subresource", ""))
        access = Access(
            wanted.get("verb", ""),
            wanted.get("group", ""),
            "/".join(filter(None, parts)),
            wanted.get("namespace", ""),
            wanted.get("name", ""),
        )
        permitted = allowed(roles, who, access)
    elif spec.get("nonResourceAttributes"):
        answered = {"nonResourceAttributes": spec["nonResourceAttributes"]}
        permitted = True
    else:
        invalid = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise Refusal(422, "Invalid", f"spec.resourceAttributes: Invalid value: null: {invalid}")
    head = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {}}
    return head | {"spec": answered, "status": {"allowed": permitted}}


def self_review(who: Identity) -> Object:
    """The answer to a SelfSubjectReview."""
    user = {"username": who.user, "groups": [*who.groups, "system:authenticated"]}
    head = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {}}
    return head | {"status": {"userInfo": user}}


def _grants(rule: PolicyRule, access: Access) -> bool:
    return (
        _in(access.verb, rule.verbs)
        and _in(access.group, rule.api_groups)
        and _in(access.resource, rule.resources)
        and rule.namespace in (None, access.namespace)
        and (not rule.resource_names or access.name in rule.resource_names)
    )


def _in(value: str, granted: tuple[str, ...]) -> bool:
    return value in granted or "*" in granted

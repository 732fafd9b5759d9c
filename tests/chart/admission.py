"""An API server's admission, as far as the chart's policies need it: mutate, then validate.

CEL's own C++ library reads, type-checks and evaluates the expressions. Knows how Kubernetes matches a request
and what an expression can see; Kyverno's policies have the same form. Does not know what the policies say.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

from cel_expr_python import cel  # type: ignore[import-untyped]
from cel_expr_python.ext import ext_optional  # type: ignore[import-untyped]
from google.protobuf import descriptor_pb2, descriptor_pool, struct_pb2  # type: ignore[import-untyped]
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]

Document = dict[str, Any]

VALIDATING = {"ValidatingAdmissionPolicy": "ValidatingAdmissionPolicyBinding", "ValidatingPolicy": None}
"""The kinds of policy that refuse, each with the kind of its binding; Kyverno's have none."""
MUTATING = {"MutatingAdmissionPolicy": "MutatingAdmissionPolicyBinding", "MutatingPolicy": None}
VISIBLE = ("object", "oldObject", "request", "variables")


class CelError(Exception):
    """An expression failed; the message is CEL's."""


@dataclass
class Request:
    """One request to the API server that changes something in a namespace."""

    operation: str
    object: Document
    old: Document | None = None
    subresource: str = ""
    kind: str = "Pod"
    resource: str = "pods"
    user: str = "system:serviceaccount:other:somebody"
    groups: tuple[str, ...] = ("system:authenticated",)
    extra: Mapping[str, list[str]] = field(default_factory=dict)
    namespace: str = "ssh-sessions"

    def seen(self) -> Document:
        """The variable ``request``. Empty fields are left out, as in JSON from Go."""
        info: Document = {"username": self.user, "groups": list(self.groups)}
        if self.extra:
            info["extra"] = dict(self.extra)
        seen: Document = {
            "kind": {"group": "", "version": "v1", "kind": self.kind},
            "resource": {"group": "", "version": "v1", "resource": self.resource},
            "operation": self.operation,
            "namespace": self.namespace,
            "userInfo": info,
        }
        if self.subresource:
            seen["subResource"] = self.subresource
        return seen


@dataclass
class AdmissionAnswer:
    """What became of a request."""

    object: Document
    """The object with all mutations."""
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """The messages of policies that only warn."""


def admit(documents: Sequence[Document], request: Request) -> AdmissionAnswer:
    """What the policies among these objects do with a request."""
    now = deepcopy(request)
    for policy, binding in _policies(documents, MUTATING):
        if _concerns(policy, binding, now):
            for mutation in policy["spec"]["mutations"]:
                assert mutation["patchType"] == "JSONPatch"
                patches = evaluate(mutation["jsonPatch"]["expression"], _scope(policy, now))
                now.object = _patched(now.object, patches)
    answer = AdmissionAnswer(now.object)
    for policy, binding in _policies(documents, VALIDATING):
        actions = (binding or policy)["spec"]["validationActions"]
        assert set(actions) in ({"Deny"}, {"Warn", "Audit"})
        found = answer.refusals if "Deny" in actions else answer.warnings
        assert policy["spec"]["failurePolicy"] == "Fail"
        if _concerns(policy, binding, now):
            for validation in policy["spec"]["validations"]:
                try:
                    fine = evaluate(validation["expression"], _scope(policy, now))
                except CelError as error:
                    found.append(f"{error}")
                else:
                    assert isinstance(fine, bool)
                    if not fine:
                        found.append(validation["message"])
    return answer


def expressions(policy: Document) -> list[str]:
    """Every expression in a policy."""
    spec = policy["spec"]
    parts = [*spec.get("matchConditions", []), *spec.get("variables", []), *spec.get("validations", [])]
    parts += [mutation["jsonPatch"] for mutation in spec.get("mutations", [])]
    return [part["expression"] for part in parts]


def type_of(expression: str) -> str:
    """The type of an expression, by CEL's type checker. Raises RuntimeError where it finds an error."""
    return str(_compiled(expression).return_type().name())


def evaluate(expression: str, scope: Mapping[str, Any]) -> Any:
    """The value of an expression. Raises CelError."""
    value = _compiled(expression).eval(data=scope)
    if value.type() == cel.Type.ERROR:
        raise CelError(f"{expression}: {value.value()}")
    return value.plain_value()


@cache
def _environment() -> cel.Env:
    # Mutating policies add one type to CEL's own: {op, path, from, value}.
    types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="jsonpatch.proto", syntax="proto3", dependency=["google/protobuf/struct.proto"]
    )
    patch = file.message_type.add(name="JSONPatch")
    for number, name in enumerate(("op", "path", "from"), 1):
        patch.field.add(name=name, number=number, type=types.TYPE_STRING, label=types.LABEL_OPTIONAL)
    value = patch.field.add(name="value", number=4, type=types.TYPE_MESSAGE, label=types.LABEL_OPTIONAL)
    value.type_name = ".google.protobuf.Value"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    variables = dict.fromkeys(VISIBLE, cel.Type.DYN)
    return cel.NewEnv(pool, variables=variables, extensions=[ext_optional.ExtOptional()])


@cache
def _compiled(expression: str) -> cel.Expression:
    return _environment().compile(expression)


def _policies(
    documents: Sequence[Document], kinds: Mapping[str, str | None]
) -> list[tuple[Document, Document | None]]:
    """The policies that are in force, each with its binding: one without a binding does nothing."""
    found: list[tuple[Document, Document | None]] = []
    for policy in documents:
        if policy["kind"] in kinds:
            binds = kinds[policy["kind"]]
            if binds is None:
                found.append((policy, None))
            found += [
                (policy, binding)
                for binding in documents
                if binding["kind"] == binds
                and binding["apiVersion"] == policy["apiVersion"]
                and binding["spec"]["policyName"] == policy["metadata"]["name"]
            ]
    return found


def _concerns(policy: Document, binding: Document | None, request: Request) -> bool:
    constraints = policy["spec"]["matchConstraints"]
    resource = "/".join(filter(None, (request.resource, request.subresource)))
    if not any(
        "" in rule["apiGroups"]
        and "v1" in rule["apiVersions"]
        and request.operation in rule["operations"]
        and resource in rule["resources"]
        for rule in constraints["resourceRules"]
    ):
        return False
    for part in (constraints, binding["spec"]["matchResources"] if binding else {}):
        for key, value in part.get("namespaceSelector", {}).get("matchLabels", {}).items():
            assert key == "kubernetes.io/metadata.name"
            if value != request.namespace:
                return False
    # Kubernetes has no variables in match conditions.
    scope = {key: value for key, value in _scope(policy, request).items() if key != "variables"}
    return all(evaluate(each["expression"], scope) for each in policy["spec"].get("matchConditions", []))


def _scope(policy: Document, request: Request) -> Document:
    # Kyverno has an empty object where Kubernetes has null.
    nothing: Document | None = {} if policy["apiVersion"].startswith("policies.kyverno.io/") else None
    old = nothing if request.old is None else request.old
    scope: Document = {"object": request.object, "oldObject": old, "request": request.seen(), "variables": {}}
    for variable in policy["spec"].get("variables", []):
        # A variable that fails is an error only for an expression that uses it.
        try:
            scope["variables"][variable["name"]] = evaluate(variable["expression"], scope)
        except CelError:
            continue
    return scope


def _patched(before: Document, patches: Any) -> Document:
    result = deepcopy(before)
    for each in patches:
        patch = cast(Document, MessageToDict(each))
        assert patch["op"] == "add"
        *way, last = (part.replace("~1", "/").replace("~0", "~") for part in patch["path"].split("/")[1:])
        at = result
        for step in way:
            # A missing step raises KeyError, as an API server refuses it.
            at = at[step]
        at[last] = patch.get("value", {})
    return result

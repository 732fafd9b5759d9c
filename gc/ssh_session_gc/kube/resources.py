"""The resources of the API that this program speaks of, and their paths. Sends nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of the API: where its collection lies and what errors and permissions call it."""

    group: str
    version: str
    plural: str
    subresource: str = ""
    """What is asked of one object in place of the object itself, such as ``log``."""

    @property
    def qualified(self) -> str:
        """The resource as RBAC spells it: ``pods``, ``pods/log``."""
        return f"{self.plural}/{self.subresource}" if self.subresource else self.plural

    def path(self, namespace: str, name: str = "") -> str:
        """The path of the collection in this namespace ("" for what lies in none), or of one object in it."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root, f"namespaces/{namespace}" if namespace else "", self.plural, name, self.subresource]
        return "/".join(part for part in parts if part)


PODS = Resource("", "v1", "pods")
POD_LOGS = Resource("", "v1", "pods", "log")
NAMESPACES = Resource("", "v1", "namespaces")
EVENTS = Resource("", "v1", "events")
CONFIGMAPS = Resource("", "v1", "configmaps")
SECRETS = Resource("", "v1", "secrets")
DEPLOYMENTS = Resource("apps", "v1", "deployments")
STATEFULSETS = Resource("apps", "v1", "statefulsets")
DAEMONSETS = Resource("apps", "v1", "daemonsets")
CRONJOBS = Resource("batch", "v1", "cronjobs")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews")
SELF_REVIEWS = Resource("authentication.k8s.io", "v1", "selfsubjectreviews")

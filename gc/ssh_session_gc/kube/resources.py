"""The resources of the API that this program speaks of, and their paths. Sends nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource of the API: where its collection lies and what errors and permissions call it."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str, name: str = "") -> str:
        """The path of the collection in this namespace ("" for what lies in none), or of one object in it."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root, f"namespaces/{namespace}" if namespace else "", self.plural, name]
        return "/".join(part for part in parts if part)


PODS = Kind("", "v1", "pods")
NAMESPACES = Kind("", "v1", "namespaces")
EVENTS = Kind("", "v1", "events")
DEPLOYMENTS = Kind("apps", "v1", "deployments")
STATEFULSETS = Kind("apps", "v1", "statefulsets")
DAEMONSETS = Kind("apps", "v1", "daemonsets")
CRONJOBS = Kind("batch", "v1", "cronjobs")
LEASES = Kind("coordination.k8s.io", "v1", "leases")
ACCESS_REVIEWS = Kind("authorization.k8s.io", "v1", "selfsubjectaccessreviews")
SELF_REVIEWS = Kind("authentication.k8s.io", "v1", "selfsubjectreviews")

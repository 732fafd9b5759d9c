"""The options of the leader election, and the lease that they name."""

from pathlib import Path

from ssh_session_gc.cli.options import Section, flag, option, option_class
from ssh_session_gc.cli.values import NAME
from ssh_session_gc.settings import LeaseRef

OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where a Pod finds its namespace (Kubernetes documentation, "Accessing the Kubernetes API from a Pod")."""


@option_class
class LeaseOptions:
    """Whether replicas compete for a lease, and for which."""

    leader_elect: bool = flag(
        "Of several replicas, only the one that holds the lease deletes; the others stand by.", Section.LEASE
    )
    lease_namespace: str | None = option(
        "Namespace of the lease; without it the Pod's own, or else the session namespace.", NAME, Section.LEASE
    )
    lease_name: str = option("Name of the lease.", NAME, Section.LEASE, default="ssh-session-gc")

    def lease(self, session_namespace: str) -> LeaseRef | None:
        """Returns the lease, or None where there is no election."""
        if not self.leader_elect:
            return None
        namespace = self.lease_namespace
        if not namespace:
            namespace = OWN_NAMESPACE.read_text().strip() if OWN_NAMESPACE.exists() else session_namespace
        return LeaseRef(namespace, self.lease_name)

"""ContainerSSH: what its processes do in the cluster, and the truth about their sessions.

Knows the nodes that it runs on and the store that it writes to.
"""

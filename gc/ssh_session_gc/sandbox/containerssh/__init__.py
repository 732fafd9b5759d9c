"""ContainerSSH: what its processes do in the cluster, and the truth about its sessions."""

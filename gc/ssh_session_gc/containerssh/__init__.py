"""What ContainerSSH writes, read as the core's values.

Knows its forms (version 0.6). Does not know how they come here (``kube``, ``cluster``).
"""

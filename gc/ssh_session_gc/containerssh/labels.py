"""What ContainerSSH writes onto the Pods that it makes: labels and annotations, and what it has to change for them.

Knows its source (``kubernetes/networkHandler.go``): of a user's name every character but letters, digits, ``|`` and
``.`` becomes a ``-``, and of an address each ``:``. Does not know what else is in a Pod (``kube.pods``).
"""

import re
from ipaddress import ip_address


def label(user: str) -> str:
    """What ContainerSSH makes of a user's name. Several names may be one label."""
    return re.sub(r"[^A-Za-z0-9|.]", "-", user)


def address(written: str) -> str:
    """A client's address, as it was before it was written down; as it is, where it can be none."""
    if "-" not in written:
        return written
    try:
        return str(ip_address(written[:64].replace("-", ":")))
    except ValueError:
        return written

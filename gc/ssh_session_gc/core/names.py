"""Names and uids as Kubernetes spells them.

Knows the forms. They are checked where somebody else's text is to become part of a path or of a command.
"""

import re

LONGEST_NAME = 253
"""Characters of a name at the most."""
LONGEST_UID = 64
"""Characters of a uid at the most. Kubernetes' own have 36."""

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
NAME = rf"^{_LABEL}(\.{_LABEL})*\Z"
"""An RFC 1123 subdomain, which every RFC 1123 label is, too (Kubernetes documentation, "Object Names and IDs")."""
UID = r"^[0-9A-Za-z][-0-9A-Za-z]*\Z"
"""What a uid may be. Kubernetes' own are UUIDs."""

_name, _uid = re.compile(NAME), re.compile(UID)


def is_name(text: str) -> bool:
    """Whether the text can name an object, a namespace or a container."""
    return len(text) <= LONGEST_NAME and _name.match(text) is not None


def parse_name(text: str) -> str:
    """The text, if it can name an object or a namespace. Raises ValueError with a sentence for the user."""
    if not is_name(text):
        raise ValueError("a name has lower-case letters, digits, '-' and '.' only")
    return text


def is_uid(text: str) -> bool:
    """Whether the text can be a uid."""
    return len(text) <= LONGEST_UID and _uid.match(text) is not None


def parse_uid(text: str) -> str:
    """The text, if it can be a uid. Raises ValueError with a sentence for the user."""
    if not is_uid(text):
        raise ValueError("a uid has letters, digits and '-' only")
    return text

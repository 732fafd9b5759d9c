"""Puts something else in the place of a part of the program, for the rest of the process."""

from typing import Any


def replace(where: Any, name: str, what: Any) -> None:
    """Replaces a function, a method or a value."""
    assert hasattr(where, name), name
    setattr(where, name, what)

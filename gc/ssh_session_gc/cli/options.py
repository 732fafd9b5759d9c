"""Options as fields: a class of options is a frozen dataclass, and each of its fields is one option.

::

    @option_class
    class Rules:
        max_age: float = option("Age at which a session is over.", DURATION, Section.RULES, default="1h")

makes the option ``--max-age``, which stands in the help under "Rules" and has the environment variable
``SSH_SESSION_GC_MAX_AGE``; the flag wins. ``Rules()`` has every default. A field whose type is itself a class of
options brings all of that one's. Knows click. Does not know which options there are (``common`` and the commands do).
"""

import dataclasses
from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar, dataclass_transform, overload

import click

T = TypeVar("T")

_OPTION, _GIVEN = "option", "given"


class Section(StrEnum):
    """The headings under which ``--help`` lists options, in this order."""

    CLUSTER = "Cluster"
    WHO = "Sessions and owners"
    RULES = "Rules"
    DELETION = "Deletion"
    SERVICE = "Service"
    LEASE = "Leader election"
    FILTER = "Filter"
    OUTPUT = "Output"
    OTHER = "Options"


class SectionedOption(click.Option):
    """An option that stands under a heading."""

    def __init__(self, declarations: list[str], *, section: Section, **more: Any) -> None:
        super().__init__(declarations, **more)
        self.section = section


@dataclass_transform(frozen_default=True)
def option_class(cls: type[T]) -> type[T]:
    """Makes a class of options of this one."""
    return dataclasses.dataclass(frozen=True, slots=True)(cls)


@overload
def option(
    text: str,
    kind: click.ParamType[T, Any],
    section: Section,
    short: str = "",
    *,
    default: str,
    bare: str | None = None,
) -> T: ...
@overload
def option(text: str, kind: click.ParamType[T, Any], section: Section, short: str = "") -> T | None: ...
def option(
    text: str,
    kind: click.ParamType[T, Any],
    section: Section,
    short: str = "",
    *,
    default: str | None = None,
    bare: str | None = None,
) -> T | None:
    """An option with one value. ``bare`` is the value where the option is given without one."""
    more: dict[str, Any] = {"type": kind}
    if default is not None:
        more |= {"default": default, "show_default": True}
    if bare is not None:
        more |= {"is_flag": False, "flag_value": bare}
    return _field(None if default is None else kind.convert(default, None, None), text, section, short, more)


def flag(text: str, section: Section, short: str = "") -> bool:
    """An option without a value."""
    return _field(False, text, section, short, {"is_flag": True})


def switch(text: str, section: Section, *, default: bool) -> bool:
    """An option that is turned on by its name, and off by ``--no-`` and its name."""
    return _field(default, text, section, "", {"default": default, "show_default": True}, off=True)


def repeated(text: str, kind: click.ParamType[T, Any], section: Section) -> tuple[T, ...]:
    """An option that may be given several times."""
    return _field((), text, section, "", {"type": kind, "multiple": True})


def given(name: str) -> bool:
    """Whether another option of the class was given, even with the value that is its default."""
    return dataclasses.field(default=False, metadata={_GIVEN: name})


def _field(default: T, text: str, section: Section, short: str, more: dict[str, Any], *, off: bool = False) -> T:
    def make(name: str) -> click.Option:
        long = "--" + name.replace("_", "-")
        variable = f"SSH_SESSION_GC_{name.upper()}"
        names = [short, long] if short else [long]
        if off:
            names = [f"{long}/--no-{long.removeprefix('--')}"]
        return SectionedOption(names, section=section, envvar=variable, help=text, **more)

    return dataclasses.field(default=default, metadata={_OPTION: make})


def declared(cls: type) -> list[click.Option]:
    """Makes click's options for a class of options, in the order of its fields."""
    found: list[click.Option] = []
    for field in dataclasses.fields(cls):
        make: Callable[[str], click.Option] | None = field.metadata.get(_OPTION)
        if make is not None:
            found.append(make(field.name))
        elif _GIVEN not in field.metadata:
            found += declared(_nested(field))
    return found


def read(cls: type[T], context: click.Context) -> T:
    """Returns the values that the command line and the environment give to a class of options."""
    values: dict[str, object] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # every class of options is a dataclass
        if _OPTION in field.metadata:
            values[field.name] = context.params[field.name]
        elif _GIVEN in field.metadata:
            source = context.get_parameter_source(field.metadata[_GIVEN])
            values[field.name] = source is not click.core.ParameterSource.DEFAULT
        else:
            values[field.name] = read(_nested(field), context)
    return cls(**values)


def _nested(field: "dataclasses.Field[Any]") -> type:
    if not dataclasses.is_dataclass(field.type) or not isinstance(field.type, type):
        raise TypeError(f"{field.name} is neither an option nor a class of options")
    return field.type

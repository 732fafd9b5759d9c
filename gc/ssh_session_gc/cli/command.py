"""A command: a function that takes a class of options and returns an exit status.

Knows how help looks: examples, options under headings, and a whole line for each command in the list of all.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_type_hints

import click

from ssh_session_gc.cli.options import Section, declared, read

Example = tuple[str, str]
"""What stands after the name of the command, and what that does."""


class DocumentedCommand(click.Command):
    """A command whose help has examples, and its options under headings."""

    def __init__(self, name: str, *, examples: Sequence[Example], **more: Any) -> None:
        super().__init__(name, **more)
        self._examples = examples
        # click would cut it where the line of the terminal ends.
        self.short_help = " ".join(inspect.cleandoc(self.help or "").partition("\n\n")[0].split())
        if any(param.name == "max_age" for param in self.params):
            self.epilog = "Every option has a variable, too: SSH_SESSION_GC_MAX_AGE is --max-age. The option wins."

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the examples and the options."""
        if self._examples:
            with formatter.section("Examples"):
                for args, text in self._examples:
                    formatter.write_text(f"# {text}")
                    formatter.write_text(f"{ctx.command_path}{args}")
        options = [
            (getattr(param, "section", Section.OTHER), param.get_help_record(ctx))
            for param in self.get_params(ctx)
            if not isinstance(param, click.Argument)  # the usage line has these
        ]
        for section in Section:
            if records := [record for each, record in options if each is section and record is not None]:
                with formatter.section(section):
                    formatter.write_dl(records)


def command(
    *arguments: click.Argument, examples: Sequence[Example] = (), defaults: Mapping[str, str] | None = None
) -> Callable[[Callable[..., int]], click.Command]:
    """Makes a command of a function, under its name and with its docstring as help.

    A parameter of the function whose type is a class of options gets the values of these; every other one gets the
    argument of its name. ``defaults`` are those of this command alone, in place of the class's, by the field's name.
    """

    def decorate(work: Callable[..., int]) -> click.Command:
        classes = {name: kind for name, kind in get_type_hints(work).items() if hasattr(kind, "__dataclass_fields__")}
        options = [option for kind in classes.values() for option in declared(kind)]
        for option in options:
            option.default = (defaults or {}).get(option.name or "", option.default)

        def call(**given: object) -> int:
            context = click.get_current_context()
            values = {name: read(kind, context) for name, kind in classes.items()}
            return work(**values, **{str(each.name): given[str(each.name)] for each in arguments})

        params = [*arguments, *options]
        return DocumentedCommand(work.__name__, callback=call, params=params, help=work.__doc__, examples=examples)

    return decorate

"""Classes of options: what becomes of fields, and the values that come back."""

import click
import pytest

from ssh_session_gc.cli.check import CheckOptions
from ssh_session_gc.cli.command import command
from ssh_session_gc.cli.common import CommonOptions
from ssh_session_gc.cli.explain import explain
from ssh_session_gc.cli.options import Section, declared, flag, given, option, option_class, read, repeated
from ssh_session_gc.cli.plan import PlanOptions
from ssh_session_gc.cli.program import cli
from ssh_session_gc.cli.run import RunOptions, run
from ssh_session_gc.cli.values import DURATION, TEXT, Form, OneOf
from ssh_session_gc.core.model import Action
from ssh_session_gc.settings import DryRun, OwnerRef, Settings


@option_class
class Inner:
    """Options that another class brings."""

    how_long: float = option("A time.", DURATION, Section.RULES, default="90s")
    how_long_given: bool = given("how_long")


@option_class
class Outer:
    """One field of each kind."""

    inner: Inner = Inner()
    where: str | None = option("A place.", TEXT, Section.CLUSTER)
    form: Form = option("A form.", OneOf(Form), Section.OUTPUT, "-o", default="table", bare="wide")
    verdict: tuple[Action, ...] = repeated("A verdict.", OneOf(Action, case_sensitive=False), Section.FILTER)
    loud: bool = flag("A flag.", Section.OTHER, "-l")


def values(*args: str) -> Outer:
    """What a command line gives to these classes."""
    context = click.Command("try", params=[*declared(Outer)]).make_context("try", list(args))
    return read(Outer, context)


def test_without_any_option_a_class_has_its_defaults() -> None:
    assert values() == Outer() == Outer(Inner(90.0, False), None, Form.TABLE, (), False)


def test_options_come_back_as_typed_values() -> None:
    found = values(
        "--how-long", "2m", "--where", "here", "-o", "json", "--verdict", "KEEP", "--verdict", "waiting", "-l"
    )
    assert found == Outer(Inner(120.0, True), "here", Form.JSON, (Action.KEEP, Action.WAITING), True)
    assert isinstance(found.form, Form)


def test_a_default_that_was_given_is_told_from_one_that_was_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert values("--how-long", "90s").inner == Inner(90.0, True)
    monkeypatch.setenv("SSH_SESSION_GC_HOW_LONG", "90s")
    assert values().inner.how_long_given


def test_an_option_without_its_value() -> None:
    assert values("--form").form is Form.WIDE


def test_a_field_that_is_no_option_is_a_mistake() -> None:
    @option_class
    class Wrong:
        field: int = 3

    with pytest.raises(TypeError, match="field is neither an option nor a class of options"):
        declared(Wrong)


def test_a_command_has_its_own_defaults() -> None:
    @command(defaults={"how_long": "5s"})
    def mine(options: Outer) -> int:
        """Do it."""
        return round(options.inner.how_long)

    assert mine.main([], standalone_mode=False) == 5
    assert values().inner.how_long == 90.0


def test_the_defaults_of_the_options_are_those_of_the_settings() -> None:
    for settings in (CommonOptions().settings(), CheckOptions().settings(), RunOptions().settings()):
        assert settings == Settings()
    assert PlanOptions().common.logging.log_level == "warning"
    for each, level in ((run, "info"), (explain, "warning")):
        args = ["pod"] if each is explain else []
        assert each.make_context(str(each.name), args).params["log_level"] == level


def test_settings_follow_from_options() -> None:
    assert CommonOptions(owner="none").settings().policy.ownerless is False
    assert CommonOptions(owner=OwnerRef("daemonset", "a", "b")).settings().owner_namespace == "a"
    by_label = CommonOptions(owner_selector="a=b", owner_namespace="c").settings()
    assert (by_label.owner, by_label.owner_selector, by_label.owner_namespace) == (None, "a=b", "c")
    assert RunOptions(dry_run=DryRun.SERVER, concurrency=7).settings().dry_run is DryRun.SERVER


def test_every_option_of_every_command_has_its_variable() -> None:
    for each in cli.commands.values():
        for param in each.params:
            if isinstance(param, click.Option):
                assert param.envvar == f"SSH_SESSION_GC_{str(param.name).upper()}"

"""Texts of strangers, made safe to show."""

from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.core.text import counted, printable


@given(st.text(), st.integers(1, 200))
def test_printable_is_short_and_cannot_repaint_a_terminal(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    shown.encode("utf-8")  # no lone surrogate: it can be written anywhere


def test_printable_leaves_good_text_alone() -> None:
    assert printable("Zoë|名前.שלום") == "Zoë|名前.שלום"
    assert printable("a\x1b[2Jb\u202ec\n") == "a\\x1b[2Jb\\u202ec\\n"
    assert printable("Zoë\x07") == "Zoë\\x07"
    assert printable("x" * 200) == "x" * 127 + "…"
    assert printable("x" * 128) == "x" * 128
    assert [printable("\nxx", limit) for limit in (3, 4)] == ["\\n…", "\\nxx"]


def test_so_many_of_something() -> None:
    assert [counted(n, "session") for n in (0, 1, 2, 12_345)] == [
        "0 sessions", "1 session", "2 sessions", "12,345 sessions",
    ]  # fmt: skip

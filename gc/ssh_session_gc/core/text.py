"""Text that somebody else wrote, made safe to show.

User names, addresses and waiting reasons come from Pods. They can be huge, and they can carry escape sequences
that repaint a terminal or reverse the reading order. Every such text passes through here once, where a Pod is
decoded, so that nothing further in has to remember to.
"""

LIMIT = 128
"""The longest text kept of a Pod's field, in characters."""


def counted(count: int, word: str) -> str:
    """A count with its word, in the plural where it is one: ``1 session``, ``2 sessions``."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def printable(text: str, limit: int = LIMIT) -> str:
    """``text`` in at most ``limit`` characters, with everything that is not printable as a backslash escape.

    Unprintable is what Python's ``str.isprintable`` says: control characters, line separators, direction
    overrides and other format characters, private use, lone surrogates. Letters of every script stay.
    """
    if len(text) <= limit and text.isprintable():
        return text
    # Cut first: escaping makes text longer, and a hostile text is long.
    cut = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[: limit + 1])
    return cut if len(cut) <= limit else cut[: limit - 1] + "…"

"""Writes the table of values in ``chart/README.md`` out of ``chart/values.yaml`` and its comments.

Run it with ``python docs/values.py`` after a change to the values; ``--check`` only tells whether it is needed. A
comment that begins with ``# --`` right above a key documents that key, and keys below it that have none.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

CHART = Path(__file__).parents[1] / "chart"
BEGIN, END = "<!-- values: begin -->\n", "<!-- values: end -->\n"
MARK = "# --"


class Value(NamedTuple):
    """A row of the table."""

    key: str
    default: object
    text: str


def values(text: str) -> Iterator[Value]:
    """The documented values of a file, in its order."""
    yield from _below(yaml.compose(text), yaml.safe_load(text), text.splitlines(), "")


def undocumented(text: str) -> list[str]:
    """The keys without a comment of their own, of a key above or of a key below."""
    known = [value.key for value in values(text)]
    return [
        key
        for key in _leaves(yaml.safe_load(text), "")
        if not any(key == each or key.startswith(each + ".") for each in known)
    ]


def readme(old: str, text: str) -> str:
    """The README with a new table."""
    before, _, rest = old.partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = [f"| `{value.key}` | {_code(value.default)} | {_cell(value.text)} |" for value in values(text)]
    table = "\n".join(["| value | default | |", "| --- | --- | --- |", *rows])
    return f"{before}{BEGIN}\n{table}\n\n{END}{after}"


def main() -> int:
    """Writes the table, or with ``--check`` returns 1 where it is out of date."""
    path = CHART / "README.md"
    old = path.read_text()
    new = readme(old, (CHART / "values.yaml").read_text())
    if sys.argv[1:] == ["--check"]:
        if old != new:
            print(f"{path.name} is out of date: run `python docs/values.py`", file=sys.stderr)  # noqa: T201
        return int(old != new)
    path.write_text(new)
    return 0


def _below(node: yaml.Node, content: object, lines: list[str], prefix: str) -> Iterator[Value]:
    if not isinstance(node, yaml.MappingNode) or not isinstance(content, dict):
        return
    for key, child in node.value:
        name, value = f"{prefix}{key.value}", content[key.value]
        if text := _comment(lines, key.start_mark.line, key.start_mark.column):
            yield Value(name, value, text)
        yield from _below(child, value, lines, f"{name}.")


def _comment(lines: list[str], line: int, column: int) -> str:
    """The comment above this line, if it is for the table."""
    found: list[str] = []
    for above in reversed(lines[:line]):
        if above[:column].strip() or not above[column:].startswith("#"):
            break
        found.insert(0, above[column:])
        if above[column:].startswith(MARK):
            return " ".join(each.removeprefix(MARK).removeprefix("#").strip() for each in found)
    return ""


def _leaves(content: object, prefix: str) -> Iterator[str]:
    if isinstance(content, dict) and content:
        for key, value in content.items():
            yield from _leaves(value, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix


def _code(value: object) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").strip()


if __name__ == "__main__":
    sys.exit(main())

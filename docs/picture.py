"""Makes ``docs/plan.svg``, the README's picture of what two real commands print on the simulated cluster.

Run it with ``make picture``. Nothing is drawn by hand: the commands run, and rich turns their output into an SVG.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.text import Text

COLUMNS = 124
COMMANDS = (("plan", "--sandbox"), ("explain", "containerssh-2p46c", "--sandbox"))
LINES = 50
"""The lines of the picture: the second command prints more than a glance can take in."""


def main() -> None:
    """Writes the picture."""
    console = Console(record=True, width=COLUMNS, file=Path(os.devnull).open("w"), force_terminal=True)  # noqa: SIM115
    printed = Text()
    for command in COMMANDS:
        printed.append("$ ", "dim").append(f"ssh-session-gc {' '.join(command)}\n", "bold")
        printed.append_text(Text.from_ansi(_run(command))).append("\n\n")
    lines = printed.wrap(console, COLUMNS)[:LINES]
    console.print(Text("\n").join(lines))
    # The picture uses the reader's font, not the one that rich would fetch from elsewhere.
    form = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    svg = console.export_svg(title="ssh-session-gc", code_format=form, unique_id="plan")
    Path(__file__).with_name("plan.svg").write_text(re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE))


def _run(command: tuple[str, ...]) -> str:
    program = Path(sys.executable).with_name("ssh-session-gc")
    clean = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    env = clean | {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    return subprocess.run([program, *command], env=env, check=True, capture_output=True, text=True).stdout  # noqa: S603


if __name__ == "__main__":
    main()

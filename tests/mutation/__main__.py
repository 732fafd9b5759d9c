"""Breaks the policy on purpose and sees whether the tests notice: ``make mutants``, told in docs/mutation.md.

mutmut makes the mutants and runs the tests on them, in the copy of the tree that the Makefile lays out, with the
package under ``src``, where mutmut looks for it. What is here is the mutations that it does not have, and the list of
the survivors that are known.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import libcst as cst
from hypothesis import HealthCheck, Phase, settings
from mutmut import __main__ as mutmut
from mutmut.mutation import diff_apply, mutators
from mutmut.mutation.data import SourceFileMutationData
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

KNOWN = Path(__file__).with_name("survivors.txt")
SOURCES = "src/ssh_session_gc"
NOTICED = ("killed", "timeout")
OPPOSITES = {"min": "max", "max": "min", "any": "all", "all": "any"}


def opposite(node: cst.Name) -> Iterator[cst.Name]:
    """The other one of a pair of functions."""
    if node.value in OPPOSITES:
        yield node.with_changes(value=OPPOSITES[node.value])


# Each branch taken always and never, which mutmut does to conditional expressions only.
mutators.mutation_operators += [  # type: ignore[operator]
    (cst.If, mutators.operator_if_exp),
    (cst.CompIf, mutators.operator_if_exp),
    (cst.Name, opposite),
]

# The same examples each time, or a mutant that dies today might live tomorrow; and no search for the smallest.
settings.register_profile(
    "mutants",
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)


def described(name: str, path: Path) -> str:
    """A mutant by what it changes: the function, the lines before and after. Line numbers would not last."""
    function, owner = orig_function_and_class_names_from_key(name)
    changed = diff_apply.get_diff_for_mutant(name, path=path).splitlines()[2:]
    lines = [f"{line[0]} {line[1:].strip()}" for line in changed if line[0] in "+-"]
    where = path.relative_to(SOURCES)
    return "\n".join([f"{where} {f'{owner}.' if owner else ''}{function}", *lines])


def known() -> set[str]:
    """The survivors that are listed: blocks between empty lines; lines with # say why."""
    text = "\n".join(line for line in KNOWN.read_text().splitlines() if not line.startswith("#"))
    return {block.strip() for block in text.split("\n\n") if block.strip()}


def told(title: str, mutants: Iterable[str]) -> bool:
    """Prints these, if any."""
    found = sorted(mutants)
    if found:
        print(f"\n{title}:\n\n" + "\n\n".join(found))
    return bool(found)


def main(names: list[str]) -> int:
    """Runs the mutants whose names match (all of them without any); the exit status."""
    mutmut._run(tuple(names), max_children=1)
    survived: set[str] = set()
    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        tried = {name: status_by_exit_code[code] for name, code in data.exit_code_by_key.items() if code is not None}
        print(f"{path.relative_to(SOURCES)}: {len(tried)} mutants,", dict(Counter(tried.values())))
        survived |= {described(name, path) for name, status in tried.items() if status not in NOTICED}
    listed = known()
    wrong = told("These survive and are not in tests/mutation/survivors.txt", survived - listed)
    if not names:
        wrong |= told("These are listed and do not survive any more", listed - survived)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

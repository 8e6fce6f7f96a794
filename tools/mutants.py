"""Changes the code in one place at a time and asks the tests whether they notice.

python -m tools.mutants core/masks --count 34 --seed 1

A mutant that the tests let pass is printed as a diff: it is equal to the original, or a test is
missing. The file is written anew for each mutant and restored after it, so that nothing else should
work in the same tree meanwhile.
"""

from __future__ import annotations

import argparse
import ast
import copy
import difflib
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import ROOT

# What else runs a folder, besides the tests in its mirror.
ALSO = {
    "core/masks": ("tests/nodes/test_mask_nodes.py", "tests/nodes/test_select_segments.py"),
    "core/providers": ("tests/nodes/test_remote_segment.py", "tests/nodes/test_inputs.py"),
    "nodes": ("tests/test_pack.py", "tests/test_locales.py", "tests/test_workflows.py"),
}
FOLDERS = tuple(ALSO)
# A mutant may loop for ever; no folder's tests take a tenth of this.
TIMEOUT = 1800
_NO_TESTS = 5

_COMPARISONS: dict[type[ast.cmpop], ast.cmpop] = {
    ast.Lt: ast.LtE(),
    ast.LtE: ast.Lt(),
    ast.Gt: ast.GtE(),
    ast.GtE: ast.Gt(),
    ast.Eq: ast.NotEq(),
    ast.NotEq: ast.Eq(),
    ast.Is: ast.IsNot(),
    ast.IsNot: ast.Is(),
    ast.In: ast.NotIn(),
    ast.NotIn: ast.In(),
}
_ARITHMETIC: dict[type[ast.operator], ast.operator] = {
    ast.Add: ast.Sub(),
    ast.Sub: ast.Add(),
    ast.Mult: ast.Div(),
    ast.Div: ast.Mult(),
    ast.FloorDiv: ast.Div(),
    ast.Mod: ast.Mult(),
    ast.BitAnd: ast.BitOr(),
    ast.BitOr: ast.BitAnd(),
}
_Place = ast.expr | ast.stmt | ast.keyword
_OPPOSITES = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Mutant:
    """One change: the bytes from start to end of a file become `text`."""

    file: Path
    start: int
    end: int
    text: str
    kind: str

    @property
    def name(self) -> str:
        return self.file.relative_to(ROOT).as_posix()

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]

    def diff(self) -> str:
        source = self.file.read_bytes()
        before, after = source.decode(), self.applied(source).decode()
        lines = difflib.unified_diff(
            before.splitlines(), after.splitlines(), self.name, self.kind, n=1, lineterm=""
        )
        return "\n".join(lines)


def mutants_of(file: Path) -> list[Mutant]:
    """Every mutant of a file, in the order of its lines."""
    source = file.read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: set[Mutant] = set()
    for node in _run_code(ast.parse(source)):
        for changed, text, kind in _changes(node):
            start = starts[changed.lineno - 1] + changed.col_offset
            end = starts[(changed.end_lineno or 0) - 1] + (changed.end_col_offset or 0)
            if not text and source[end : end + 1] == b",":
                end += 1
            found.add(Mutant(file, start, end, text, kind))
    return sorted(found, key=lambda each: (each.start, each.end, each.text))


def _run_code(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that say what is done: no annotations, which nothing reads, and no text."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                yield child
                yield from _run_code(child)


def _changes(node: ast.AST) -> Iterator[tuple[_Place, str, str]]:
    """What to put in the place of a node, or of a part of it, and a name for the change."""
    match node:
        case ast.Compare(ops=[operator]):
            if type(operator) in _COMPARISONS:
                yield node, _text(node, ops=[_COMPARISONS[type(operator)]]), "other comparison"
        case ast.BoolOp():
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield node, _text(node, op=other), "and for or"
            for place in range(len(node.values)):
                rest = node.values[:place] + node.values[place + 1 :]
                yield node, _text(node, values=rest), "dropped condition"
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node, f"({ast.unparse(node.operand)})", "dropped sign"
        case ast.BinOp():
            if type(node.op) in _ARITHMETIC:
                yield node, _text(node, op=_ARITHMETIC[type(node.op)]), "other sign"
        case ast.If() | ast.IfExp():
            yield node.test, "True", "fixed condition"
            yield node.test, "False", "fixed condition"
        case ast.comprehension():
            for test in node.ifs:
                yield test, "True", "fixed condition"
        case ast.Call():
            yield from _call_changes(node)
        case ast.Constant():
            for text in _other_values(node.value):
                yield node, text, "other constant"
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.Raise() | ast.AugAssign():
            yield node, "pass", "dropped statement"
        case ast.Continue() | ast.Break():
            yield node, "pass", "dropped statement"


def _call_changes(call: ast.Call) -> Iterator[tuple[_Place, str, str]]:
    for given in call.keywords:
        if given.arg is not None:
            yield given, "", f"dropped argument {given.arg}"
    if isinstance(call.func, ast.Name) and call.func.id in _OPPOSITES:
        yield call.func, _OPPOSITES[call.func.id], "opposite function"


def _other_values(value: object) -> list[str]:
    if isinstance(value, bool):
        return [str(not value)]
    if isinstance(value, int):
        return [str(value + 1), f"({value - 1})"]
    if isinstance(value, float):
        return [repr(value + 1), repr(value * 2 or -1.0)]
    return []


def _text(node: ast.expr, **fields: object) -> str:
    """The source of an expression with other fields; in parentheses, so that it fits anywhere."""
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return f"({ast.unparse(other)})"


def sample(folder: str, count: int, seed: int) -> list[Mutant]:
    """So many mutants of a folder, by lot; the same ones for the same code and seed."""
    files = sorted(each for each in (ROOT / folder).rglob("*.py"))
    found = [mutant for file in files for mutant in mutants_of(file)]
    chosen = random.Random(seed).sample(found, min(count, len(found)))
    return sorted(chosen, key=lambda each: (each.name, each.start))


def tests_for(folder: str, name: str) -> list[str]:
    """The test files of a folder; those that name the changed module come first."""
    places = [ROOT / place for place in (f"tests/{folder}", *ALSO.get(folder, ()))]
    files = [file for place in places for file in (*place.rglob("test_*.py"), place)]
    files = sorted({file for file in files if file.is_file()})
    module = re.compile(rf"\b{Path(name).stem}\b")
    mirror = f"tests/{Path(name).parent.as_posix()}/test_{Path(name).name}"

    def distance(file: Path) -> tuple[bool, bool, str]:
        path = file.relative_to(ROOT).as_posix()
        return path != mirror, not module.search(file.read_text(encoding="utf-8")), path

    return [file.relative_to(ROOT).as_posix() for file in sorted(files, key=distance)]


def run_tests(files: Sequence[str]) -> str:
    """survived, killed or killed by time-out."""
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *files]
    # What is compiled from a mutant must not stay.
    quiet = {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | quiet, capture_output=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return "killed by time-out"
    if done.returncode == _NO_TESTS:
        raise SystemExit("no test was run")
    return "killed" if done.returncode else "survived"


@contextmanager
def written(mutant: Mutant) -> Iterator[None]:
    """The mutant is in the tree as long as the context lasts."""
    source = mutant.file.read_bytes()
    try:
        mutant.file.write_bytes(mutant.applied(source))
        yield
    finally:
        mutant.file.write_bytes(source)


def ask(folder: str, mutants: Iterable[tuple[int, Mutant]]) -> tuple[int, int]:
    """Run the tests for each mutant and print what came of it; gives (killed, all)."""
    killed = total = 0
    for number, mutant in mutants:
        with written(mutant):
            outcome = run_tests(tests_for(folder, mutant.name))
        killed += outcome != "survived"
        total += 1
        print(f"{number:3} {outcome}: {mutant.name}, {mutant.kind}", flush=True)
        if outcome == "survived":
            print(mutant.diff(), flush=True)
    print(f"{folder}: {killed} of {total} killed", flush=True)
    return killed, total


def main() -> None:
    parser = argparse.ArgumentParser(description="Samples mutants and runs the tests for each.")
    parser.add_argument("folders", nargs="*", default=FOLDERS)
    parser.add_argument("--count", type=int, default=34, help="mutants of each folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of mutants to ask again")
    given = parser.parse_args()
    # A tree that is told to stop is restored, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    for folder in given.folders:
        if run_tests(tests_for(folder, folder)) != "survived":
            raise SystemExit(f"{folder}: its tests fail without a mutant")
        chosen = enumerate(sample(folder, given.count, given.seed), 1)
        ask(folder, [each for each in chosen if not given.only or each[0] in given.only])


if __name__ == "__main__":
    main()

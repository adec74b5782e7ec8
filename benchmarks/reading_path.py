"""What a reader passes between building the paper's ViT and its logits.

Counts the files, functions and lines of code of this package that run while
`ViT(image_size=224, patch_size=16)` is built and called once. A line of code is one
with code in it: no blank line, comment or docstring.

    KERAS_BACKEND=torch python benchmarks/reading_path.py              half a minute
    KERAS_BACKEND=torch python benchmarks/reading_path.py --functions  one line each
"""

from __future__ import annotations

import argparse
import ast
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import keras_vit

PACKAGE = Path(keras_vit.__file__).parent
LAYOUT = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)


def functions_that_run() -> dict[Path, set[int]]:
    """Return where the functions start that run, by file."""
    found: dict[Path, set[int]] = defaultdict(set)

    def note(frame: Any, event: str, argument: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            found[path].add(frame.f_code.co_firstlineno)

    sys.setprofile(note)
    try:
        model = keras_vit.ViT(image_size=224, patch_size=16)
        model(np.zeros((1, 224, 224, 3), "float32"))
    finally:
        sys.setprofile(None)
    return found


def code_lines(path: Path) -> set[int]:
    """Return the numbers of the lines that hold code."""
    with path.open() as file:
        tokens = [t for t in tokenize.generate_tokens(file.readline)]
    lines = {
        line
        for t in tokens
        if t.type not in LAYOUT
        for line in range(t.start[0], t.end[0] + 1)
    }
    for node in ast.walk(ast.parse(path.read_text())):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            lines -= set(range(body[0].lineno, body[0].end_lineno + 1))
    return lines


def _is_text(node: ast.AST) -> bool:
    is_constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_constant and isinstance(node.value.value, str)


def functions(path: Path, starts: set[int]) -> Iterator[tuple[str, set[int]]]:
    """Yield name and lines of code of the functions that start at these lines."""
    code = code_lines(path)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first in starts:
                yield node.name, code & set(range(first, node.end_lineno + 1))


def main() -> None:
    """Print a table row per file, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--functions", action="store_true", help="a line per function")
    arguments = parser.parse_args()
    num_functions = num_lines = 0
    print("| file | functions | lines of code |\n|---|---|---|")
    found = functions_that_run()
    for path in sorted(found):
        rows = list(functions(path, found[path]))
        lines = set().union(*(lines for _, lines in rows))
        num_functions, num_lines = num_functions + len(rows), num_lines + len(lines)
        print(f"| {path.relative_to(PACKAGE)} | {len(rows)} | {len(lines)} |")
        if arguments.functions:
            for name, own in rows:
                print(f"|   {name} | | {len(own)} |")
    print(f"| {len(found)} files | {num_functions} | {num_lines} |")


if __name__ == "__main__":
    main()

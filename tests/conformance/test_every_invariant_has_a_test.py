"""Our account of Xen numbers 61 things that must hold, and each of them has a test named by it."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
INVARIANTS = set(range(1, 62))


def numbers_tested() -> set[int]:
    names = (
        node.name
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return {int(found[1]) for name in names if (found := re.match(r"test_invariant_(\d\d)_", name))}


def test_every_invariant_has_a_test() -> None:
    assert sorted(INVARIANTS - numbers_tested()) == []

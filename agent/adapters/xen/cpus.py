"""Which of dom0's virtual CPUs never run on physical CPU 0. Pure.

Since 4.17 the first offline call about a page of a PV domain, dom0 among them, must not run there:
Xen takes a lock that nobody initialised, and the next such call never returns. So the call is made
on a vCPU that is pinned elsewhere, and pinned is what `xl vcpu-list` says now, not what was meant
at boot.

    Name        ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)
    Domain-0     0     1     1   -b-      10.1  1 / all

Linux numbers the CPUs of a PV dom0 as Xen numbers its vCPUs, so a thread can choose one by that.
"""

import re
from dataclasses import dataclass

from agent.contract.errors import PeerError
from agent.contract.frames import DOM0

FORBIDDEN = 0

_LINE = re.compile(
    r"^.*?\s(?P<domid>\d+)\s+(?P<vcpu>\d+)\s+(?P<cpu>\d+|-)\s+(?P<state>\S{3})\s+[\d.]+\s+"
    r"(?P<hard>\S+)\s+/\s+\S+\s*$"
)
_RANGE = re.compile(r"^(\d+)(?:-(\d+))?$")
_CPUS_MAX = 4096  # Xen's own limit


@dataclass(frozen=True, slots=True)
class Vcpu:
    """`may_run_on` is None for anywhere. `is_up`: Linux has it in use."""

    domid: int
    number: int
    may_run_on: frozenset[int] | None
    is_up: bool

    @property
    def is_safe(self) -> bool:
        return self.is_up and bool(self.may_run_on) and FORBIDDEN not in (self.may_run_on or ())


def safe_vcpus(text: str) -> frozenset[int]:
    """Those vCPUs of dom0, from what `xl vcpu-list` prints.

    Raises:
        PeerError: if there are none; it says how to pin one.
    """
    ours = [vcpu for vcpu in parse(text) if vcpu.domid == DOM0]
    safe = frozenset(vcpu.number for vcpu in ours if vcpu.is_safe)
    if not safe:
        raise PeerError(
            "every vCPU of dom0 may run on physical CPU 0, where offlining a page can hang this "
            f"Xen: {remedy(len(ours))}"
        )
    return safe


def remedy(vcpus: int) -> str:
    """How to get a safe vCPU, where dom0 has so many."""
    vcpu = 1 if vcpus > 1 else 0
    return (
        f"run `xl vcpu-pin 0 {vcpu} 1`, and for the next boot give Xen dom0_vcpus_pin and dom0 "
        "two vCPUs (dom0_max_vcpus=2 or more)"
    )


def parse(text: str) -> tuple[Vcpu, ...]:
    """Every line that is one; the heading is none."""
    found = (_LINE.match(line) for line in text.splitlines())
    return tuple(
        Vcpu(
            int(line["domid"]), int(line["vcpu"]), _affinity(line["hard"]), "p" not in line["state"]
        )
        for line in found
        if line is not None
    )


def _affinity(text: str) -> frozenset[int] | None:
    """`1`, `1-3,6`, `^0` and the like; what cannot be read is anywhere."""
    numbers: set[int] = set()
    for part in text.split(","):
        found = _RANGE.match(part)
        if found is None or int(found[2] or found[1]) >= _CPUS_MAX:
            return None
        numbers |= _between(int(found[1]), int(found[2] or found[1]))
    return frozenset(numbers)


def _between(first: int, last: int) -> set[int]:
    return set(range(first, last + 1))

"""Which vCPUs of dom0 are safe to call from, as `xl vcpu-list` tells."""

import pytest

from agent.adapters.xen.cpus import safe_vcpus
from agent.contract.errors import PeerError

HEADING = "Name              ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)\n"


def listed(*lines: str) -> str:
    return HEADING + "\n".join(lines) + "\n"


def dom0(vcpu: int, hard: str, state: str = "-b-", cpu: str = "1", name: str = "Domain-0") -> str:
    return f"{name:<32}     0  {vcpu:>4}  {cpu:>4}   {state}      10.3  {hard} / all"


PINNED = listed(dom0(0, "0", "r--", "0"), dom0(1, "1"))


def test_a_vcpu_that_is_pinned_elsewhere_is_safe() -> None:
    assert safe_vcpus(PINNED) == {1}


@pytest.mark.parametrize(
    ("hard", "is_safe"),
    [("1", True), ("1-3,6", True), ("all", False), ("0-3", False), ("2,0", False), ("any", False)],
)
def test_safe_is_what_can_never_run_on_physical_cpu_0(hard: str, is_safe: bool) -> None:
    text = listed(dom0(0, "5"), dom0(1, hard))
    assert (1 in safe_vcpus(text)) is is_safe


def test_where_it_happens_to_run_proves_nothing() -> None:
    with pytest.raises(PeerError, match="xl vcpu-pin 0 1 1"):
        safe_vcpus(listed(dom0(0, "all", "r--", "3"), dom0(1, "all", cpu="2")))


def test_a_vcpu_that_linux_has_taken_down_is_none() -> None:
    with pytest.raises(PeerError):
        safe_vcpus(listed(dom0(0, "0"), dom0(1, "1", "--p", "-")))


def test_a_guests_vcpu_is_not_dom0s() -> None:
    guest = dom0(1, "1", name="a guest 0 1 2").replace("     0  ", "     7  ", 1)
    with pytest.raises(PeerError):
        safe_vcpus(listed(dom0(0, "0"), guest))


def test_with_one_vcpu_that_one_is_to_be_pinned_elsewhere() -> None:
    with pytest.raises(PeerError, match="`xl vcpu-pin 0 0 1`"):
        safe_vcpus(listed(dom0(0, "all")))


@pytest.mark.parametrize("text", ["", HEADING, "Domain-0 0 1", listed(dom0(1, "1-99999999999"))])
def test_what_cannot_be_read_proves_nothing(text: str) -> None:
    with pytest.raises(PeerError, match="every vCPU of dom0"):
        safe_vcpus(text)

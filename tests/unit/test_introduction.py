"""Which hosts the agent accepts, and what it says to the others."""

from pathlib import Path

import pytest

from agent.contract.errors import AgentError
from agent.contract.hypercall import HostReply
from agent.introduction import checked
from tests.support.batches import BOOT

SOCKET = Path("/run/h.sock")


def a_host(host: str = "hv-1", personality: str = "thread") -> HostReply:
    return HostReply(host=host, boot_id=BOOT, frames=9, personality=personality)


def complaint(host: HostReply) -> str:
    with pytest.raises(AgentError) as refused:
        checked(host, "hv-1", SOCKET)
    return str(refused.value)


def test_the_configured_host_of_the_2008_design_is_taken() -> None:
    assert checked(a_host(), "hv-1", SOCKET) == a_host()


def test_another_host_is_named_with_the_configured_one() -> None:
    said = complaint(a_host(host="hv-2"))
    assert said.startswith("host is 'hv-1' in the configuration, but ")
    assert "is host 'hv-2'" in said


@pytest.mark.parametrize("personality", ["xen-4.17", "xen-9.99", ""])
def test_a_host_of_another_language_is_refused_in_one_line_with_the_fix(personality: str) -> None:
    said = complaint(a_host(personality=personality))
    assert f"/run/h.sock answers as {personality!r}" in said
    assert "drives only 'thread'" in said
    assert "hypervisor.hypercall_socket" in said
    assert 'host.personality = "thread"' in said
    assert "\n" not in said

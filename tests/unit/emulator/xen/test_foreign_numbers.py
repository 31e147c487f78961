"""Frame numbers that are nobody's business: beyond the host, or of a guest that is larger."""

import pytest

from agent.contract.toolstack import GuestKind, ToolOutcome
from emulator.xen.layout import GuestSpec
from emulator.xen.toolstack import Toolstack
from tests.support.hosts import FIRST, SECOND, frame_of, host_of

SMALL, LARGE = GuestSpec("db", GuestKind.PV, 24), GuestSpec("web", GuestKind.HVM, 300)


@pytest.fixture
def toolstack() -> Toolstack:
    return Toolstack(host_of(SMALL, LARGE))


@pytest.mark.parametrize("mfn", [4096, 1 << 31])
def test_a_guest_cannot_give_up_a_page_that_the_host_does_not_have(
    toolstack: Toolstack, mfn: int
) -> None:
    reply = toolstack.balloon(FIRST, [mfn])
    assert (reply.outcome, reply.blamed) == (ToolOutcome.REFUSED, (mfn,))


def test_a_guest_cannot_give_up_a_page_of_a_larger_one(toolstack: Toolstack) -> None:
    mfn = frame_of(toolstack.hypervisor.domains[SECOND], 299)
    reply = toolstack.balloon(FIRST, [mfn])
    assert (reply.outcome, reply.blamed) == (ToolOutcome.REFUSED, (mfn,))

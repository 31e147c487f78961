"""Real Xen's operations on pages of domains that are dying, which answer like any other's."""

import pytest

from agent.contract.frames import DOM0, Mfn
from emulator.xen.defects import Down, HostDown
from emulator.xen.pageops import Answer
from emulator.xen.pages import PageKind
from tests.support.xen import ON_SMALL, PV_GUEST, Xen

PV = ON_SMALL[PageKind.PV]


@pytest.fixture
def dying() -> Xen:
    """The PV guest is destroyed, and dom0 still maps its page."""
    xen = Xen()
    domain, gfn = xen.host.domains[PV_GUEST], xen.host.table.gfn_of(PV)
    assert gfn is not None
    xen.host.map_page(DOM0, domain, gfn, stays=True)
    xen.host.destroy(domain)
    return xen


def test_a_page_of_a_dying_domain_names_it(dying: Xen) -> None:
    assert dying.offline(PV).words == (0x11004,)


def test_defect_7_a_dying_pv_domain_has_it_too(dying: Xen) -> None:
    first, second = (dying.op.pages.offline(PV, cpu=0) for _ in range(2))
    assert isinstance(first, Answer)
    assert isinstance(second, HostDown)
    assert second.kind is Down.HUNG


def test_who_is_dying_cannot_be_crashed(dying: Xen) -> None:
    dying.break_page(PV)
    assert (dying.offline(PV).words, list(dying.host.dying)) == ((0x10,), [PV_GUEST])


def test_a_broken_page_of_a_dying_domain_leaves_when_it_is_let_go(dying: Xen) -> None:
    dying.break_page(PV)
    dying.host.unmap_page(DOM0, Mfn(PV))
    assert (dying.query(PV).words, dying.host.dying) == ((0x12,), {})

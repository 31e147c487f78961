"""What hangs or kills a host with a real Xen, and never happens: against a Xen that falls.

Behind the port to Xen's libraries stands the emulated xen-4.17, with all its defects.
"""

from pathlib import Path

import pytest

from agent.adapters.xen.pages import Pages, Told
from agent.adapters.xen.releases import Release
from agent.adapters.xen.words import Holder
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageStatus, Refusal, SysctlCommand
from agent.contract.toolstack import DomainState
from agent.telemetry import formats
from agent.telemetry.record import Decoded
from agent.telemetry.source import Stream
from emulator.xen.pages import PageKind
from tests.support.logs import UNSAID
from tests.support.xen import ON_SMALL, PV_GUEST
from tests.support.xen_library import EmulatedLibrary, Fell

DEBIAN = Release(4, 17, 7)
MENDED = Release(4, 22, 0)
FREE, GUESTS, DOM0S = (ON_SMALL[kind] for kind in (PageKind.FREE, PageKind.PV, PageKind.DOM0))
# What dom0 of a Xen 4.17.7 read in /dev/mcelog: status 0x8800004000010090, an empty ADDR, bank 5.
NO_ADDRESS = bytes.fromhex(
    "9000010040000088" + "8600000000000000" + "0" * 80 + "0100000000000000"
    "0005000100000000" + "0" * 16 + "0a01000100000000" + "0" * 48
)
OFFLINE, ONLINE, QUERY = SysctlCommand.OFFLINE, SysctlCommand.ONLINE, SysctlCommand.QUERY


@pytest.fixture
def library() -> EmulatedLibrary:
    return EmulatedLibrary()


@pytest.fixture
def pages(library: EmulatedLibrary) -> Pages:
    return Pages(library, DEBIAN)


def one(told: list[Told]) -> Told:
    (page,) = told
    return page


def test_the_xen_behind_this_hangs_if_it_is_called_from_cpu_0(library: EmulatedLibrary) -> None:
    """Rule 1 is kept by whoever calls; here is seen that there is something to keep from."""
    library.cpu = 0
    pages = Pages(library, DEBIAN)
    pages.offline([DOM0S])
    with pytest.raises(Fell, match="spins"):
        pages.offline([Mfn(DOM0S + 1)])


def test_a_broken_page_of_a_guest_is_not_asked_for(library: EmulatedLibrary, pages: Pages) -> None:
    """Rule 2. Its owner would be crashed."""
    library.xen.break_page(GUESTS)
    told = [one(call([GUESTS])) for call in (pages.offline, pages.query, pages.online)]
    assert {(page.status, page.is_broken) for page in told} == {(PageStatus.OFFLINE_PENDING, True)}
    assert library.xen.host.domains[PV_GUEST].state is DomainState.RUNNING
    assert {command for command, _ in library.asked} == {QUERY}


def test_a_broken_page_that_has_left_is_not_asked_for(
    library: EmulatedLibrary, pages: Pages
) -> None:
    """Rule 2. Xen would panic: online of it, and offline of one that headed a buddy."""
    library.xen.break_page(FREE)
    told = [one(call([FREE])) for call in (pages.offline, pages.query, pages.online)]
    assert {(page.status, page.is_broken) for page in told} == {(PageStatus.OFFLINED, True)}


def test_a_page_that_has_left_stays_out(library: EmulatedLibrary, pages: Pages) -> None:
    """Rule 3. Put back, its neighbours could be handed out twice."""
    pages.offline([FREE])
    told = one(pages.online([FREE]))
    assert (told.status, told.refusal) == (PageStatus.OFFLINED, Refusal.CANNOT_RETURN)
    assert not library.commands(ONLINE)


def test_a_page_that_has_left_comes_back_where_that_is_mended(library: EmulatedLibrary) -> None:
    pages = Pages(library, MENDED)
    pages.offline([FREE])
    assert one(pages.online([FREE])).status is PageStatus.ONLINE


def test_what_is_only_pending_is_cancelled(pages: Pages) -> None:
    pages.offline([GUESTS])
    told = one(pages.online([GUESTS]))
    assert (told.status, told.has_changed) == (PageStatus.ONLINE, True)


@pytest.mark.parametrize("mfn", [1 << 32, (1 << 32) + FREE, 1 << 63, -1])
def test_a_number_that_xen_would_cut_is_asked_nowhere(
    library: EmulatedLibrary, pages: Pages, mfn: int
) -> None:
    """Rule 4. Xen would take the page of the lower 32 bits, and say that all is well."""
    told = [one(call([Mfn(mfn)])) for call in (pages.offline, pages.query, pages.online)]
    assert {page.refusal for page in told} == {Refusal.OUT_OF_RANGE}
    assert not library.asked


def test_what_failed_with_success_is_told_as_marked(pages: Pages) -> None:
    """Rule 5. FAILED|ANONYMOUS comes with 0, and has changed the page."""
    told = one(pages.offline([ON_SMALL[PageKind.ANONYMOUS]]))
    assert (told.status, told.has_changed) == (PageStatus.OFFLINE_PENDING, True)


def test_the_filler_is_no_owner(pages: Pages) -> None:
    """Rule 5. It reads as owned by domain 257."""
    told = one(pages.offline([ON_SMALL[PageKind.ABSENT]]))
    assert (told.owner, told.refusal) == (None, Refusal.OUT_OF_RANGE)


@pytest.mark.parametrize(
    ("kind", "holder", "owner"),
    [
        (PageKind.DOM0, Holder.DOM0, None),
        (PageKind.LOW, Holder.XEN, None),
        (PageKind.M2P, Holder.XEN, None),
        (PageKind.XEN_HEAP, Holder.XEN, None),
        (PageKind.COW, Holder.SHARED, None),
        (PageKind.ANONYMOUS, Holder.UNKNOWN, None),
        (PageKind.PV, Holder.GUEST, PV_GUEST),
        (PageKind.SHARED_INFO, Holder.GUEST, PV_GUEST),
    ],
)
def test_a_guest_is_who_has_a_guests_id(
    pages: Pages, kind: PageKind, holder: Holder, owner: DomId | None
) -> None:
    """Rule 6."""
    told = one(pages.offline([ON_SMALL[kind]]))
    assert (told.holder, told.owner) == (holder, owner)


def test_the_owner_is_who_it_is_now(library: EmulatedLibrary, pages: Pages) -> None:
    """Rule 6. Between two looks the guest has died, and its page has left."""
    pages.offline([GUESTS])
    assert one(pages.query([GUESTS])).owner == PV_GUEST
    library.xen.host.destroy(library.xen.host.domains[PV_GUEST])
    told = one(pages.query([GUESTS]))
    assert (told.status, told.owner) == (PageStatus.OFFLINED, None)


def test_a_query_asks_for_no_page_that_nobody_has_marked(
    library: EmulatedLibrary, pages: Pages
) -> None:
    assert one(pages.query([GUESTS])).status is PageStatus.ONLINE
    assert not library.commands(OFFLINE)


def test_one_page_that_is_none_spares_all_others(library: EmulatedLibrary, pages: Pages) -> None:
    """The call is atomic as far as a look beforehand can make it."""
    told = pages.offline([FREE, ON_SMALL[PageKind.NOT_RAM], GUESTS])
    refusals = [Refusal.PEER_FAILED, Refusal.OUT_OF_RANGE, Refusal.PEER_FAILED]
    assert [page.refusal for page in told] == refusals
    assert not library.commands(OFFLINE)


def test_what_no_look_shows_is_told_page_by_page(pages: Pages) -> None:
    """Xen's image refuses when asked, and what was taken beside it is told as taken."""
    told = pages.offline([FREE, ON_SMALL[PageKind.XEN_IMAGE], GUESTS])
    assert [(page.status, page.has_changed) for page in told] == [
        (PageStatus.OFFLINED, True),
        (PageStatus.FAILED, False),
        (PageStatus.OFFLINE_PENDING, True),
    ]
    assert told[1].refusal is Refusal.XEN_HEAP


def test_asking_twice_changes_once(pages: Pages) -> None:
    changed = [one(pages.offline([mfn])).has_changed for mfn in (FREE, GUESTS, FREE, GUESTS)]
    assert changed == [True, True, False, False]


def test_nobody_here_writes_to_dom0s_own_page_interfaces() -> None:
    """Rule 7. A machine address given to them would take an innocent page from dom0."""
    house = Path(__file__).parents[4] / "agent"
    interfaces = ("soft_offline_page", "hard_offline_page", "corrupt-pfn")
    named = [
        path.name
        for path in house.rglob("*.py")
        if any(f"/{word}" in path.read_text(encoding="utf-8") for word in interfaces)
    ]
    assert not named


def test_an_empty_address_register_is_not_frame_0() -> None:
    """Rule 7. As a real Xen gave dom0 a corrected error whose ADDRV was clear."""
    (record,) = formats.decode(Stream(NO_ADDRESS), UNSAID)
    assert isinstance(record, Decoded)
    assert (record.address, record.errors) == (None, 1)

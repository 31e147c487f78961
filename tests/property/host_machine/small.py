"""A small host with something of everything: 6 MiB on two NUMA nodes, five guests, two devices.

    db     PV, rings that dom0 maps, and the last frame of the host: an index of -1 would hit it
    web    HVM with EPT, 2 MiB of it in one piece; populates on demand, and shares pages
    mail   HVM with shadows and a pool for them; shares pages with web
    net    PV with a device
    game   HVM with a device

Xen's own pages and dom0's, one kind after the other, are at the bottom.
"""

from agent.contract.frames import Mfn
from agent.contract.toolstack import GuestKind, Paging
from emulator.machine.content import Content
from emulator.xen.defects import Defects
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec, Layout
from emulator.xen.pages import PageKind, Place
from emulator.xen.peers import Peer
from emulator.xen.toolstack import Toolstack

FRAMES = 1536
XEN_HEAP = range(32, 40)
DOM0_FRAMES = range(40, 56)
DEVICES = ("nic", "gpu")
PEER = "east"

PLACES = (
    Place(PageKind.LOW, 0, 3),
    Place(PageKind.NOT_RAM, 4, 7),
    Place(PageKind.XEN_IMAGE, 8, 11),
    Place(PageKind.M2P, 12, 15),
    Place(PageKind.ANONYMOUS, 16, 17),
    Place(PageKind.ABSENT, 18, 19),
    Place(PageKind.XEN_HEAP, 20, 23),
    Place(PageKind.DOM0, 24, 31),
)

_SUPERPAGE = tuple(map(Mfn, range(512, 1024)))

GUESTS = (
    GuestSpec("db", GuestKind.PV, 40, at=(Mfn(FRAMES - 1),), shared_pages=2, ring_pages=2),
    GuestSpec(
        "web",
        GuestKind.HVM,
        528,
        _SUPERPAGE,
        pool_pages=3,
        state_pages=1,
        pod_pages=12,
        cow_pages=4,
        ring_pages=1,
    ),
    GuestSpec(
        "mail", GuestKind.HVM, 24, paging=Paging.SHADOW, pool_pages=4, state_pages=1, cow_pages=6
    ),
    GuestSpec("net", GuestKind.PV, 24, buffer_pages=3, ring_pages=1, devices=("nic",)),
    GuestSpec("game", GuestKind.PVH, 16, buffer_pages=2, devices=("gpu",)),
)

LAYOUT = Layout(FRAMES, len(XEN_HEAP), len(DOM0_FRAMES), GUESTS, PLACES, nodes=2)


def small_host(defects: Defects) -> Toolstack:
    host = Hypervisor(LAYOUT, Content(FRAMES), defects)
    return Toolstack(host, peers={PEER: Peer(PEER, 700)})


def fixed_kinds() -> dict[int, PageKind]:
    """What Xen and dom0 have from the start, and for ever."""
    placed = {mfn: place.kind for place in PLACES for mfn in range(place.first, place.last + 1)}
    heap = dict.fromkeys(XEN_HEAP, PageKind.XEN_HEAP)
    return placed | heap | dict.fromkeys(DOM0_FRAMES, PageKind.DOM0)

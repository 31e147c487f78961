"""A recording becomes this host's own: identity is ours, everything else as recorded."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from agent.contract.ereport import Ereport
from agent.contract.frames import PAGE_SHIFT, Mfn
from agent.contract.hypercall import PageUse
from agent.contract.toolstack import GuestKind
from emulator.errors import EmulatorError
from emulator.machine.content import Content
from emulator.replay import Recording, dealt
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec, Layout
from emulator.xen.pages import PageKind, Place, places_of_xen

THEIRS, OURS = UUID(int=1), UUID(int=2)
LAYOUT = Layout(
    frames=4096,
    xen_heap_frames=16,
    dom0_frames=64,
    guests=(GuestSpec("a", GuestKind.HVM, 256), GuestSpec("b", GuestKind.PV, 256)),
)


def a_recording(tmp_path: Path, *mfns: int | None) -> Recording:
    file = tmp_path / "recorded.jsonl"
    lines = [
        Ereport(
            host="theirs",
            boot_id=THEIRS,
            seq=100 + index,
            time_ns=index,
            count=index,
            row=index,
            address=None if mfn is None else (mfn << PAGE_SHIFT) + 64,
        ).model_dump_json()
        for index, mfn in enumerate(mfns)
    ]
    file.write_text("\n".join(lines) + "\n")
    return Recording(file)


def test_records_are_published_under_our_name_and_numbers(tmp_path: Path) -> None:
    (batch,) = a_recording(tmp_path, 500, 501).batches("ours", OURS)
    assert (batch.host, batch.boot_id, batch.seq.tolist()) == ("ours", OURS, [0, 1])


def test_times_counts_and_coordinates_stay_as_recorded(tmp_path: Path) -> None:
    (batch,) = a_recording(tmp_path, 500, 501, 502).batches("ours", OURS)
    assert batch.time_ns.tolist() == batch.count.tolist() == batch.row.tolist() == [0, 1, 2]


def test_each_located_frame_is_named_once_and_in_order(tmp_path: Path) -> None:
    assert a_recording(tmp_path, 9, None, 7, 9).frames() == [9, 7]


def test_frames_are_dealt_in_turn_to_nobody_the_hvm_and_the_pv_guest() -> None:
    frames = [Mfn(mfn) for mfn in range(1000, 1006)]
    hypervisor = Hypervisor(dealt(LAYOUT, frames), Content(LAYOUT.frames))
    uses = [page.use for page in hypervisor.page_query(frames).pages]
    assert uses == [PageUse.FREE, PageUse.HVM, PageUse.PV] * 2


def test_the_rest_of_the_guests_leaves_free_frames_free() -> None:
    """The lowest frames are where a guest would otherwise be put."""
    frames = [Mfn(mfn) for mfn in range(80, 80 + 60)]
    hypervisor = Hypervisor(dealt(LAYOUT, frames), Content(LAYOUT.frames))
    uses = [page.use for page in hypervisor.page_query(frames).pages]
    assert uses == [PageUse.FREE, PageUse.HVM, PageUse.PV] * 20


def test_frames_of_xen_dom0_and_beyond_the_host_are_not_dealt() -> None:
    hypervisor = Hypervisor(dealt(LAYOUT, [Mfn(3), Mfn(20), Mfn(5000)]), Content(LAYOUT.frames))
    uses = [page.use for page in hypervisor.page_query([3, 20, 5000]).pages]
    assert uses == [PageUse.XEN_HEAP, PageUse.DOM0, PageUse.UNKNOWN]


def test_frames_with_a_fixed_place_are_not_dealt() -> None:
    """The first MiB pushes dom0 up, so that the first frame behind it is 0x150."""
    layout = replace(LAYOUT, places=places_of_xen(LAYOUT.frames))
    inside = (0x14F, 0x9F, LAYOUT.frames - 1)
    hands = dealt(layout, [*map(Mfn, inside), Mfn(2000), Mfn(2001)]).guests
    assert hands[0].at[:2] == (2001, 0x150)
    host = Hypervisor(dealt(layout, [Mfn(2000), Mfn(2001)]), Content(layout.frames))
    assert host.table.use_of(Mfn(2000)) is PageUse.FREE


def test_a_guest_is_seated_round_the_fixed_places() -> None:
    layout = replace(LAYOUT, places=(Place(PageKind.M2P, 0x60, 0x6F),))
    hands = dealt(layout, [Mfn(2000), Mfn(2001), Mfn(2002)]).guests
    assert hands[0].at[:18] == (2001, *range(0x50, 0x60), 0x70)


def test_a_guest_grows_to_hold_its_hand() -> None:
    frames = [Mfn(mfn) for mfn in range(1000, 1900)]
    assert [guest.pages for guest in dealt(LAYOUT, frames).guests] == [300, 300]


def test_a_replay_without_a_guest_of_each_kind_is_refused() -> None:
    without_pv = Layout(4096, 16, 64, (GuestSpec("a", GuestKind.HVM, 256),))
    with pytest.raises(EmulatorError, match="needs a guest of kind pv"):
        dealt(without_pv, [Mfn(1000)])


def test_a_line_that_is_no_ereport_is_named_by_its_number(tmp_path: Path) -> None:
    recording = a_recording(tmp_path, 1)
    with recording.path.open("a") as file:
        file.write('{"host": "x"}\n')
    with pytest.raises(EmulatorError, match=r"recorded\.jsonl:2: at boot_id: Field required"):
        recording.frames()


def test_a_recording_that_is_not_there_is_told_by_its_path() -> None:
    with pytest.raises(EmulatorError, match=r"nowhere\.jsonl: cannot be read: No such file"):
        Recording(Path("nowhere.jsonl")).frames()

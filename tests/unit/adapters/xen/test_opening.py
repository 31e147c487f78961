"""The real Xen's ports are opened whole, or not at all."""

from pathlib import Path
from uuid import UUID

import pytest

from agent.adapters.xen.library import XenLibrary
from agent.adapters.xen.opening import Manner, open_xen
from agent.adapters.xen.releases import Release
from agent.contract.errors import AgentError, PeerError
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageUse, SysctlCommand
from emulator.xen.pages import PageKind
from tests.support.xen import ON_SMALL
from tests.support.xen_library import EmulatedLibrary
from tests.support.xl import HERE, PINNED, Dom, a_scripted_xl, pinned_to

BOOT = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {
        "sys/hypervisor/type": "xen",
        "sys/hypervisor/version/major": "4",
        "sys/hypervisor/version/minor": "17",
        "sys/hypervisor/version/extra": ".7",
        "proc/xen/capabilities": "control_d",
        "proc/sys/kernel/random/boot_id": BOOT,
        "proc/stat": "btime 1700000000\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    return tmp_path


def manner(root: Path) -> Manner:
    return Manner("hv-1", root / "images", 5.0, 5.0)


async def test_pages_and_guests_are_of_one_host(root: Path) -> None:
    """What `xl` knows of a guest says what its page is used as, and a resume goes to that Xen."""
    library, xl = EmulatedLibrary(), a_scripted_xl(vcpus=pinned_to(HERE, "1"))
    pages, guests = await open_xen(manner(root), lambda _: None, xl, lambda _: library, root)
    assert (await pages.host()).boot_id == UUID(BOOT)
    (page,) = (await pages.offline([ON_SMALL[PageKind.PV]])).pages
    assert page.use is PageUse.PV
    xl.domains = [Dom(1, state="---ss-")]
    await guests.resume(DomId(1))
    assert library.resumed == [1]
    await pages.close()
    await guests.close()


async def test_a_dom0_that_may_run_on_cpu_0_is_not_opened(root: Path) -> None:
    xl = a_scripted_xl(vcpus=PINNED.replace("1 / all", "all / all"))
    with pytest.raises(AgentError, match="xl vcpu-pin 0 1 1"):
        await open_xen(manner(root), lambda _: None, xl, lambda _: EmulatedLibrary(), root)


async def test_without_xens_libraries_it_is_not_opened(root: Path) -> None:
    with pytest.raises(AgentError, match=r"libxenctrl\.so\.4\.17 is not here.*libxenmisc4\.17"):
        await open_xen(manner(root), lambda _: None, a_scripted_xl(), XenLibrary, root)


async def test_a_folder_that_cannot_be_made_is_told_by_its_key(root: Path) -> None:
    (root / "file").touch()
    wrong = Manner("hv-1", root / "file" / "images", 5.0, 5.0)
    with pytest.raises(AgentError, match=r"hypervisor\.images: .* cannot be made"):
        await open_xen(wrong, lambda _: None, a_scripted_xl(), XenLibrary, root)


def test_a_library_that_is_none_of_that_release_says_what_to_install() -> None:
    with pytest.raises(AgentError, match=r"libxenctrl\.so\.9\.9 is not here"):
        XenLibrary(Release(9, 9))


def test_the_library_itself_cuts_no_number() -> None:
    """Rule 4, once more where it would be cut."""
    library = object.__new__(XenLibrary)
    with pytest.raises(PeerError, match="32 bits"):
        library.ask(SysctlCommand.QUERY, Mfn(1 << 32))

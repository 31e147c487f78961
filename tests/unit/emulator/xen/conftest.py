"""A small host: Xen in frames 0 to 63, dom0 up to 319, then an HVM guest and a PV guest."""

import pytest

from agent.contract.toolstack import GuestKind
from emulator.machine.memory import Memory
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec, Layout
from emulator.xen.toolstack import Toolstack

FRAMES = 4096


@pytest.fixture
def host() -> Hypervisor:
    guests = (GuestSpec("web", GuestKind.HVM, 256), GuestSpec("db", GuestKind.PV, 256))
    return Hypervisor(Layout(FRAMES, 64, 256, guests), Memory(FRAMES))


@pytest.fixture
def toolstack(host: Hypervisor) -> Toolstack:
    return Toolstack(host)

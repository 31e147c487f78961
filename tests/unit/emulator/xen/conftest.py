"""A small host: Xen in frames 0 to 63, dom0 up to 319, then an HVM guest and a PV guest.

The HVM guest, domain 1, has frames 320 to 575; the PV guest, domain 2, has 576 to 831.
"""

import numpy as np
import pytest
from numpy.random import Generator

from agent.contract.toolstack import GuestKind
from emulator.machine.content import Content
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec, Layout
from emulator.xen.toolstack import Toolstack

FRAMES = 4096


@pytest.fixture
def rng() -> Generator:
    return np.random.default_rng(8412)


@pytest.fixture
def host() -> Hypervisor:
    guests = (GuestSpec("web", GuestKind.HVM, 256), GuestSpec("db", GuestKind.PV, 256))
    return Hypervisor(Layout(FRAMES, 64, 256, guests), Content(FRAMES))


@pytest.fixture
def toolstack(host: Hypervisor) -> Toolstack:
    return Toolstack(host)


@pytest.fixture
def ready(toolstack: Toolstack, host: Hypervisor) -> Toolstack:
    """The PV guest is suspended, and its frames 600 to 602 are pending."""
    host.page_offline_pending([600, 601, 602])
    toolstack.suspend(2)
    return toolstack

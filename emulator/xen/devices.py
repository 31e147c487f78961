"""Devices that write to memory by themselves.

A device that is assigned to a guest knows frames of the host, not pages of the guest: those that
stood behind its buffers when it was attached. It goes on writing to them when the guest stops, and
when the guest's page is elsewhere; then what it wrote is in the old frame, and the guest, who was
told what to expect, does not find it.

They are of the host: a guest that is gone has its devices here when it is back.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from agent.contract.columns import I64
from emulator.machine.content import Content
from emulator.xen.domains import NO_FRAME, NONE, Domain
from emulator.xen.guests import Guest
from emulator.xen.layout import GuestSpec


@dataclass(slots=True, eq=False)
class Device:
    """`buffers` are the pages of the guest `home` that it writes to. `may_leave` is whether that
    guest lets it be taken away.
    """

    name: str
    home: str
    buffers: I64
    may_leave: bool = True
    _gfns: I64 = field(default_factory=NONE.copy)
    _frames: I64 = field(default_factory=NONE.copy)

    def attach(self, domain: Domain) -> None:
        """From now on it writes to the frames that are behind its buffers now, if there are any."""
        within = self.buffers[self.buffers < len(domain.p2m)]
        self._gfns = within[domain.p2m[within] != NO_FRAME]
        self._frames = domain.p2m[self._gfns]
        domain.devices = (*(name for name in domain.devices if name != self.name), self.name)

    def detach(self, domain: Domain) -> None:
        self._frames = NONE
        domain.devices = tuple(name for name in domain.devices if name != self.name)

    def run(self, guest: Guest, memory: Content, rng: Generator) -> None:
        """Fill its buffers anew, and tell the guest what is in them."""
        words = rng.integers(1 << 64, size=len(self._frames), dtype=np.uint64)
        memory.write(self._frames, words)
        guest.workload.words[self._gfns] = words


def devices_of(spec: GuestSpec) -> list[Device]:
    """Those that the host has for a guest of this kind, which nobody is assigned yet."""
    buffers = np.array(spec.buffers, np.int64)
    may_leave = not spec.keeps_devices
    return [Device(name, spec.name, buffers, may_leave) for name in spec.devices]

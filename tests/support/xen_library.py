"""The emulated xen-4.17 behind the port to Xen's libraries: who drives it wrongly brings it down.

A host that hangs or panics is `Fell`, so a test that broke a rule ends by what the rule is about.
"""

import errno as errnos
from dataclasses import dataclass, field

from agent.adapters.xen.words import FILLER, Answer
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import SysctlCommand, SysctlReply
from emulator.xen.defects import HostDown
from emulator.xen.sysctl import Caller
from tests.support.xen import Xen


class Fell(Exception):  # noqa: N818 - it says what became of the host
    """The host hangs, or has panicked."""


@dataclass
class EmulatedLibrary:
    """Calls from physical CPU `cpu`, and remembers all that was asked."""

    xen: Xen = field(default_factory=Xen)
    cpu: int = 1
    asked: list[tuple[SysctlCommand, Mfn]] = field(default_factory=list)
    resumed: list[DomId] = field(default_factory=list)

    def ask(self, command: SysctlCommand, mfn: Mfn) -> Answer:
        self.asked.append((command, mfn))
        reply = self.xen.call(command, mfn, mfn, Caller(cpu=self.cpu))
        if isinstance(reply, HostDown):
            raise Fell(reply.why)
        return answer_of(reply)

    def frames(self) -> int:
        return self.xen.host.table.frames

    def resume(self, domid: DomId) -> None:
        self.resumed.append(domid)

    def commands(self, command: SysctlCommand) -> list[Mfn]:
        """The pages that this was asked about."""
        return [mfn for given, mfn in self.asked if given is command]


def answer_of(reply: SysctlReply) -> Answer:
    """A one-page reply of the emulated call, as the library returns it."""
    number = getattr(errnos, reply.errno) if reply.errno else 0
    return Answer(reply.ret, number, reply.words[0] if reply.words else FILLER)

"""What Xen does about a machine check: read how bad it is, offline the page, tell its owner.

    bank ─► severity ─► ACTION ──► log
                               ├─► panic
                               └─► offline the page as broken ─► what was said ─► FATE

Nothing but `ACTION` and `FATE` decides. Only Intel's processors have a handler for memory errors;
on AMD's an uncorrected error is logged, and its page stays in use. A processor is taken to report
recoverable errors at all (MCG_SER_P).

Severity, from the bank's status (Intel SDM, volume 3, 15.6):

    UC 0                  corrected
    UC 1  PCC 1           fatal                                    UC 1  S 0         UCNA
    UC 1  PCC 0  S 1      SRAR if AR, the processor cannot go on without the data; else SRAO
"""

from dataclasses import dataclass
from enum import StrEnum

from agent.contract.frames import DOM0, DomId, Gfn, mfn_of
from agent.contract.toolstack import GuestKind
from emulator.machine.banks import AR, PCC, Registers, S
from emulator.xen.defects import Down, HostDown
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.mctelem import Record, Recovery, Telemetry, Urgency
from emulator.xen.pages import ROWS
from emulator.xen.sysctl import PageOfflineOp
from emulator.xen.vmce import VirtualMces
from emulator.xen.words import (
    DOMID_COW,
    DOMID_INVALID,
    DOMID_IO,
    DOMID_XEN,
    Offline,
    Word,
    decode_offline,
)

MCACOD_MASK = 0xFFFF


class Vendor(StrEnum):
    INTEL = "intel"
    AMD = "amd"


class Severity(StrEnum):
    CORRECTED = "corrected"
    UCNA = "ucna"
    SRAO = "srao"
    SRAR = "srar"
    FATAL = "fatal"


class Action(StrEnum):
    LOG = "log"
    OFFLINE = "offline"
    PANIC = "panic"


ACTION: dict[Vendor, dict[Severity, Action]] = {
    Vendor.INTEL: {
        Severity.CORRECTED: Action.LOG,
        Severity.UCNA: Action.LOG,
        Severity.SRAO: Action.OFFLINE,
        Severity.SRAR: Action.OFFLINE,
        Severity.FATAL: Action.PANIC,
    },
    Vendor.AMD: {
        Severity.CORRECTED: Action.LOG,
        Severity.UCNA: Action.LOG,
        Severity.SRAO: Action.LOG,
        Severity.SRAR: Action.LOG,
        Severity.FATAL: Action.PANIC,
    },
}

# Found by the patrol scrubber, or on writing back to memory; on loading data, or an instruction.
MEMORY_CODES: dict[Severity, frozenset[int]] = {
    Severity.SRAO: frozenset({*range(0xC0, 0xD0), 0x17A}),
    Severity.SRAR: frozenset({0x134, 0x150}),
}


class Said(StrEnum):
    """What became of the page and whose it is; or why there is no such page."""

    NOT_MEMORY = "not memory"
    NO_ADDRESS = "no address"
    REFUSED = "refused"
    OFFLINED = "offlined"
    AGAIN = "again"
    XENS = "Xen's"
    NOBODYS = "nobody's"
    SHARED = "shared by guests"
    OF_THE_DYING = "of a dying domain"
    DOM0S = "dom0's"
    HVMS = "an HVM guest's"
    PVS = "a PV guest's"


class Fate(StrEnum):
    """How it ended for everybody but the page."""

    LOGGED = "logged"
    UNCHANGED = "unchanged"
    CONTINUED = "continued"  # the owner has paid for this page before
    RECOVERED = "recovered"
    VMCE = "vmce"
    GUEST_CRASHED = "guest_crashed"


# Where the processor cannot go on (SRAR), UNCHANGED is a panic; and a guest that cannot be told of
# an error, because it has not seen to the one before, is crashed.
FATE: dict[Said, Fate] = {
    Said.NOT_MEMORY: Fate.UNCHANGED,
    Said.NO_ADDRESS: Fate.UNCHANGED,
    Said.REFUSED: Fate.UNCHANGED,
    Said.OFFLINED: Fate.RECOVERED,
    Said.AGAIN: Fate.CONTINUED,
    Said.XENS: Fate.UNCHANGED,
    Said.NOBODYS: Fate.UNCHANGED,
    Said.SHARED: Fate.UNCHANGED,
    Said.OF_THE_DYING: Fate.RECOVERED,
    Said.DOM0S: Fate.VMCE,
    Said.HVMS: Fate.VMCE,
    Said.PVS: Fate.GUEST_CRASHED,
}

# How an answer is read: a flag decides, and else the owner; who is not here is a domain.
PLAIN: dict[Offline, Said] = {
    Offline.OFFLINED: Said.OFFLINED,
    Offline.AGAIN: Said.AGAIN,
    Offline.ANONYMOUS: Said.NOBODYS,
    Offline.XENPAGE: Said.XENS,
}
OWNERS: dict[DomId, Said] = {
    DOM0: Said.DOM0S,
    DOMID_IO: Said.XENS,
    DOMID_XEN: Said.XENS,
    DOMID_COW: Said.SHARED,
}


@dataclass(frozen=True, slots=True)
class Handled:
    """`domid` is the guest that was told or crashed, `recovery` what was done to the page."""

    fate: Fate
    domid: DomId | None = None
    recovery: Recovery | None = None


def severity_of(bank: Registers) -> Severity:
    if not bank.uncorrected:
        return Severity.CORRECTED
    if bank.status & PCC:
        return Severity.FATAL
    if not bank.status & S:
        return Severity.UCNA
    return Severity.SRAR if bank.status & AR else Severity.SRAO


class MachineCheck:
    """The handler of one host, which it may bring down."""

    def __init__(self, host: Hypervisor, xen: PageOfflineOp, vendor: Vendor = Vendor.INTEL) -> None:
        self.telemetry = Telemetry()
        self.vmces = VirtualMces()
        self._host = host
        self._xen = xen
        self._vendor = vendor

    def handle(self, bank: Registers, cpu: int = 1) -> Handled | HostDown:
        """See to one error. `cpu` is the one that does, of those that all stop for it."""
        if self._xen.down is not None:
            return self._xen.down
        severity, owner = severity_of(bank), self._owner_of(bank)
        done = self._handled(bank, severity, cpu)
        if isinstance(done, HostDown):
            self._xen.down = done
            return done
        urgency = Urgency.NON_URGENT if severity is Severity.CORRECTED else Urgency.URGENT
        self.telemetry.store(urgency, Record(bank, owner, done.recovery))
        return done

    def touch(self, domid: DomId, gfn: Gfn) -> None:
        """A guest uses one of its pages, which is its end if that is broken in its p2m."""
        if self.vmces.is_broken(domid, gfn):
            self._host.crash(domid)

    def _handled(self, bank: Registers, severity: Severity, cpu: int) -> Handled | HostDown:
        action = ACTION[self._vendor][severity]
        if action is Action.LOG:
            return Handled(Fate.LOGGED)
        if action is Action.PANIC:
            return _panic("a fatal machine check")
        done = self._offlined(bank, severity, cpu)
        if isinstance(done, Handled) and done.fate is Fate.UNCHANGED and severity is Severity.SRAR:
            return _panic("nobody can go on without the data that is lost")
        return done

    def _offlined(self, bank: Registers, severity: Severity, cpu: int) -> Handled | HostDown:
        """Offline the page as broken, and see to whoever has it."""
        if bank.status & MCACOD_MASK not in MEMORY_CODES[severity]:
            return Handled(FATE[Said.NOT_MEMORY])
        if not bank.address_valid:
            return Handled(FATE[Said.NO_ADDRESS])
        mfn = mfn_of(bank.address)
        answer = self._xen.pages.offline(mfn, cpu, broken=True)
        if isinstance(answer, HostDown):
            return answer
        word = None if answer.errno or answer.word is None else decode_offline(answer.word)
        if word is None:
            return Handled(FATE[Said.REFUSED])
        return self._settle(word, Recovery(mfn, word.encode()))

    def _settle(self, word: Word, done: Recovery) -> Handled | HostDown:
        said = self._said(word)
        if said is Said.SHARED and self._xen.defects.shared_page_error_is_a_bug:
            return _panic("Xen BUG at mcaction.c: the owner is DOMID_COW")
        if FATE[said] is Fate.VMCE:
            return self._tell(word.owner, done)
        if FATE[said] is Fate.GUEST_CRASHED:
            return self._crash(word.owner, done)
        return Handled(FATE[said], recovery=done)

    def _tell(self, domid: DomId, done: Recovery) -> Handled | HostDown:
        if self.vmces.tell(domid, self._host.table.gfn_of(done.mfn)):
            return Handled(Fate.VMCE, domid, done)
        return self._crash(domid, done)

    def _crash(self, domid: DomId, done: Recovery) -> Handled | HostDown:
        if domid == DOM0:
            return _panic("dom0 was crashed")
        self._host.crash(domid)
        return Handled(Fate.GUEST_CRASHED, domid, done)

    def _said(self, word: Word) -> Said:
        for flag, said in PLAIN.items():
            if flag in word.flags:
                return said
        if word.owner in OWNERS:
            return OWNERS[word.owner]
        if word.owner in self._host.dying:
            return Said.OF_THE_DYING
        return Said.PVS if self._host.domains[word.owner].kind is GuestKind.PV else Said.HVMS

    def _owner_of(self, bank: Registers) -> DomId:
        """Whose the page is now, as Xen writes it beside the bank: a domain, or an id of Xen's."""
        if not bank.address_valid:
            return DOMID_INVALID
        table, mfn = self._host.table, mfn_of(bank.address)
        row = ROWS[table.kind_of(mfn)]
        if row.answer is None or Offline.NOT_CONV_RAM in row.answer:
            return DOMID_INVALID
        return table.holder_of(mfn) if row.owner is None else row.owner


def _panic(why: str) -> HostDown:
    return HostDown(Down.CRASHED, f"Xen panics: {why}")

"""A machine check, judged: is it an error of memory, and what do its registers say of it?

    STATUS  63 VAL  62 OVER  61 UC  59 MISCV  58 ADDRV  52:38 corrected errors  15:0 error code
                                    Intel: memory is  000F 0000 1MMM CCCC  and  000F 0010 1MMM CCCC
    MISC    8:6 what kind of address ADDR is, 2 is physical     5:0 its lowest bit that counts
    IPID    43:32 which hardware the bank belongs to, 0x96 is a memory controller of AMD

Intel's registers know the place as far as the channel (CCCC). AMD's name the channel in IPID and
the chip select in SYND, count nothing, and their ADDR is an address within the channel: it is never
taken for one of the host. The kernel's own records of what firmware reported (bank 255) follow
Intel's code on every vendor, and their ADDR is physical, whatever MISC says.

ADDR counts only where STATUS says that it is one (ADDRV): an empty register is not page 0. Whatever
is no error of memory is refused by its name.

The bits are those of Intel's manual (volume 3, "Machine-Check Architecture") and of AMD's
(volume 2, the same chapter).
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from agent.telemetry.record import Decoded, Outcome, Refused, checked

VAL, OVER, UC, EN, MISCV, ADDRV, PCC = (1 << bit for bit in (63, 62, 61, 60, 59, 58, 57))
_SYNDV, _UECC, _DEFERRED = 1 << 53, 1 << 45, 1 << 44
_CMCI_P = 1 << 10  # in MCG_CAP: the bank counts corrected errors
_COUNT_OVERFLOW = 1 << 52

# Who made the processor. Linux and Xen number them differently, and no number means two of them.
_INTEL = frozenset({0, 1})
_AMD = frozenset({2, 9, 16})  # and Hygon, whose cores are AMD's

_UMC = 0x96
_THERMAL, _TIMEOUT, _FIRMWARE = 128, 218, 255  # banks that the kernel makes up

_MEMORY_MASK, _MEMORY, _EXTENDED = 0xEF80, 0x0080, 0x0280
_PHYSICAL, _PAGE_SHIFT = 2, 12
_UNSPECIFIED_CHANNEL = 15
_REQUESTS = (
    "memory error",
    "memory read error",
    "memory write error",
    "memory address or command error",
    "memory scrubbing error",
)

# What else a code can mean: the first row whose bits agree.
_OTHER_CODES: tuple[tuple[int, int, str], ...] = (
    (0xFFFF, 0x0000, "an error without a code"),
    (0xFFFF, 0x0001, "an unclassified error"),
    (0xFFFF, 0x0002, "a parity error of the microcode ROM"),
    (0xFFFF, 0x0003, "an external error"),
    (0xFFFF, 0x0004, "a functional redundancy check"),
    (0xFFFF, 0x0005, "an internal parity error"),
    (0xFFFF, 0x0006, "an access of the SMM handler out of its range"),
    (0xFFFF, 0x0E0B, "an I/O error (IOMCA)"),
    (0xEFFC, 0x000C, "a cache error"),
    (0xEFF0, 0x0010, "a TLB error"),
    (0xEF00, 0x0100, "a cache error"),
    (0xE800, 0x0800, "a bus or interconnect error"),
    (0xFFFF, 0x0400, "an internal timer error"),
    (0xFC00, 0x0400, "an internal error"),
    (0x0000, 0x0000, "an error of unknown code"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineCheck:
    """One bank's registers as a source wrote them; None, or a MCG_CAP or time of 0, is unsaid."""

    status: int
    cpu: int | None = None
    bank: int | None = None
    addr: int | None = None
    misc: int | None = None
    mcgcap: int | None = None
    synd: int | None = None
    ipid: int | None = None
    time_ns: int | None = None
    socket: int | None = None
    vendor: int | None = None
    cpuid: int | None = None

    @property
    def is_amd(self) -> bool:
        return self.vendor in _AMD or bool(self.ipid)

    @property
    def is_firmwares(self) -> bool:
        return self.bank == _FIRMWARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a source tells besides the registers, because it has made something of them."""

    words: str = ""
    count: int = 0
    rank: int | None = None
    bank: int | None = None
    row: int | None = None
    column: int | None = None


def judged(
    check: MachineCheck,
    line: int,
    otherwise_ns: int,
    host: str | None = None,
    told: Told | None = None,
) -> Outcome:
    """The error of memory that `check`, from line `line`, reports, or why it is none.

    Its time is `otherwise_ns` where it says none.
    """
    verdict = verdict_of(check, told)
    if isinstance(verdict, str):
        return Refused(line, f"{verdict} ({_where(check)})")
    return verdict.of(line, check.time_ns or otherwise_ns, check.addr, check.misc, host)


@dataclass(frozen=True, slots=True)
class Verdict:
    """An error of memory, but for its time and address, and whether an address can be believed."""

    kind: Literal["ce", "ue"]
    count: int
    detail: str
    has_address: bool
    needs_misc: bool
    told: Told = Told()

    def of(
        self, line: int, time_ns: int, addr: int | None, misc: int | None, host: str | None
    ) -> Outcome:
        """The error at this time, with this ADDR and MISC."""
        told = self.told
        return checked(
            Decoded(
                line=line,
                time_ns=time_ns,
                kind=self.kind,
                count=self.count,
                address=addr if self._believes(misc) else None,
                rank=told.rank,
                bank=told.bank,
                row=told.row,
                column=told.column,
                detail=self.detail,
                host=host,
            )
        )

    def explained(self, told: Told) -> "Verdict":
        """The same with what else is told, whose count stands where the registers have none."""
        return replace(
            self,
            count=self.count or told.count,
            detail=f"{self.detail}; {told.words}" if told.words else self.detail,
            told=told,
        )

    def _believes(self, misc: int | None) -> bool:
        """True if ADDR is a physical address of one page; what the firmware reported always is."""
        if not self.has_address or not self.needs_misc:
            return self.has_address
        return misc is not None and misc >> 6 & 7 == _PHYSICAL and misc & 0x3F <= _PAGE_SHIFT


def verdict_of(check: MachineCheck, told: Told | None = None) -> Verdict | str:
    """What follows from the registers that repeat, or why they are of no error of memory."""
    verdict = _verdict(
        check.status,
        check.bank,
        check.socket,
        check.mcgcap,
        check.vendor,
        check.ipid,
        check.synd,
    )
    return verdict.explained(told) if told and isinstance(verdict, Verdict) else verdict


# A failing DIMM says nearly the same thousands of times, so it is thought about once.
@lru_cache(maxsize=4096)
def _verdict(  # noqa: PLR0913, PLR0917 - each is a register, and the cache asks for them singly
    status: int,
    bank: int | None,
    socket: int | None,
    mcgcap: int | None,
    vendor: int | None,
    ipid: int | None,
    synd: int | None,
) -> Verdict | str:
    check = MachineCheck(
        status=status,
        bank=bank,
        socket=socket,
        mcgcap=mcgcap,
        vendor=vendor,
        ipid=ipid,
        synd=synd,
    )
    return _refusal(check) or Verdict(
        _kind(check),
        _count(check),
        _detail(check),
        has_address=_has_address(check),
        needs_misc=not check.is_firmwares,
    )


def _where(check: MachineCheck) -> str:
    cpu = "" if check.cpu is None else f"CPU {check.cpu} "
    bank = "" if check.bank is None else f"bank {check.bank} "
    return f"{cpu}{bank}STATUS {check.status:#018x}"


def _refusal(check: MachineCheck) -> str | None:
    """Why `check` is no error of memory; None if it is one."""
    if check.bank == _THERMAL:
        return "a thermal event, not an error of memory"
    if check.bank == _TIMEOUT:
        return "a timeout of processors in a machine check, not an error of memory"
    if not check.status & VAL:
        return "a bank that holds no error: VAL is clear"
    if check.is_amd and not check.is_firmwares:
        return _refusal_of_amd(check)
    if check.status & _MEMORY_MASK in {_MEMORY, _EXTENDED}:
        return None
    return f"{_other(check.status)}, not of memory"


def _other(status: int) -> str:
    code = status & 0xFFFF
    return next(what for mask, value, what in _OTHER_CODES if code & mask == value)


def _refusal_of_amd(check: MachineCheck) -> str | None:
    if not check.ipid:
        return "a machine check of AMD without its IPID: which hardware it is from is not known"
    if check.ipid >> 32 & 0xFFF != _UMC:
        return f"{_other(check.status)} outside AMD's memory controllers, not of memory"
    extended = check.status >> 16 & 0x3F
    return f"error {extended} of a memory controller of AMD, not of DRAM" if extended else None


def _kind(check: MachineCheck) -> Literal["ce", "ue"]:
    bits = UC | _UECC | _DEFERRED if _is_umcs(check) else UC
    return "ue" if check.status & bits else "ce"


def _is_umcs(check: MachineCheck) -> bool:
    return check.is_amd and not check.is_firmwares


def _count(check: MachineCheck) -> int:
    """How many corrected errors; 0 is unknown. With its overflow bit set, at least so many."""
    if check.status & UC:
        return 1
    counts = check.mcgcap & _CMCI_P if check.mcgcap else check.vendor is None or _is_intels(check)
    return check.status >> 38 & 0x7FFF if counts and not _is_umcs(check) else 0


def _is_intels(check: MachineCheck) -> bool:
    return check.vendor in _INTEL


def _has_address(check: MachineCheck) -> bool:
    """True if STATUS says that ADDR is one, and MISC what kind where that is not known anyway."""
    if _is_umcs(check):
        return False
    wanted = ADDRV if check.is_firmwares else ADDRV | MISCV
    return check.status & wanted == wanted


def _detail(check: MachineCheck) -> str:
    what, place = _amds_words(check) if _is_umcs(check) else _intels_words(check.status)
    told = [] if check.socket is None else [f"socket:{check.socket}"]
    told += place
    told += [] if check.bank is None else [f"mca_bank:{check.bank}"]
    told += ["OVERFLOW"] if check.status & OVER else []
    told += ["COUNT_OVERFLOW"] if _count(check) << 38 & _COUNT_OVERFLOW else []
    return f"{what}: {' '.join(told)}".strip(": ")


def _intels_words(status: int) -> tuple[str, list[str]]:
    request, channel = status >> 4 & 7, status & 15
    what = _REQUESTS[request] if request < len(_REQUESTS) else _REQUESTS[0]
    far = "extended " if status & _MEMORY_MASK == _EXTENDED else ""
    return far + what, [] if channel == _UNSPECIFIED_CHANNEL else [f"channel:{channel}"]


def _amds_words(check: MachineCheck) -> tuple[str, list[str]]:
    """The channel is in IPID's instance, the chip select in SYND where STATUS says it is valid."""
    place = [f"channel:{(check.ipid or 0) >> 20 & 0xFFF}"]
    if check.status & _SYNDV and check.synd is not None:
        place.append(f"csrow:{check.synd & 7}")
    return "DRAM ECC error", place

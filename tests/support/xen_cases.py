"""One table of cases for every Xen that stands behind the port to its libraries.

What is here was recorded from a Xen 4.17.7, page by page: command, return, errno, word. The
emulated host answers by it in the conformance tests; a real one is asked in its dom0, where this
file and the agent's wheel are all that is needed:

    differences(XenLibrary(release), {Kind.FREE: …, Kind.DOM0: …}, domid)

A kind that is not given a page is not asked, and no more is asked of any page than leaves it as it
was. Nothing here may be asked of a page that is broken, nor on physical CPU 0.
"""

import errno
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from agent.adapters.xen.library import Library
from agent.adapters.xen.words import FILLER, Answer
from agent.contract.frames import Mfn
from agent.contract.hypercall import SysctlCommand

OFFLINE, ONLINE, QUERY = SysctlCommand


class Kind(StrEnum):
    FREE = "free"
    DOM0 = "dom0"
    GUEST = "guest"
    LOW = "low"  # the first 640 KiB
    M2P = "m2p"
    XEN_HEAP = "xen heap"
    OWNERLESS = "owner-less"
    XEN_IMAGE = "xen image"
    NOT_RAM = "not ram"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Step:
    command: SysctlCommand
    answer: Answer


def said(command: SysctlCommand, word: int, number: int = 0) -> Step:
    return Step(command, Answer(-1 if number else 0, number, word))


def taken(word: int, marked: int = 8) -> tuple[Step, ...]:
    """A page that is taken twice, and then twice brought back; `marked` is what a query says."""
    mark = (said(OFFLINE, word), said(QUERY, marked))
    back = (said(ONLINE, 2), said(QUERY, 0), said(ONLINE, 0), said(QUERY, 0))
    return (said(QUERY, 0), *mark, *mark, *back)


def refused(query: Step, offline: Step, online: Step) -> tuple[Step, ...]:
    """A page that cannot be taken: nothing that is asked changes anything."""
    return (query, offline, query, offline, query, online, query)


def cases(domid: int) -> dict[Kind, tuple[Step, ...]]:
    """The answers about a page of each kind, where the guest is domain `domid`."""
    nothing = {each: said(each, FILLER, errno.EINVAL) for each in SysctlCommand}
    return {
        Kind.FREE: taken(2, marked=2),
        Kind.DOM0: taken(0x1004),
        Kind.GUEST: taken(domid << 16 | 0x1004),
        Kind.LOW: taken(0x7FF11004),
        Kind.M2P: taken(0x7FF21004),
        Kind.XEN_HEAP: taken(0x7FF20104),
        Kind.OWNERLESS: taken(0x7FF40408),
        Kind.XEN_IMAGE: refused(
            said(QUERY, 0), said(OFFLINE, 0x7FF20108, errno.EPERM), said(ONLINE, 0)
        ),
        Kind.NOT_RAM: refused(nothing[QUERY], said(OFFLINE, 0x808, errno.EINVAL), said(ONLINE, 0)),
        Kind.ABSENT: refused(nothing[QUERY], nothing[OFFLINE], nothing[ONLINE]),
    }


def differences(library: Library, pages: Mapping[Kind, Mfn], domid: int) -> Iterator[str]:
    """What this Xen answers otherwise, a line each; nothing more of a page that differs."""
    for kind, steps in cases(domid).items():
        if kind in pages:
            yield from _first_difference(library, kind, pages[kind], steps)


def _first_difference(
    library: Library, kind: Kind, mfn: Mfn, steps: tuple[Step, ...]
) -> Iterator[str]:
    for number, step in enumerate(steps, 1):
        answer = library.ask(step.command, mfn)
        if answer != step.answer:
            yield (
                f"{kind} page {mfn:#x}, step {number}, {step.command.name.lower()}: "
                f"{told(answer)}, recorded was {told(step.answer)}"
            )
            return


def told(answer: Answer) -> str:
    """As people write it: `-1 EINVAL 0x01010101`."""
    name = errno.errorcode.get(answer.errno, "") if answer.errno else ""
    return " ".join(filter(None, (str(answer.ret), name, f"{answer.word:#010x}")))

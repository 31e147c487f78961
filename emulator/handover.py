"""A page that gets another owner, while somebody believes that he knows whose it is.

    another guest of the host can take it    a grant transfer: it keeps its mark, if it has one
    nobody can                               its guest is ended and comes back as another domain,
                                             with its devices
    there is no room for that either         nothing changes

An ended guest's memory and work are as they were when it is back. Its pages are given back on the
way: those that were to be offlined are then, the others are anybody's.
"""

from agent.contract.frames import Mfn
from emulator.xen.domains import Domain
from emulator.xen.hypervisor import Hypervisor


def change_owner(hypervisor: Hypervisor, mfn: Mfn) -> None:
    """The guest that has `mfn` has it no more. A page that no guest has stays whose it is."""
    owner = hypervisor.table.owner_of(mfn)
    domain = None if owner is None else hypervisor.domains.get(owner)
    if domain is not None and not _is_taken(hypervisor, mfn):
        _come_back(hypervisor, domain)


def _is_taken(hypervisor: Hypervisor, mfn: Mfn) -> bool:
    """True if some other guest has taken the page."""
    return any(hypervisor.transfer(mfn, to) for to in list(hypervisor.domains.values()))


def _come_back(hypervisor: Hypervisor, domain: Domain) -> None:
    if hypervisor.domids_left:
        hypervisor.replace(domain, hypervisor.captured(domain))

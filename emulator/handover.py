"""A page that gets another owner, while somebody believes that he knows whose it is.

A guest is ended and comes back at once as another domain, its memory and its work as they were. Its
pages are given back on the way: those that were to be offlined are then, the others are anybody's.
"""

from agent.contract.frames import Mfn
from emulator.xen.hypervisor import Hypervisor


def change_owner(hypervisor: Hypervisor, mfn: Mfn) -> None:
    """The guest that has `mfn` has it no more. A page that no guest has stays whose it is."""
    owner = hypervisor.table.owner_of(mfn)
    domain = None if owner is None else hypervisor.domains.get(owner)
    if domain is None or not hypervisor.domids_left:
        return
    being = hypervisor.captured(domain)
    hypervisor.destroy(domain)
    hypervisor.create(being)

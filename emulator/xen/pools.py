"""Pages that the hypervisor keeps for a guest's sake and the guest never sees.

The pool is what shadows, or the EPT, are made of: it can be emptied and filled anew, and a marked
page then leaves it. State pages hold the guest's virtual hardware (a vlapic, say): nothing but the
end of the domain frees them.
"""

import numpy as np

from emulator.xen.domains import Domain
from emulator.xen.frametable import FrameTable, Tenant
from emulator.xen.heap import Heap
from emulator.xen.pages import PageKind


def refill(table: FrameTable, heap: Heap, domain: Domain, *, keeps_marked: bool) -> None:
    """Empty the domain's pool and fill it again. The marked pages leave it, for others if it can.

    With `keeps_marked` (D5) they go back into the pool and are used again.
    """
    marked = table.offlining_among(domain.pool)
    if keeps_marked or not len(marked):
        return
    table.release(marked)
    kept = domain.pool[~np.isin(domain.pool, marked)]
    count = min(len(marked), table.available_to(domain.domid))
    new = heap.take(max(count, 0), Tenant(PageKind.PAGING_POOL, domain.domid))
    domain.pool = kept if new is None else np.concatenate([kept, new])

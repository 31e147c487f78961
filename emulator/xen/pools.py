"""Pages that the hypervisor keeps for a guest's sake and the guest never sees.

The pool is what shadows, or the EPT, are made of: it can be emptied and filled anew, and a marked
page then leaves it. State pages hold the guest's virtual hardware (a vlapic, say): nothing but the
end of the domain frees them.
"""

import numpy as np

from agent.contract.columns import I64
from emulator.xen.domains import Domain
from emulator.xen.frametable import FrameTable, Tenant
from emulator.xen.heap import Heap
from emulator.xen.pages import PageKind


def drop_shadows(table: FrameTable, heap: Heap, domain: Domain, *, keeps_marked: bool) -> I64:
    """Build the domain's shadows anew from its pool; the marked pages, which have left it.

    With `keeps_marked` (D5) they go back into the pool and are used again.
    """
    marked = table.offlining_among(domain.pool)
    if keeps_marked or not len(marked):
        return marked[:0]
    table.release(marked)
    new = heap.take(min(len(marked), table.free), Tenant(PageKind.PAGING_POOL, domain.domid))
    kept = domain.pool[~np.isin(domain.pool, marked)]
    domain.pool = kept if new is None else np.concatenate([kept, new])
    return marked

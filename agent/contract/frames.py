"""The numbers of memory, in Xen's own dictionary.

An **MFN** is a frame of the host, a **GFN** a frame as a guest counts them (for a PV guest its
PFN). They are different types here, so that one can never be handed in for the other.
"""

from typing import NewType

Mfn = NewType("Mfn", int)
Gfn = NewType("Gfn", int)
Pfn = NewType("Pfn", int)
DomId = NewType("DomId", int)

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT

DOM0 = DomId(0)

# Xen reserves the ids from here on for owners that are not guests (DOMID_IO, DOMID_XEN, …).
FIRST_RESERVED_DOMID = 0x7FF0

# The page-offline ABI carries 32-bit frame numbers; a larger one is refused, never truncated.
MFN_MAX = (1 << 32) - 1


def mfn_of(address: int) -> Mfn:
    """The host's frame that holds the byte at `address`."""
    return Mfn(address >> PAGE_SHIFT)

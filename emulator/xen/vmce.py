"""Virtual machine checks: how a guest learns that one of its pages is broken.

    told ──► unhandled ──► seen to ──► told of the next one
                 └─ another error meanwhile: the guest cannot be told, and is lost

The page is of type "broken" in the guest's p2m from then on, which makes touching it the guest's
end, and the guest finds its own number of the page in bank 1. dom0 is told as well, though its
mappings stay as they are. What is kept here is bounded: a frame breaks once.
"""

from agent.contract.frames import DomId, Gfn


class VirtualMces:
    """What the guests of one host were told."""

    def __init__(self) -> None:
        self._unhandled: dict[DomId, Gfn | None] = {}
        self._broken: set[tuple[DomId, Gfn]] = set()

    def tell(self, domid: DomId, gfn: Gfn | None) -> bool:
        """Tell a guest of its page `gfn`; false if it has not seen to the one before.

        The page is broken in the guest's p2m either way. None: the guest has no p2m.
        """
        if gfn is not None:
            self._broken.add((domid, gfn))
        if domid in self._unhandled:
            return False
        self._unhandled[domid] = gfn
        return True

    def seen_to(self, domid: DomId) -> None:
        """The guest has handled what it was told."""
        self._unhandled.pop(domid, None)

    def unhandled(self) -> tuple[tuple[DomId, Gfn | None], ...]:
        """Who was told of which page and has not seen to it."""
        return tuple(self._unhandled.items())

    def is_unhandled(self, domid: DomId) -> bool:
        return domid in self._unhandled

    def address_told(self, domid: DomId) -> Gfn | None:
        """The page that the guest finds in bank 1 and has not seen to yet."""
        return self._unhandled.get(domid)

    def is_broken(self, domid: DomId, gfn: Gfn) -> bool:
        """Whether touching the page is the end of the guest."""
        return (domid, gfn) in self._broken

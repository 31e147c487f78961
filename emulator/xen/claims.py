"""Claims: free memory that a domain was promised before it is built, and that nobody else may take.

A claim shrinks as its domain is given pages. Offlining takes free pages from under the claims: Xen
lets more be claimed than there is, and the domain is refused half-way through being built. Here
claims are recalled instead, the newest first, until what is free covers the rest.
"""

from agent.contract.frames import DomId


class Claims:
    """Pages that are promised, a number for each domain that has a claim."""

    def __init__(self) -> None:
        self._pages: dict[DomId, int] = {}

    @property
    def outstanding(self) -> int:
        return sum(self._pages.values())

    def of(self, domid: DomId) -> int:
        return self._pages.get(domid, 0)

    def of_others(self, domid: DomId | None) -> int:
        """What is out of reach for `domid`, or for whoever is no domain."""
        return self.outstanding - (0 if domid is None else self.of(domid))

    def stake(self, domid: DomId, pages: int, free: int) -> bool:
        """Claim so many of the `free` pages instead of what `domid` had; false: others have them.

        A claim of 0 pages gives the claim up.
        """
        if pages > free - self.of_others(domid):
            return False
        self._pages.pop(domid, None)
        if pages:
            self._pages[domid] = pages
        return True

    def spend(self, domid: DomId | None, pages: int) -> None:
        """`domid` was given so many pages."""
        if domid is not None and self.of(domid):
            self._shrink(domid, pages)

    def recall(self, free: int) -> None:
        """Only so many pages are free by now: promise no more than that."""
        for domid in reversed(list(self._pages)):
            self._shrink(domid, max(self.outstanding - free, 0))

    def _shrink(self, domid: DomId, pages: int) -> None:
        self._pages[domid] -= min(pages, self._pages[domid])
        if not self._pages[domid]:
            del self._pages[domid]

"""What is known of one DIMM, or of one page, for `pagewarden dimms` and `pagewarden why`.

A page is looked at where it is: the hypervisor and the toolstack are asked how it is used now, and
what would be done about it is foreseen from that. Nothing is asked for, whatever the answer.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from agent.contract.errors import PeerError
from agent.contract.frames import Mfn
from agent.contract.hypercall import HostReply, PageReply
from agent.contract.status import (
    CaseView,
    Counted,
    DimmsView,
    DimmView,
    HostWord,
    HotPage,
    PageView,
    RankWear,
    WouldDo,
)
from agent.diagnosis.by_dimm import DimmPages, by_dimm
from agent.diagnosis.diagnosis import Diagnosis
from agent.retirement.docket import Docket
from agent.retirement.driver import Driver
from agent.retirement.foresight import foresee
from agent.retirement.outcome import Guest
from agent.retirement.states import State

WORST_SHOWN = 3  # pages of a DIMM
NS = 1_000_000_000


@dataclass(slots=True)
class Insight:
    """`errors` are those of each DIMM that this process counted; `case` tells a case's story."""

    host: HostReply
    diagnosis: Diagnosis
    docket: Docket
    driver: Driver
    errors: Mapping[str, int]
    case: Callable[[str], Awaitable[CaseView | None]]

    def dimms(self) -> DimmsView:
        """Every DIMM that is there, had errors, or had a page taken."""
        pages = self._pages()
        retired = Counter(c.dimm for c in self.docket.cases if c.state is State.RETIRED)
        labels = {*self.docket.modules, *pages, *self.errors, *filter(None, retired)}
        labels |= {rank.dimm for rank, _ in self.docket.wear}
        return DimmsView(
            dimms=tuple(self._dimm(dimm, pages.get(dimm), retired[dimm]) for dimm in sorted(labels))
        )

    def _pages(self) -> dict[str, DimmPages]:
        lie = self.host.interleave
        return {} if lie is None else by_dimm(*self.diagnosis.policy.serd.all(), lie, WORST_SHOWN)

    def _dimm(self, dimm: str, pages: DimmPages | None, retired: int) -> DimmView:
        threshold = self.diagnosis.policy.serd.settings.n
        wear = [(rank.number, taken) for rank, taken in self.docket.wear if rank.dimm == dimm]
        return DimmView(
            dimm=dimm,
            module=self.docket.modules.get(dimm, ""),
            errors=self.errors.get(dimm, 0),
            pages_tracked=None if pages is None else pages.tracked,
            pages_retired=retired,
            wear=tuple(RankWear(rank=rank, pages=taken) for rank, taken in wear),
            pages_per_rank_max=self.docket.caps.pages_per_rank_max,
            is_worn=any(rank.dimm == dimm for rank in self.docket.worn_ranks),
            worst=tuple(
                HotPage(mfn=mfn, errors=errors, threshold=threshold)
                for mfn, errors in (() if pages is None else pages.worst)
            ),
        )

    async def page(self, mfn: Mfn) -> PageView | None:
        """None for a page that the host does not have."""
        if mfn >= self.host.frames:
            return None
        case = self.docket.get(mfn)
        view = PageView(
            mfn=mfn,
            dimm=self.host.dimm_of(mfn) or (case.dimm if case else None),
            counted=self._counted(mfn),
            case=None if case is None else await self.case(case.id),
        )
        try:
            page, guest = await self.driver.acts.sight(mfn)
        except PeerError as error:
            return view.model_copy(update={"silence": str(error)})
        would = self._would(page, guest, view.dimm)
        return view.model_copy(update={"host": _word(page, guest), "would": would})

    def _counted(self, mfn: Mfn) -> Counted:
        serd = self.diagnosis.policy.serd
        standing = serd.standing(mfn)
        times = standing.times_ns
        return Counted(
            errors=standing.errors,
            threshold=serd.settings.n,
            window_seconds=serd.settings.window_ns / NS,
            fired=standing.fired,
            first_at=times[0] / NS if times else None,
            newest_at=times[-1] / NS if times else None,
        )

    def _would(self, page: PageReply, guest: Guest, dimm: str | None) -> WouldDo:
        manners = self.driver.manners
        refusal = self.docket.refusal_of(Mfn(page.mfn), dimm)
        ahead = foresee(page, guest, manners.terms, refusal, observes=manners.observes)
        return WouldDo(rungs=ahead.rungs, obstacle=ahead.obstacle, text=ahead.text)


def _word(page: PageReply, guest: Guest) -> HostWord:
    return HostWord(
        status=page.status,
        use=page.use,
        owner=page.owner,
        guest=guest.name,
        devices=guest.devices,
        mappers=page.mappers,
        is_broken=page.is_broken,
    )

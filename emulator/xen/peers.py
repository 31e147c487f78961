"""Other hosts, as far as this one is concerned: a name, room, and the guests that went there."""

from dataclasses import dataclass, field

from agent.contract.toolstack import PeerInfo
from emulator.xen.beings import Being


@dataclass(slots=True, eq=False)
class Peer:
    """A host of `pages` for guests from here."""

    name: str
    pages: int
    guests: list[Being] = field(default_factory=list[Being])

    @property
    def free_pages(self) -> int:
        return self.pages - sum(being.frames_needed for being in self.guests)

    def info(self) -> PeerInfo:
        return PeerInfo(name=self.name, free_pages=self.free_pages)

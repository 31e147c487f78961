"""Commands that nobody answered: they may be carried out when nobody thinks of them any more.

A deadline that passes says nothing about the command. A suspend may come after the resume that was
to undo it, a save after that too, a detach after its attach; and a guest would stand still, or lack
its device, with no case that says so. So whatever was asked and not answered is *owed*: the case
keeps a mark of it, in whatever state it is, and as long as the mark is there the agent looks now
and then whether the guest lacks something, and gives it that.

    asked, no answer ──► owed ──► looked at, now and then ──► looked at once more after
                                     │                        `late_seconds`: forgotten
                                     └─► lacks something? give it back

While a mark is there, a guest that somebody else has suspended is started too: the two look alike.
An answer that is heard later, to the same command given again, is no proof that the first is over.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from agent.contract.frames import DomId
from agent.contract.toolstack import DomainsReply, DomainState


class Command(StrEnum):
    """What a guest lacks when it is carried out late."""

    SUSPEND = "suspend"
    SAVE = "save"
    DETACH = "detach"


@dataclass(frozen=True, slots=True)
class Owed:
    """A command that was not answered at `since_ns`, and whom it was about."""

    command: Command
    owner: DomId | None
    guest: str
    image: str = ""
    devices: tuple[str, ...] = ()
    since_ns: int = 0

    def was_late(self, seen: DomainsReply) -> bool:
        """True if, as things are, it has been carried out and not been made good."""
        match self.command:
            case Command.SUSPEND:
                return any(
                    info.domid == self.owner and info.state is DomainState.SUSPENDED
                    for info in seen.domains
                )
            case Command.SAVE:
                return self.image in seen.images
            case Command.DETACH:
                return any(
                    info.name == self.guest and not set(self.devices) <= set(info.devices)
                    for info in seen.domains
                )


def with_more(known: Iterable[Owed], more: Owed) -> tuple[Owed, ...]:
    """All of them; of one command given twice, the later."""
    others = (owed for owed in known if (owed.command, owed.owner) != (more.command, more.owner))
    return (*others, more)

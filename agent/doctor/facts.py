"""What is known of a host before anything is done to it. None, throughout: nobody could say."""

from dataclasses import dataclass
from typing import Literal

from agent.adapters.xen.listing import Guest
from agent.adapters.xen.releases import Release

STATE_FOLDER = "/var/run/xen"  # libxl's; it does not make it


@dataclass(frozen=True, slots=True)
class Daemon:
    """A program in dom0 that hears of memory errors, and what it does about a page: as it is
    configured, or by its own default.
    """

    name: str
    action: str

    @property
    def only_counts(self) -> bool:
        return self.action in {"off", "account", "no"}


@dataclass(frozen=True, slots=True)
class Xen:
    """What a dom0 tells. `library` is why Xen's libraries cannot be used, empty if they can;
    `keeps_state`: the folder is there in which `xl` notes which domains there were.
    """

    release: Release
    is_dom0: bool
    library: str = ""
    vcpus: str | None = None
    guests: tuple[Guest, ...] | None = None
    free_pages: int | None = None
    keeps_state: bool = True

    @property
    def largest(self) -> Guest | None:
        """The guest with the most memory."""
        return max(self.guests or (), key=lambda guest: guest.info.pages, default=None)


@dataclass(frozen=True, slots=True)
class Disk:
    """Where images of guests lie. `is_memory`: a tmpfs, which a crash empties."""

    folder: str
    free_bytes: int
    is_memory: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """`hypervisor` and `broker` are why the one that is configured does not answer, empty if it
    does. `xen` is None where the machine runs under none.
    """

    kind: Literal["emulated", "xen"]
    is_root: bool
    xen: Xen | None = None
    hypervisor: str = ""
    broker: str = ""
    broker_url: str = ""
    is_clock_set: bool | None = None
    daemons: tuple[Daemon, ...] = ()
    vendor: str = ""
    disk: Disk | None = None
    migrate_to: str = ""
    images: str = ""

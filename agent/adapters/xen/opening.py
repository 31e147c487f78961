"""Is this a Xen that we drive, and are we its dom0? Asked once, and answered in one line if not.

Where this is from: Linux tells the release under `/sys/hypervisor`, and what this domain may do in
`/proc/xen/capabilities`, which is there once xenfs is mounted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.adapters.this_host import ThisHost
from agent.adapters.xen.hypervisor import ANYWHERE, Identity, XenHypervisor
from agent.adapters.xen.images import Images
from agent.adapters.xen.library import Library, XenLibrary
from agent.adapters.xen.pinned import PinnedThread
from agent.adapters.xen.releases import DRIVEN, Release, parse
from agent.adapters.xen.toolstack import XenToolstack
from agent.adapters.xen.xl import Xl
from agent.contract.errors import AgentError, PeerError
from agent.contract.frames import DomId
from agent.events import Observer

Load = Callable[[Release], Library]


@dataclass(frozen=True, slots=True)
class Manner:
    """What the operator says of it. Deadlines are in seconds."""

    host: str
    images: Path
    call_seconds: float
    guest_seconds: float


async def open_xen(
    manner: Manner,
    observe: Observer,
    xl: Xl | None = None,
    load: Load = XenLibrary,
    root: Path = Path("/"),
) -> tuple[XenHypervisor, XenToolstack]:
    """Both ports, to be closed by the caller.

    Raises:
        AgentError: if there is no Xen that we drive, or it is not ours to drive, or not safely.
    """
    release = driven_release(root)
    images = Images(manner.images)
    images.make_folder()
    xl = xl or Xl(manner.call_seconds, manner.guest_seconds)
    thread = PinnedThread(manner.call_seconds)
    try:
        library = await thread.run(ANYWHERE, lambda: load(release))
    except PeerError as error:
        thread.close()
        raise AgentError(str(error)) from None

    async def resume(domid: DomId) -> None:
        await thread.run(ANYWHERE, lambda: library.resume(domid))

    toolstack = XenToolstack(xl, images, resume, observe)
    identity = Identity(manner.host, ThisHost(root).boot().id, release)
    hypervisor = XenHypervisor(identity, library, thread, xl, toolstack.kinds, observe)
    await _proven(hypervisor)
    return hypervisor, toolstack


async def _proven(hypervisor: XenHypervisor) -> None:
    """Ask for nothing here before it is known to be safe; later, each call asks again."""
    try:
        await hypervisor.prove_cpu()
    except PeerError as error:
        await hypervisor.close()
        raise AgentError(str(error)) from None


def driven_release(root: Path) -> Release:
    """The release that runs here, if we drive it and are its dom0.

    Raises:
        AgentError: if not.
    """
    release = running_release(root)
    if release is None:
        raise AgentError(
            'hypervisor.kind is "xen", and this machine runs under no Xen: boot it with Xen, or '
            'set kind = "emulated"'
        )
    if not is_dom0(root):
        raise AgentError(
            "this domain does not control its Xen: run the agent in dom0, as root, with xenfs "
            "mounted (`mount -t xenfs xenfs /proc/xen`)"
        )
    if not release.is_driven:
        known = " and ".join(f"{major}.{minor}" for major, minor in sorted(DRIVEN))
        raise AgentError(
            f"Xen {release} runs here, and what it answers was never recorded: this agent drives "
            f"{known}"
        )
    return release


def running_release(root: Path = Path("/")) -> Release | None:
    """Of the Xen that this machine runs under; None: under none."""
    folder = root / "sys/hypervisor"
    try:
        if (folder / "type").read_text(encoding="ascii").strip() != "xen":
            return None
        parts = [
            (folder / "version" / part).read_text(encoding="utf-8").strip()
            for part in ("major", "minor", "extra")
        ]
    except OSError:
        return None
    return parse(f"{parts[0]}.{parts[1]}{parts[2]}")


def is_dom0(root: Path = Path("/")) -> bool:
    """True if this domain controls its Xen."""
    try:
        return "control_d" in (root / "proc/xen/capabilities").read_text(encoding="ascii")
    except OSError:
        return False

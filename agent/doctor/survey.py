"""Gathers the facts: the one part of the doctor that looks at the world. It changes nothing in it.

Each question has a bound, and one that is not answered is a fact too.

Where this is from: what mcelog and rasdaemon do about a page is in their files, whose keys and
defaults are those of their manuals; whether a time service keeps the clock the kernel says
(adjtimex); a program is known by the name that `/proc` has for it.
"""

import asyncio
import ctypes
import os
import shutil
import socket
from collections.abc import Awaitable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agent.adapters.hypervisor.emulated import EmulatedHypervisor
from agent.adapters.xen.library import Library, XenLibrary
from agent.adapters.xen.listing import free_pages, guests
from agent.adapters.xen.opening import Load, is_dom0, running_release
from agent.adapters.xen.releases import Release
from agent.adapters.xen.xl import Xl
from agent.config import AgentConfig
from agent.contract.errors import AgentError, PeerError
from agent.doctor.facts import STATE_FOLDER, Daemon, Disk, Facts, Xen

BROKER_SECONDS = 3.0
PORTS = {"mqtt": 1883, "mqtts": 8883}

_TIME_ERROR = 5  # adjtimex: the clock is not synchronised
_TIMEX_BYTES = 512  # a struct timex has 208, and a size that nobody should have to know
_TEXT_BYTES_MAX = 1 << 20

# Who acts on an error's address, the key that says how, and the files that it may stand in.
ACTIONS = (
    ("mcelog", "memory-ce-action", ("etc/mcelog/mcelog.conf",)),
    ("rasdaemon", "PAGE_CE_ACTION", ("etc/default/rasdaemon", "etc/sysconfig/rasdaemon")),
)


@dataclass(frozen=True, slots=True)
class Survey:
    """Of this machine, by the agent's configuration. Reads below `root`, for tests."""

    config: AgentConfig
    xl: Xl
    root: Path = Path("/")
    load: Load = XenLibrary

    async def facts(self) -> Facts:
        section = self.config.hypervisor
        return Facts(
            kind=section.kind,
            is_root=os.geteuid() == 0,
            xen=await self._xen() if section.kind == "xen" else None,
            hypervisor=await self._emulated() if section.kind == "emulated" else "",
            broker=await asyncio.to_thread(why_no_broker, self.config.broker.url),
            broker_url=self.config.broker.url,
            is_clock_set=is_clock_set(),
            daemons=tuple(self._daemons()),
            vendor=self._vendor(),
            disk=disk_of(section.images, self.root),
            migrate_to=self.config.retirement.migrate_to,
            images=str(section.images),
        )

    async def _emulated(self) -> str:
        section = self.config.hypervisor
        port = EmulatedHypervisor(section.hypercall_socket, section.call_seconds_max, _unobserved)
        try:
            await port.host()
        except PeerError as error:
            return str(error)
        finally:
            await port.close()
        return ""

    async def _xen(self) -> Xen | None:
        release = running_release(self.root)
        if release is None or not is_dom0(self.root):
            return None if release is None else Xen(release, is_dom0=False)
        table, details = await _asked(self.xl.ask("list")), await _asked(self.xl.ask("list", "-l"))
        info = await _asked(self.xl.ask("info"))
        known = None
        with suppress(PeerError):
            known = None if table is None or details is None else guests(table, details)
        return Xen(
            release,
            is_dom0=True,
            library=_why_no_library(release, self.load),
            vcpus=await _asked(self.xl.ask("vcpu-list", "0")),
            guests=known,
            free_pages=None if info is None else free_pages(info),
            keeps_state=(self.root / STATE_FOLDER.lstrip("/")).is_dir(),
        )

    def _daemons(self) -> Iterator[Daemon]:
        running = set(self._running())
        for name, key, files in ACTIONS:
            if name in running:
                texts = "\n".join(_text(self.root / file) for file in files)
                yield Daemon(name, setting(texts, key) or "soft")  # which is what both do unasked

    def _running(self) -> Iterator[str]:
        for path in (self.root / "proc").glob("[0-9]*/comm"):
            yield _text(path).strip()

    def _vendor(self) -> str:
        lines = _text(self.root / "proc/cpuinfo").splitlines()
        found = (line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id"))
        return next(found, "")


def setting(text: str, key: str) -> str:
    """The last value of `key = value` that is no comment; empty if there is none."""
    pairs = (line.partition("=") for line in text.splitlines() if not line.lstrip().startswith("#"))
    values = [value.strip().strip("\"'") for name, _, value in pairs if name.strip() == key]
    return values[-1].lower() if values else ""


def why_no_broker(url: str) -> str:
    """Empty if somebody accepts a connection there."""
    parts = urlsplit(url)
    port = parts.port or PORTS.get(parts.scheme, 1883)
    try:
        with closing(socket.create_connection((parts.hostname or "", port), BROKER_SECONDS)):
            return ""
    except OSError as error:
        return f"{url} does not answer: {error.strerror or error}"


def is_clock_set() -> bool | None:
    with suppress(OSError, AttributeError):
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
        return None if state < 0 else state != _TIME_ERROR
    return None


def disk_of(folder: Path, root: Path = Path("/")) -> Disk | None:
    """Where `folder` is, or would be made."""
    there = next((path for path in (folder, *folder.parents) if path.exists()), None)
    if there is None:
        return None
    is_memory = _filesystem(there.resolve(), root) in {"tmpfs", "ramfs"}
    return Disk(str(folder), shutil.disk_usage(there).free, is_memory)


def _filesystem(path: Path, root: Path) -> str:
    """What kind `path` lies on, by the mount point that is nearest above it."""
    rows = [line.split() for line in _text(root / "proc/mounts").splitlines()]
    above = {row[1]: row[2] for row in rows if len(row) > 2 and path.is_relative_to(row[1])}
    return above[max(above, key=len)] if above else ""


def _why_no_library(release: Release, load: Load) -> str:
    try:
        library: Library = load(release)
        library.frames()
    except (AgentError, PeerError) as error:
        return str(error)
    return ""


async def _asked(question: Awaitable[str]) -> str | None:
    try:
        return await question
    except PeerError:
        return None


def _text(path: Path) -> str:
    with suppress(OSError), path.open("rb") as file:
        return file.read(_TEXT_BYTES_MAX).decode(errors="replace")
    return ""


def _unobserved(_: object) -> None:
    """Nobody counts what the doctor asks."""

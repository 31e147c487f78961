"""What the machine under us is: its boot, and its memory as far as the kernel shows it to us.

memory    the DIMMs that EDAC knows, else those that the firmware lists (for root alone),
          else what the kernel uses itself, which under a hypervisor is dom0's share
DIMMs     named as EDAC names them, because ereports do; parts and serials from the firmware
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

from agent.contract.ereport import Inventory, Module
from agent.contract.errors import AgentError
from agent.telemetry.boots import Boot
from agent.telemetry.dmi import MEMORY_DEVICE, MemoryDevice, memory_device

_LABEL_MAX = 128
_DIMMS_MAX = 1024


@dataclass(frozen=True, slots=True)
class ThisHost:
    """Reads below `root`, which is a folder of the same shape in tests."""

    root: Path = Path("/")

    def boot(self) -> Boot:
        """The boot that the machine is in, and when it began.

        Raises:
            AgentError: if this is no Linux.
        """
        try:
            text = (self.root / "proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
            stat = (self.root / "proc/stat").read_text(encoding="ascii")
            began = next(line for line in stat.splitlines() if line.startswith("btime "))
            return Boot(UUID(text.strip()), int(began.split()[1]) * 1_000_000_000)
        except (OSError, ValueError, StopIteration) as error:
            raise AgentError(f"cannot tell the boot of this host from /proc: {error}") from None

    def zone(self) -> tzinfo:
        """The zone of this machine's clock, summer and winter; UTC where that is not told."""
        try:
            with (self.root / "etc/localtime").open("rb") as file:
                return ZoneInfo.from_file(file)
        except (OSError, ValueError):
            return UTC

    def inventory(self, host: str, boot_id: UUID) -> Inventory:
        edac, firmware = list(self._edac()), list(self._firmware())
        total = sum(size for _, size in edac) or sum(each.bytes for each in firmware)
        labels = [label for label, _ in edac] or [each.locator for each in firmware]
        named = (each for each in firmware if each.locator)
        return Inventory(
            host=host,
            boot_id=boot_id,
            memory_bytes=total or self._kernels_own(),
            dimms=tuple(dict.fromkeys(filter(None, labels)))[:_DIMMS_MAX],
            modules=tuple(
                Module(label=each.locator, part=each.part, serial=each.serial) for each in named
            )[:_DIMMS_MAX],
        )

    def _edac(self) -> Iterator[tuple[str, int]]:
        """Label and size of each DIMM that an EDAC driver knows. Older kernels call them ranks."""
        controllers = self.root / "sys/devices/system/edac/mc"
        for folder in sorted([*controllers.glob("mc*/dimm*"), *controllers.glob("mc*/rank*")]):
            with suppress(OSError, ValueError):
                mebibytes = int((folder / "size").read_text(encoding="ascii"))
                label = (folder / "dimm_label").read_text(encoding="utf-8").strip()
                if mebibytes > 0:
                    yield label[:_LABEL_MAX], mebibytes << 20

    def _firmware(self) -> Iterator[MemoryDevice]:
        entries = self.root / "sys/firmware/dmi/entries"
        for folder in sorted(entries.glob(f"{MEMORY_DEVICE}-*")):
            with suppress(OSError):
                device = memory_device((folder / "raw").read_bytes())
                if device is not None:
                    yield device

    def _kernels_own(self) -> int:
        with suppress(OSError, ValueError, StopIteration):
            text = (self.root / "proc/meminfo").read_text(encoding="ascii")
            total = next(line for line in text.splitlines() if line.startswith("MemTotal:"))
            return int(total.split()[1]) << 10
        raise AgentError("cannot tell how much memory this host has from /proc/meminfo")

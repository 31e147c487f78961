"""The emulated machine that the real Xen runs on: QEMU without KVM, so that it runs everywhere.

Three lines lead out of it: the first serial line is Xen's (its log, kept in a file), the second one
dom0's shell, and the monitor's socket is for what no software of the machine can do: put an error
into a bank's registers. The disk is used as a snapshot: every boot finds it as it was built.

Xen is told `dom0_vcpus_pin`, so that dom0's program can keep off physical CPU 0, and
`guest_loglvl=error`, because a line a frame at 115,200 baud takes minutes. The processors are those
that QEMU can be without KVM; with SMAP, dom0 would die at its first trap.
"""

import re
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.xen.console import Console
from tests.xen.image import Image
from tests.xen.trouble import LabError

XEN = (
    "com1=115200,8n1 console=com1 loglvl=all guest_loglvl=error spec-ctrl=no noreboot"
    " dom0_mem=1024M,max:1024M dom0_max_vcpus=2 dom0_vcpus_pin"
)
LINUX = "console=hvc0 loglevel=5 panic=10"
PV_ALONE = "Nehalem"  # Intel's, with banks that Xen polls, and nothing that PVH guests need
WITH_PVH = "max,-smap"  # AMD's, with nested paging
WITH_SYSTEMD = "lab.systemd"  # as dom0's first process, instead of the lab's own
MEBIBYTES = 3072
CPUS = 2
BOOT_SECONDS = 240.0
PROMPT_SECONDS = 120.0
_DIED = re.compile("Dom0 crashed|Panic on CPU|Kernel panic|Xen BUG at|LAB: ")
_GONE = re.compile(rb"\x1b\[[0-9;]*[A-Za-z]|\r")


class Machine:
    """Booted when it is entered, gone when it is left."""

    def __init__(
        self,
        image: Image,
        payload: Path,
        folder: Path,
        processor: str = PV_ALONE,
        linux: str = "",
    ) -> None:
        self.folder = folder
        self.xen_log = folder / "xen.log"
        self._monitor = folder / "monitor"
        self._shell = folder / "shell"
        self._command = self._qemu(image, payload, processor, f"{LINUX} {linux}")

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stderr=(self.folder / "qemu.log").open("wb")
        )
        try:
            self._wait_until(self._monitor.exists, 10.0, "QEMU to start")
            self.console = Console(self._shell, self.folder / "shell.log")
            self._wait_until(lambda: "LAB-UP" in self.said(), BOOT_SECONDS, "dom0's daemons")
            self.console.wait_for_prompt(PROMPT_SECONDS)
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.console.close()
        self._kill()

    def said(self) -> str:
        """Xen's own log so far, and what dom0's kernel printed there."""
        return self.xen_log.read_text(errors="replace") if self.xen_log.exists() else ""

    def check_alive(self) -> None:
        """Neither Xen nor dom0's kernel died.

        Raises:
            LabError: with the last lines, if one did.
        """
        if self._process.poll() is not None or _DIED.search(self.said()):
            raise LabError(f"the machine died: {self.said()[-1500:]}")

    def monitor(self, command: str) -> str:
        """What QEMU's monitor answers."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(10.0)
            line.connect(str(self._monitor))
            _answer(line)
            line.sendall(command.encode() + b"\n")
            return _answer(line)

    def _wait_until(self, done: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            self.check_alive()
            if time.monotonic() > deadline:
                raise LabError(f"waited {seconds:.0f} s for {what}: {self.said()[-1500:]}")
            time.sleep(0.1)

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _qemu(self, image: Image, payload: Path, processor: str, linux: str) -> list[str]:
        options = f"""
            -accel tcg,thread=multi -machine pc -cpu {processor} -smp {CPUS} -m {MEBIBYTES}
            -display none -nodefaults -no-reboot
            -chardev file,id=xen,path={self.xen_log} -serial chardev:xen
            -chardev socket,id=shell,path={self._shell},server=on,wait=off -serial chardev:shell
            -monitor unix:{self._monitor},server,nowait
            -drive file={image.disk},format=raw,if=virtio,snapshot=on
            -drive file={payload},format=raw,if=virtio,readonly=on
        """.split()
        boot = ["-kernel", str(image.xen), "-append", XEN]
        modules = ["-initrd", f"{image.kernel} {linux},{image.initramfs}"]
        return ["nice", "-n", "5", "qemu-system-x86_64", *options, *boot, *modules]


def _answer(line: socket.socket) -> str:
    """All until the next prompt, without the echo of what was typed."""
    data = b""
    while not data.endswith(b"(qemu) "):
        more = line.recv(65536)
        if not more:
            raise LabError("QEMU closed its monitor")
        data += more
    text = _GONE.sub(b"", data).decode(errors="replace").removesuffix("(qemu) ")
    return text.partition("\n")[2].strip()
